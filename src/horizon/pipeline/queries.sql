-- name: start_run
INSERT INTO runs (run_id, correlation_id, stage, status, "now", started_at, lag_s)
VALUES (%(run_id)s, %(correlation_id)s, %(stage)s, 'started', %(now)s, %(clock)s, stage_lag_s(%(stage)s, %(clock)s))
RETURNING lag_s;

-- name: record_run
-- A run that has no transaction of its own, when it is over.
INSERT INTO runs (run_id, correlation_id, stage, status, "now", started_at, finished_at, lag_s, figures, error)
VALUES (%(run_id)s, %(correlation_id)s, %(stage)s, %(status)s, %(started_at)s, %(started_at)s, %(clock)s,
        CASE WHEN %(scheduled)s::boolean THEN stage_lag_s(%(stage)s, %(started_at)s) END, %(figures)s, %(error)s)
RETURNING lag_s;

-- name: finish_run
UPDATE runs SET status = 'done', finished_at = %(clock)s, figures = %(figures)s WHERE run_id = %(run_id)s;

-- name: keep_figures
-- What a run of several transactions has done up to now: with each of them, so that a failure or a
-- kill leaves the right ones.
UPDATE runs SET figures = %(figures)s WHERE run_id = %(run_id)s;

-- name: fail_run
UPDATE runs SET status = 'failed', finished_at = %(clock)s, error = %(error)s WHERE run_id = %(run_id)s;

-- name: window
-- The snapshot is taken before the stage reads: what it sees beyond that belongs to the next run.
SELECT pg_current_snapshot()::text AS until, coalesce(w.seen::text, '1:1:') AS seen, coalesce(w.era, 0) AS seen_era
FROM (SELECT) one LEFT JOIN watermarks w ON w.stage = %(stage)s;

-- name: move_watermark
INSERT INTO watermarks (stage, era, seen) VALUES (%(stage)s, %(era)s, %(until)s)
ON CONFLICT (stage) DO UPDATE SET era = excluded.era, seen = excluded.seen;

-- name: events_of_source
SELECT count(*)::int AS events FROM events JOIN sources USING (source_id) WHERE sources.name = %(name)s;

-- name: rejected
SELECT r.rejected_id, s.name AS source, r.received_at, r.position, r.code, r.message
FROM rejected_events r JOIN sources s USING (source_id)
ORDER BY r.rejected_id DESC LIMIT %(most)s;

-- name: last_runs
SELECT DISTINCT ON (stage) stage, status, started_at, finished_at - started_at AS took, figures, error
FROM runs ORDER BY stage, started_at DESC;

-- name: message_states
SELECT m.campaign, coalesce(o.state, m.status) AS status, count(*)::int AS messages
FROM messages m LEFT JOIN outbox o USING (message_id) GROUP BY 1, 2 ORDER BY 1, 2;

-- name: note_campaign_run
-- In the planning's first transaction. The version is the one that was read, whatever came since;
-- and the scores that count cannot change until that transaction has asked which they are.
WITH scored AS (
    SELECT score_run FROM score_runs WHERE active FOR SHARE
)
INSERT INTO campaign_runs (correlation_id, campaign, version, score_run, run_id)
SELECT %(correlation_id)s, v.campaign, v.version, (SELECT score_run FROM scored), %(run_id)s
FROM campaign_versions v
WHERE v.campaign = %(campaign)s
ORDER BY (v.audience, v.template, v.channel, v.purpose, v.every_days, v.target) IS NOT DISTINCT FROM
         (%(audience)s::text, %(template)s::text, %(channel)s::text, %(purpose)s::text,
          %(every_days)s::double precision, %(target)s::text) DESC, v.version DESC
LIMIT 1
ON CONFLICT (correlation_id, campaign) DO NOTHING;
