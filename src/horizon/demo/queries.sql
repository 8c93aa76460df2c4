-- name: epoch
SELECT epoch FROM simulations WHERE name = 'demo';

-- name: one_reader
-- The first person who got a miss_you mail: always the same one, so that a second run asks again
-- for what is done already.
SELECT message_id FROM messages WHERE campaign = 'miss_you' AND status = 'sent'
ORDER BY planned_at, profile_id LIMIT 1;

-- name: crowd
-- One installation's people: what came in of them and what their scores were made with.
SELECT (SELECT count(*) FROM events e JOIN sources s USING (source_id)
        WHERE s.kind <> 'internal')::int AS events,
       (SELECT count(*) FROM profiles WHERE points_to IS NULL)::int AS profiles,
       r."now", r.window_days, r.high, r.medium
FROM score_runs r WHERE r.active;

-- name: bins
-- Profiles by bin of the score and tier; the last bin holds 1 as well.
SELECT least(width_bucket(score, 0, 1, %(bins)s), %(bins)s) - 1 AS bin, tier, count(*)::int AS profiles
FROM scores WHERE score_run = (SELECT score_run FROM score_runs WHERE active)
GROUP BY 1, 2 ORDER BY 1, 2;

-- name: run_began
-- When this run's first stage began: what was sent since then was sent by this run, also where an
-- earlier one had planned it.
SELECT coalesce(min(started_at), 'infinity') AS began FROM runs WHERE correlation_id = %(run)s;

-- name: alert_counts
SELECT tier, count(*)::int AS total,
       count(*) FILTER (WHERE correlation_id = %(run)s)::int AS created,
       count(*) FILTER (WHERE status <> 'RESOLVED')::int AS open
FROM alerts GROUP BY 1 ORDER BY 1;

-- name: alerts_skipped
SELECT coalesce(sum((figures ->> 'skipped')::int), 0)::int AS skipped
FROM runs WHERE correlation_id = %(run)s AND stage = 'alert' AND status = 'done';

-- name: outcomes
-- What became of each campaign's messages to people, in all and in this run. A campaign without
-- any stands here too; the operator's own mails of demo-campaign do not.
SELECT c.campaign, c.audience, m.status, m.reason, coalesce(m.tier, '') AS tier,
       count(m.message_id)::int AS total,
       count(m.message_id) FILTER (WHERE m.correlation_id = %(run)s
           OR coalesce(m.sending_at, m.finished_at) >= %(began)s)::int AS this_run
FROM campaigns c LEFT JOIN messages m USING (campaign)
WHERE c.audience <> 'operator'
GROUP BY 1, 2, 3, 4, 5
ORDER BY c.audience, 1, count(m.message_id) DESC, 3, 4, 5;

-- name: came_back
-- Addresses that are not written to any more, by the reason.
SELECT reason, count(DISTINCT address_hash)::int AS addresses FROM suppressions GROUP BY 1 ORDER BY 2 DESC, 1;

