-- name: events_ingested
SELECT date_trunc('second', finished_at) AS at, correlation_id::text AS run,
       figures ->> 'component' AS component, sum((figures ->> 'inserted')::int)::int AS inserted
FROM runs WHERE stage = 'ingest' AND status = 'done'
GROUP BY 1, 2, 3 ORDER BY 1 DESC, 2, 3 LIMIT 100;

-- name: events_resolved
SELECT date_trunc('second', finished_at) AS at, correlation_id::text AS run,
       sum((figures ->> 'events')::int)::int AS events
FROM runs WHERE stage = 'identity' AND status = 'done'
GROUP BY 1, 2 ORDER BY 1 DESC, 2 LIMIT 100;

-- name: score_distribution
-- The twenty bins of the newest scores, empty ones too; the last one holds 1 as well.
SELECT bin / 20::float8 AS score, count(s.profile_id)::int AS profiles
FROM score_runs r
CROSS JOIN generate_series(0, 19) bin
LEFT JOIN scores s ON s.score_run = r.score_run AND least(width_bucket(s.score, 0, 1, 20), 20) - 1 = bin
WHERE r.active
GROUP BY bin ORDER BY bin;

-- name: alerts
SELECT date_trunc('second', finished_at) AS at, correlation_id::text AS run,
       sum((figures ->> 'created')::int)::int AS created, sum((figures ->> 'skipped')::int)::int AS skipped
FROM runs WHERE stage = 'alert' AND status = 'done'
GROUP BY 1, 2 ORDER BY 1 DESC, 2 LIMIT 100;

-- name: mails
-- As it was when they were sent: a mail that came back later had been sent. One that the server
-- refused at once has no event of its own.
SELECT m.campaign,
       count(*) FILTER (WHERE m.status IN ('sent', 'delivered', 'complained')
                        OR m.status = 'bounced' AND came_back.later)::int AS sent,
       count(*) FILTER (WHERE m.status = 'skipped')::int AS skipped,
       count(*) FILTER (WHERE m.status = 'failed' OR m.status = 'bounced' AND NOT came_back.later)::int AS failed,
       count(*) FILTER (WHERE m.status = 'unknown')::int AS unknown
FROM messages m
JOIN campaigns c USING (campaign)
CROSS JOIN LATERAL (
    SELECT CASE WHEN m.status = 'bounced' THEN EXISTS (
        SELECT FROM events e WHERE e.nodes[1] = coalesce(m.node, m.address_hash)
          AND e.message_id = 'bounced:' || m.message_id) END AS later) came_back
WHERE c.audience <> 'operator' AND m.status NOT IN ('planned', 'cancelled')
GROUP BY 1 ORDER BY 1;

-- name: campaign_timeline
SELECT date_trunc('hour', m.finished_at, 'UTC') AS hour, m.campaign, count(*)::int AS sent
FROM messages m
JOIN campaigns c USING (campaign)
WHERE c.audience <> 'operator'
  AND (m.status IN ('sent', 'delivered', 'complained')
       OR m.status = 'bounced' AND EXISTS (
           SELECT FROM events e WHERE e.nodes[1] = coalesce(m.node, m.address_hash)
             AND e.message_id = 'bounced:' || m.message_id))
GROUP BY 1, 2 ORDER BY 1, 2 LIMIT 1000;

-- name: top_users
-- A user id that looks like an address or a phone number is nobody's business on a screen: the
-- profile's instead, by the same pattern as in the log's lines (stage.looks_personal).
SELECT CASE WHEN names.user_id ~* '(?:@|＠|﹫|%%(?:25)*40|&#0*64;|&#x0*40;|&commat;)|\A *(?:tel:)? *(?:[+]|%%(?:25)*2b|[(])[0-9 ().%%/-]{6,}\Z'
            THEN 'p' || s.profile_id ELSE names.user_id END AS user_id,
       s.tier, round(s.score::numeric, 6)::float8 AS score
FROM (
    SELECT profile_id, score, tier, silent_s FROM scores
    WHERE score_run = (SELECT score_run FROM score_runs WHERE active)
    ORDER BY score DESC, silent_s DESC, profile_id LIMIT 20
) s
JOIN LATERAL (SELECT p.user_id FROM profile_names p WHERE p.profile_id = s.profile_id) names ON true
ORDER BY s.score DESC, s.silent_s DESC, s.profile_id;

-- name: stage_duration
SELECT stage, count(*)::int AS runs, avg(took_s)::float8 AS mean_s, max(took_s)::float8 AS longest_s
FROM (
    SELECT stage, trunc(extract(epoch FROM finished_at - started_at), 3) AS took_s
    FROM runs WHERE finished_at IS NOT NULL
) took GROUP BY 1 ORDER BY 1;

-- name: stage_lag
SELECT stage, max(lag_s) AS lag_s FROM runs
WHERE finished_at IS NOT NULL AND lag_s IS NOT NULL GROUP BY 1 ORDER BY 1;

-- name: stage_errors
SELECT stage, count(*)::int AS errors FROM runs
WHERE status = 'failed' AND finished_at IS NOT NULL GROUP BY 1 ORDER BY 1;
