-- name: message
-- A message with the campaign's version and the scores that its run planned with. Of a message
-- that no run of ours planned the version is not known; then the newest one stands in.
SELECT m.message_id, m.campaign, m.step, m.occasion, m.node, m.profile_id, n.profile_id AS profile_now,
       names.user_id, m.alert_id, m.to_addr, m.address_hash, m.domain, m.tier, m.template, m.template_digest,
       coalesce(o.state, m.status) AS status, m.reason, m.consent_id, m.correlation_id, m.planned_at,
       coalesce(o.attempts, m.attempts) AS attempts, coalesce(o.claimed_at, m.claimed_at) AS claimed_at,
       coalesce(o.sending_at, m.sending_at) AS sending_at, m.finished_at, coalesce(m.answer, o.answer) AS answer,
       CASE WHEN o.state = 'planned' THEN nullif(o.due_at, 'infinity') END AS due_at, o.due_at = 'infinity' AS held,
       r.run_id, r.score_run, r.version IS NOT NULL AS version_known, v.version, v.audience, v.channel, v.purpose,
       v.every_days, v.target, v.template AS version_template, v.since,
       (SELECT max(w.version) FROM campaign_versions w WHERE w.campaign = m.campaign) AS newest_version
FROM messages m
LEFT JOIN outbox o USING (message_id)
LEFT JOIN nodes n ON n.node = m.node
LEFT JOIN LATERAL (SELECT p.user_id FROM profile_names p
                   WHERE p.profile_id = coalesce(n.profile_id, m.profile_id)) names ON true
LEFT JOIN campaign_runs r ON r.correlation_id = m.correlation_id AND r.campaign = m.campaign
LEFT JOIN LATERAL (SELECT * FROM campaign_versions w WHERE w.campaign = m.campaign
                   ORDER BY w.version = r.version DESC NULLS LAST, w.version DESC LIMIT 1) v ON true
WHERE m.message_id = %(message_id)s;

-- name: runs
-- The stages that ran in one go with the planning.
SELECT r.run_id, r.stage, c.campaign, r.status, r.started_at, r.finished_at
FROM runs r LEFT JOIN campaign_runs c USING (correlation_id, run_id)
WHERE r.correlation_id = %(correlation_id)s ORDER BY r.started_at, r.run_id;

-- name: alert
SELECT a.*, n.profile_id AS profile_now, names.user_id
FROM alerts a
LEFT JOIN nodes n ON n.node = a.node
LEFT JOIN LATERAL (SELECT p.user_id FROM profile_names p
                   WHERE p.profile_id = coalesce(n.profile_id, a.profile_id)) names ON true
WHERE a.alert_id = %(alert_id)s;

-- name: alert_messages
SELECT message_id FROM messages WHERE alert_id = %(alert_id)s ORDER BY planned_at, message_id LIMIT %(most)s;

-- name: person_messages
SELECT m.message_id FROM nodes n JOIN messages m USING (node)
WHERE n.profile_id = (SELECT k.profile_id FROM nodes k WHERE k.kind = 'user_id' AND k.value = %(user_id)s LIMIT 1)
ORDER BY m.planned_at DESC, m.message_id LIMIT %(most)s;

-- name: score
-- A run of the scorer, and this profile's row of it while there is one: only the newest three are kept.
-- What the run could not know of yet is what was received after it began.
SELECT r.score_run, r.correlation_id, r."now" AS scored_at, r.window_days, r.high, r.medium,
       s.score, s.tier, s.last_activity, s.silent_s, s.activities,
       greatest(r."now", (SELECT min(t.started_at) FROM runs t
                          WHERE t.correlation_id = r.correlation_id AND t.stage = 'score')) AS known_until
FROM score_runs r LEFT JOIN scores s ON s.score_run = r.score_run AND s.profile_id = %(profile_id)s
WHERE r.score_run = %(score_run)s;

-- name: heard
-- What the events tell of a profile as of a run of the scorer: the same question as write_scores asks.
SELECT max(e.time) AS last_activity, count(*)::int AS activities,
       count(*) FILTER (WHERE e.time > %(scored_at)s::timestamptz - %(window_days)s * interval '1 day')::int AS in_window,
       (SELECT min(k.first_seen) FROM nodes k
        WHERE k.profile_id = %(profile_id)s AND k.live AND k.first_seen <= %(scored_at)s) AS first_seen
FROM profile_events(%(profile_id)s) e
WHERE e.activity
  AND least(e.time, e.received_at) <= %(scored_at)s AND e.received_at <= %(known_until)s;

-- name: activities
-- The newest of them first: the first one is the last activity.
SELECT e.event_id, e.message_id, e.type, e.name, e.time, e.received_at, s.name AS source,
       e.time > %(scored_at)s::timestamptz - %(window_days)s * interval '1 day' AS in_window
