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

-- name: last_runs
SELECT s.stage, r.status, r.started_at, r.finished_at - r.started_at AS took, r.figures, r.error
FROM unnest(%(stages)s::text[]) s (stage) CROSS JOIN LATERAL (
    SELECT * FROM runs WHERE runs.stage = s.stage ORDER BY started_at DESC LIMIT 1
) r
ORDER BY s.stage;

-- name: stage_locks
-- Who runs a stage now, and who waits for that run to end: the lock that the runner takes.
SELECT s.stage, l.granted, l.pid, l.waitstart AS since, a.application_name AS role
FROM pg_locks l
JOIN unnest(%(stages)s::text[]) s (stage)
    ON l.classid::int8 = hashtext('horizon.stage')::int8 & 4294967295
   AND l.objid::int8 = hashtext(s.stage)::int8 & 4294967295
LEFT JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.objsubid = 2
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
ORDER BY s.stage, l.granted DESC, l.pid;

-- name: waiting_mail
-- What the sender still has to do, and why it does not do it now. Reads the outbox.
SELECT count(*) FILTER (WHERE c.status = 'active' AND o.state = 'planned' AND o.due_at <= %(clock)s)::int AS due,
       count(*) FILTER (WHERE o.state IN ('claimed', 'sending'))::int AS under_way,
       count(*) FILTER (WHERE c.status <> 'active')::int AS paused,
       count(*) FILTER (WHERE c.status = 'active' AND o.due_at = 'infinity')::int AS held,
       count(*) FILTER (WHERE c.status = 'active' AND o.state = 'planned' AND o.due_at > %(clock)s
                        AND o.due_at < 'infinity')::int AS later,
       min(o.due_at) FILTER (WHERE c.status = 'active' AND o.state = 'planned' AND o.due_at > %(clock)s
                             AND o.due_at < 'infinity') AS next_at,
       extract(epoch FROM %(clock)s - min(o.due_at) FILTER (
            WHERE c.status = 'active' AND o.state = 'planned' AND o.due_at <= %(clock)s))::float8 AS waits_s
FROM outbox o JOIN campaigns c USING (campaign);

-- name: campaign_standing
SELECT count(*) FILTER (WHERE status = 'active')::int AS active,
       array_agg(campaign ORDER BY campaign) FILTER (WHERE status = 'paused') AS paused
FROM campaigns WHERE campaign <> 'demo';

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