-- name: at_risk
-- The ten most at risk, in the order of the score's own detail line, each with the facts of its
-- reason and with what its last message came to. A visit ends with half an hour of nothing.
WITH top AS (
    SELECT s.profile_id, s.score, s.tier, s.silent_s, s.last_activity, r."now", r.window_days
    FROM scores s JOIN score_runs r USING (score_run)
    WHERE r.active
    ORDER BY s.score DESC, s.silent_s DESC, s.profile_id LIMIT 10
)
SELECT top.*, names.user_id, coalesce(first_name.value #>> '{}', '') AS first_name,
       last.name AS last_name, last.type AS last_type, last.event_id AS last_event_id,
       coalesce(visits.visits, 0) AS visits,
       said.granted, said.time AS said_at, said.way AS said_way,
       m.message_id, m.status, m.reason, m.sending_at
FROM top
JOIN LATERAL (SELECT p.user_id FROM profile_names p WHERE p.profile_id = top.profile_id) names ON true
LEFT JOIN LATERAL (SELECT t.value FROM profile_traits t
    WHERE t.profile_id = top.profile_id AND t.name = 'first_name') first_name ON true
LEFT JOIN LATERAL (
    SELECT e.name, e.type, e.event_id FROM profile_events(top.profile_id) e
    WHERE e.activity AND e.time = top.last_activity
    ORDER BY e.event_id LIMIT 1) last ON true
LEFT JOIN LATERAL (
    SELECT count(*) FILTER (WHERE earlier IS NULL OR time - earlier > interval '30 minutes')::int AS visits
    FROM (
        SELECT e.time, lag(e.time) OVER (ORDER BY e.time) AS earlier
        FROM profile_events(top.profile_id) e
        WHERE e.activity AND e.time <= top.last_activity
          AND e.time > top.last_activity - top.window_days * interval '1 day') heard) visits ON true
LEFT JOIN LATERAL (
    SELECT c.granted, c.time, c.way FROM nodes n JOIN consents c USING (node)
    WHERE n.profile_id = top.profile_id AND c.purpose = 'marketing' AND c.channel = 'email'
    ORDER BY c.time DESC, c.consent_id DESC LIMIT 1) said ON true
LEFT JOIN LATERAL (
    SELECT m.message_id, m.status, m.reason, m.sending_at
    FROM nodes n JOIN messages m USING (node) JOIN campaigns c USING (campaign)
    WHERE n.profile_id = top.profile_id AND c.audience = 'alerts'
    ORDER BY m.planned_at DESC, m.message_id LIMIT 1) m ON true
ORDER BY top.score DESC, top.silent_s DESC, top.profile_id;

-- name: chains
-- Every message that left, or may have left, with all that it was decided on. The score is the one
-- that decided: its alert's, or its run's; scores of old runs are dropped, and are then computed
-- again from the events that there were.
SELECT m.message_id, m.campaign, m.step, m.profile_id, m.occasion, m.to_addr, m.tier, m.template,
       m.template_digest, coalesce(o.state, m.status) AS status, m.reason, m.planned_at,
       coalesce(o.claimed_at, m.claimed_at) AS claimed_at, coalesce(o.sending_at, m.sending_at) AS sending_at,
       m.finished_at, coalesce(o.attempts, m.attempts) AS attempts, coalesce(m.answer, o.answer) AS answer,
       coalesce(names.user_id, 'p' || m.profile_id) AS user_id,
       coalesce(first_name.value #>> '{}', '') AS first_name,
       said.time AS said_at, said.way AS said_way, said.event_id AS said_event_id,
       r."now" AS scored_at, r.window_days,
       coalesce(s.silent_s, extract(epoch FROM r."now" - heard.since)::float8) AS silent_s,
       coalesce(a.score, s.score, least(1, greatest(0,
           extract(epoch FROM r."now" - heard.since)::float8) / (r.window_days * 86400))) AS score,
       a.alert_id, a.status AS alert_status, a.threshold, a.created_at AS alerted_at,
       a.notified_at, a.resolved_at,
       gone.time AS unsubscribed_at, gone.event_id AS unsubscribed_event_id
FROM messages m
JOIN campaigns c USING (campaign)
LEFT JOIN outbox o USING (message_id)
LEFT JOIN nodes n USING (node)
LEFT JOIN alerts a USING (alert_id)
LEFT JOIN LATERAL (SELECT p.user_id FROM profile_names p WHERE p.profile_id = n.profile_id) names ON true
LEFT JOIN LATERAL (SELECT t.value FROM profile_traits t
    WHERE t.profile_id = n.profile_id AND t.name = 'first_name') first_name ON true
LEFT JOIN LATERAL (
    SELECT r.* FROM score_runs r
    WHERE r.correlation_id = coalesce(a.correlation_id, m.correlation_id) OR r."now" <= m.planned_at
    ORDER BY (r.correlation_id = coalesce(a.correlation_id, m.correlation_id)) DESC, r."now" DESC,
             r.score_run DESC LIMIT 1) r ON true
LEFT JOIN scores s ON s.score_run = r.score_run AND s.profile_id = m.profile_id
LEFT JOIN LATERAL (
    SELECT coalesce(
        (SELECT max(e.time) FROM profile_events(n.profile_id) e
         WHERE e.activity AND least(e.time, e.received_at) <= r."now"),
        (SELECT min(had.first_seen) FROM nodes had WHERE had.profile_id = n.profile_id)) AS since
    ) heard ON true
LEFT JOIN LATERAL (
    SELECT said.* FROM consents said
    WHERE said.granted AND said.purpose = c.purpose AND said.channel = c.channel
      AND said.time <= coalesce(m.sending_at, m.planned_at)
      AND (said.address_hash = m.address_hash
           OR said.node IN (SELECT had.node FROM nodes had WHERE had.profile_id = n.profile_id))
    ORDER BY (said.consent_id = m.consent_id) IS TRUE DESC, said.time DESC, said.consent_id DESC
    LIMIT 1) said ON true
LEFT JOIN LATERAL (
    SELECT e.time, e.event_id FROM events e
    WHERE e.nodes[1] = m.node AND e.message_id = 'unsubscribed:' || m.message_id LIMIT 1) gone ON true
WHERE c.audience <> 'operator' AND coalesce(o.state, m.status) IN ('sending', 'sent', 'delivered', 'bounced', 'complained', 'unknown')
ORDER BY c.audience, m.campaign, m.planned_at, m.profile_id, m.message_id
LIMIT %(most)s;

-- name: last_activities
-- The last three things that each person of these messages did before the score was made.
SELECT m.message_id, e.event_id, e.type, e.name, e.time
FROM unnest(%(message_ids)s::uuid[], %(scored_at)s::timestamptz[]) asked (message_id, scored_at)
JOIN messages m USING (message_id)
JOIN nodes n USING (node)
JOIN LATERAL (
    SELECT e.event_id, e.type, e.name, e.time FROM profile_events(n.profile_id) e
    WHERE e.activity AND least(e.time, e.received_at) <= asked.scored_at
    ORDER BY e.time DESC, e.event_id LIMIT 3) e ON true
ORDER BY m.message_id, e.time DESC, e.event_id;

-- name: reached_keys
SELECT r.message_id, CASE WHEN r.key = m.address_hash THEN 'address:' || r.key ELSE 'profile:' || m.profile_id END AS key
FROM reached r JOIN messages m USING (message_id)
WHERE r.message_id = ANY(%(message_ids)s) ORDER BY 1, 2 DESC;

-- name: left_alone
-- Everybody whom a campaign decided about and did not write to, with what they said about mail.
SELECT m.message_id, m.campaign, m.status, coalesce(m.reason, '') AS reason, m.tier,
       coalesce(names.user_id, 'p' || m.profile_id) AS user_id,
       coalesce(first_name.value #>> '{}', '') AS first_name, said.granted, said.time AS said_at
FROM messages m
JOIN campaigns c USING (campaign)
LEFT JOIN nodes n USING (node)
LEFT JOIN LATERAL (SELECT p.user_id FROM profile_names p WHERE p.profile_id = n.profile_id) names ON true
LEFT JOIN LATERAL (SELECT t.value FROM profile_traits t
    WHERE t.profile_id = n.profile_id AND t.name = 'first_name') first_name ON true
LEFT JOIN LATERAL (
    SELECT said.granted, said.time FROM nodes had JOIN consents said ON said.node = had.node
    WHERE had.profile_id = n.profile_id AND said.purpose = c.purpose AND said.channel = c.channel
    ORDER BY said.time DESC, said.consent_id DESC LIMIT 1) said ON true
WHERE c.audience <> 'operator' AND m.status IN ('skipped', 'failed', 'cancelled')
ORDER BY c.audience, m.campaign, m.status DESC, m.reason, m.profile_id
LIMIT %(most)s;

-- name: under_way
SELECT count(*)::int AS messages FROM outbox;

-- name: crash_states
SELECT message_id, status FROM messages ORDER BY planned_at, profile_id;

-- name: crash_databases
SELECT datname FROM pg_database WHERE datname LIKE 'horizon\_crash\_%%';

-- name: own_source
-- A source that is neither ours nor the simulator's and has sent something.
SELECT s.name FROM sources s
WHERE s.name NOT IN ('horizon', 'simulator')
  AND EXISTS (SELECT FROM events e WHERE e.source_id = s.source_id) LIMIT 1;