FROM profile_events(%(profile_id)s) e JOIN sources s USING (source_id)
WHERE e.activity
  AND least(e.time, e.received_at) <= %(scored_at)s AND e.received_at <= %(known_until)s
ORDER BY e.time DESC, e.event_id LIMIT %(most)s;

-- name: nodes
SELECT node, kind, value, live, first_seen FROM nodes WHERE profile_id = %(profile_id)s
ORDER BY CASE kind WHEN 'user_id' THEN 0 WHEN 'email' THEN 1 WHEN 'phone' THEN 2 ELSE 3 END, first_seen, node LIMIT %(most)s;

-- name: consent
SELECT consent_id, 'record' AS about, granted, time, way, wording, actor, event_id
FROM consents WHERE consent_id = %(consent_id)s;

-- name: consents
-- What held at that time: the latest record of each of the person's nodes, and of the address. A no
-- that came later is shown where it is the reason: it counts whenever it came.
SELECT DISTINCT ON (about, subject) consent_id, about, granted, time, way, wording, actor, event_id
FROM (
    SELECT 'person' AS about, c.node AS subject, c.* FROM nodes n JOIN consents c USING (node)
    WHERE n.profile_id = %(profile_id)s
    UNION ALL
    SELECT 'address', c.address_hash, c.* FROM consents c WHERE c.address_hash = %(address_hash)s
) said
WHERE purpose = %(purpose)s AND channel = %(channel)s AND (time <= %(at)s OR (NOT granted AND %(later_no)s))
ORDER BY about, subject, time DESC, granted, consent_id DESC;

-- name: opt_in
SELECT opt_in_id, purpose, channel, wording, language, asked_at, event_id, mailed_at, confirmed_at
FROM opt_ins WHERE opt_in_id = %(opt_in_id)s;

-- name: suppressions
SELECT purpose, reason, created_at, message_id FROM suppressions
WHERE address_hash = %(address_hash)s ORDER BY purpose;

-- name: preference
SELECT preference_id, every_days, paused_until, time, way FROM preferences
WHERE address_hash = %(address_hash)s AND channel = %(channel)s AND time <= %(at)s
ORDER BY time DESC, preference_id DESC LIMIT 1;

-- name: same_address
-- The message that the address got in place of this one.
SELECT m.message_id FROM messages m
WHERE m.address_hash = %(address_hash)s AND m.campaign = %(campaign)s AND m.message_id <> %(message_id)s
  AND m.status NOT IN ('skipped', 'failed', 'cancelled')
  AND (m.occasion = %(occasion)s OR m.correlation_id = %(correlation_id)s OR m.planned_at <= %(at)s)
ORDER BY m.planned_at DESC, m.message_id LIMIT 1;

-- name: reached
-- Who was reached on this occasion, and by which message.
SELECT r.key, r.message_id, r.key = %(address_hash)s::uuid AS is_address FROM reached r
WHERE r.campaign = %(campaign)s AND r.step = %(step)s AND r.occasion = %(occasion)s
  AND r.key IN (%(address_hash)s::uuid, profile_key(%(profile_id)s), profile_key(%(profile_now)s))
ORDER BY 3 DESC NULLS LAST, 1;

-- name: told
-- What Horizon itself wrote down of this message: sent, delivered, bounced, complained, unsubscribed.
SELECT e.event_id, e.message_id, e.name, e.time FROM events e JOIN sources s USING (source_id)
WHERE e.nodes[1] = ANY(ARRAY[%(node)s, %(address_hash)s]::uuid[]) AND s.name = 'horizon'
  AND e.message_id LIKE '%%:' || %(message_id)s::uuid
ORDER BY e.time, e.event_id LIMIT %(most)s;

-- name: responses
SELECT r.time, r.kind, t.url, r.machine, r.event_id
FROM message_responses r LEFT JOIN click_targets t USING (target_id)
WHERE r.message_id = %(message_id)s ORDER BY r.time, r.response_id LIMIT %(most)s;

-- name: sealed
-- Where the chain of hashes holds the message, its alert and the consent that allowed it.
SELECT h.batch, h.place, h.thing, h.state, h.at, s.sealed_at, encode(s.hash, 'hex') AS hash
FROM (
    SELECT * FROM history WHERE message_id = %(message_id)s
    UNION ALL
    SELECT * FROM history WHERE thing = 'alert' AND number = %(alert_id)s
    UNION ALL
    SELECT * FROM history WHERE thing = 'consent' AND number = %(consent_id)s
) h JOIN history_seals s USING (batch)
ORDER BY h.batch, h.place LIMIT %(most)s;
