-- name: claim
-- A lease on the next messages that are due. An expired claim is anybody's: nothing of it has left.
UPDATE messages m SET status = 'claimed', claim = %(claim)s, claimed_at = %(clock)s,
    lease_until = %(clock)s + %(lease_s)s * interval '1 second'
FROM (
    SELECT message_id FROM messages
    WHERE ((status = 'planned' AND coalesce(retry_at, '-infinity') <= %(clock)s)
        OR (status = 'claimed' AND lease_until < %(clock)s))
      AND (%(correlation_id)s::uuid IS NULL OR correlation_id = %(correlation_id)s)
      AND (%(campaign)s::text IS NULL OR campaign = %(campaign)s)
      AND (%(correlation_id)s::uuid IS NOT NULL OR campaign <> 'demo')
      AND campaign IN (SELECT c.campaign FROM campaigns c WHERE c.status = 'active')
    ORDER BY planned_at, message_id LIMIT %(most)s FOR UPDATE SKIP LOCKED
) due
WHERE m.message_id = due.message_id
RETURNING m.message_id, m.campaign, m.profile_id, m.alert_id, m.to_addr, m.tier, m.variables, m.template, m.attempts,
    (SELECT user_id FROM profile_names n WHERE n.profile_id = m.profile_id) AS user_id;

-- name: hold_identity
-- Merges take this lock exclusively, so that who was reached is asked of one state of the graph.
SELECT pg_advisory_xact_lock_shared(hashtext('horizon.identity'));

-- name: begin
-- The last question before the first content byte: is the claim still mine, is it still allowed,
-- was nobody reached by it yet. Marks the message sending, or skipped with the reason; returns no
-- row where the claim was lost or the campaign was paused.
WITH mine AS (
    SELECT m.message_id, m.campaign, m.step, m.occasion, m.address_hash, c.purpose, c.channel, c.audience,
           coalesce(n.profile_id, m.profile_id) AS profile_id
    FROM messages m
    JOIN campaigns c USING (campaign)
    LEFT JOIN nodes n ON n.node = m.node
    WHERE m.message_id = %(message_id)s AND m.status = 'claimed' AND m.claim = %(claim)s
      AND m.lease_until > %(clock)s AND c.status = 'active'
    FOR UPDATE OF m
), asked AS (
    SELECT mine.*, CASE WHEN audience = 'operator'
        THEN (SELECT s.reason FROM suppressions s
              WHERE s.address_hash = mine.address_hash AND s.purpose IN ('*', mine.purpose) LIMIT 1)
        ELSE (SELECT r.reason FROM refusal(profile_id, address_hash, purpose, channel, %(now)s) r)
        END AS refused
    FROM mine
), reaching AS (
    INSERT INTO reached AS r (campaign, step, occasion, key, message_id)
    SELECT campaign, step, occasion, key, message_id
    FROM asked, LATERAL (VALUES ('address:' || address_hash), ('profile:' || profile_id)) keys (key)
    WHERE refused IS NULL
    ORDER BY key
    ON CONFLICT (campaign, step, occasion, key) DO UPDATE SET message_id = r.message_id
    RETURNING r.message_id
), verdict AS (
    SELECT a.message_id, coalesce(a.refused, CASE WHEN EXISTS (
        SELECT FROM reaching r WHERE r.message_id <> a.message_id) THEN 'already_reached' END) AS reason
    FROM asked a
)
UPDATE messages m SET
    status = CASE WHEN v.reason IS NULL THEN 'sending' ELSE 'skipped' END, reason = v.reason,
    sending_at = CASE WHEN v.reason IS NULL THEN %(clock)s END,
    finished_at = CASE WHEN v.reason IS NOT NULL THEN %(clock)s END,
    template_digest = %(template_digest)s
FROM verdict v WHERE m.message_id = v.message_id
RETURNING m.status, m.reason;

-- name: finish
-- What came of it. Whoever holds the claim may still say so when the lease has run out meanwhile:
-- then unknown becomes known.
UPDATE messages SET status = %(status)s, reason = %(reason)s, answer = %(answer)s, finished_at = %(clock)s,
    lease_until = NULL, attempts = attempts + 1
WHERE message_id = %(message_id)s AND claim = %(claim)s AND status IN ('claimed', 'sending', 'unknown');

-- name: notify_alert
UPDATE alerts SET status = 'NOTIFIED', notified_at = %(clock)s
WHERE alert_id = (SELECT alert_id FROM messages WHERE message_id = %(message_id)s) AND status = 'NEW';

-- name: settle
UPDATE messages SET status = %(status)s, reason = 'settled', finished_at = %(clock)s
WHERE message_id = %(message_id)s AND status = 'unknown';

-- name: show
-- One message from the events that led to it to the provider's answer.
SELECT m.message_id, m.campaign, m.template, m.template_digest, m.occasion, m.status, m.reason,
       n.user_id, 'p' || m.profile_id AS profile, m.to_addr,
       s.score, s.last_activity, last.name AS last_event, last.event_id AS last_event_id,
       a.alert_id, a.score AS alert_score, a.threshold, a.created_at AS alerted_at, a.status AS alert_status,
       c.way AS consent_by, c.time AS consent_at, c.event_id AS consent_event_id,
       m.planned_at, m.claimed_at, m.sending_at, m.finished_at, m.attempts, m.retry_at, m.answer, m.correlation_id
FROM messages m
LEFT JOIN LATERAL (SELECT p.user_id FROM profile_names p WHERE p.profile_id = m.profile_id) n ON true
LEFT JOIN current_scores s ON s.profile_id = m.profile_id
LEFT JOIN alerts a USING (alert_id)
LEFT JOIN consents c USING (consent_id)
LEFT JOIN LATERAL (
    SELECT e.name, e.event_id FROM events e
    WHERE e.nodes[1] = m.node AND e.activity AND e.time <= m.planned_at
    ORDER BY e.time DESC LIMIT 1
) last ON true
WHERE m.message_id = %(message_id)s;

-- name: give_back
-- Nothing of these has left: they are planned again, later where the provider asked for patience.
-- One that is being sent is given back only by whoever knows that it was refused.
UPDATE messages SET status = 'planned', claim = NULL, lease_until = NULL, answer = coalesce(%(answer)s, answer),
    attempts = attempts + (%(retry_at)s::timestamptz IS NOT NULL)::int, retry_at = %(retry_at)s
WHERE message_id = ANY(%(message_ids)s) AND claim = %(claim)s
  AND (status = 'claimed' OR (status = 'sending' AND %(refused)s));

-- name: expire
-- A sender stopped between its first content byte and the answer: nobody knows whether the
-- provider took it, so it is never sent again by itself.
UPDATE messages SET status = 'unknown', reason = 'sender_stopped', finished_at = %(clock)s
WHERE status = 'sending' AND lease_until < %(clock)s
RETURNING message_id, campaign, profile_id, tier, correlation_id,
    (SELECT user_id FROM profile_names n WHERE n.profile_id = messages.profile_id) AS user_id;

-- name: suppress_bounced
INSERT INTO suppressions (address_hash, purpose, reason, created_at, message_id)
SELECT address_hash, '*', 'hard_bounce', %(clock)s, message_id FROM messages
WHERE message_id = %(message_id)s AND address_hash IS NOT NULL
ON CONFLICT DO NOTHING;

-- name: write_event
-- What became of a message is an event again, of Horizon's own source: never activity.
INSERT INTO events (event_id, source_id, message_id, type, name, user_id, nodes, original_timestamp, time, received_at,
    trusted, activity, properties, era)
SELECT md5(%(name)s || m.message_id)::uuid, s.source_id, %(name)s || ':' || m.message_id, 'track', %(name)s,
    CASE n.kind WHEN 'user_id' THEN n.value END, ARRAY[m.node], %(clock)s, %(clock)s, %(clock)s,
    true, false, json_build_object('campaign_id', m.campaign, 'message_id', m.message_id)::text,
    (SELECT max(era) FROM eras)
FROM messages m JOIN nodes n USING (node) JOIN sources s ON s.name = 'horizon'
WHERE m.message_id = %(message_id)s AND m.campaign <> 'demo';

-- name: cancel_demo
UPDATE messages SET status = 'cancelled', reason = 'server_away', finished_at = %(clock)s, claim = NULL
WHERE correlation_id = %(correlation_id)s AND campaign = 'demo' AND status IN ('planned', 'claimed');

-- name: waiting
SELECT count(*)::int AS messages, min(retry_at) AS retry_at FROM messages
WHERE (status IN ('planned', 'claimed') AND (%(correlation_id)s::uuid IS NULL OR correlation_id = %(correlation_id)s)
  AND (%(correlation_id)s::uuid IS NOT NULL OR campaign <> 'demo'));

-- name: skipped_when_planned
SELECT campaign, count(*)::int AS skipped FROM messages
WHERE correlation_id = %(correlation_id)s AND status = 'skipped' AND claimed_at IS NULL GROUP BY 1;

-- name: unknown
SELECT message_id, campaign_id, user_id, profile_id, sending_at FROM notifications_log
WHERE status = 'unknown' ORDER BY sending_at, message_id;

-- name: list
SELECT message_id, campaign_id, coalesce(user_id, 'p' || profile_id) AS user_id, to_addr, status,
       coalesce(reason, answer) AS why, coalesce(sent_at, planned_at) AS at
FROM notifications_log
WHERE %(status)s::text IS NULL OR status = %(status)s
ORDER BY coalesce(sending_at, planned_at) DESC, message_id LIMIT %(most)s;

-- responses

-- name: campaign_sent
-- What was taken and did not come back.
SELECT count(*)::int AS sent FROM messages
WHERE campaign = %(campaign)s AND status IN ('sent', 'delivered', 'complained');

-- name: campaign_responses
-- Messages that people and machines opened and clicked: a row a kind, and one a target with its url.
-- One pass over the campaign's responses: the view's windows take the filter.
SELECT r.kind, t.url, r.people, r.machines, r.head, r.agent, r.prefetch, r.burst
FROM (
    SELECT kind, target_id,
           count(DISTINCT message_id) FILTER (WHERE machine IS NULL)::int AS people,
           count(DISTINCT message_id) FILTER (WHERE machine IS NOT NULL)::int AS machines,
           count(DISTINCT message_id) FILTER (WHERE machine = 'head')::int AS head,
           count(DISTINCT message_id) FILTER (WHERE machine = 'agent')::int AS agent,
           count(DISTINCT message_id) FILTER (WHERE machine = 'prefetch')::int AS prefetch,
           count(DISTINCT message_id) FILTER (WHERE machine = 'burst')::int AS burst
    FROM message_responses WHERE campaign = %(campaign)s
    GROUP BY GROUPING SETS ((kind), (kind, target_id))
    HAVING grouping(target_id) = 1 OR target_id IS NOT NULL
) r LEFT JOIN click_targets t USING (target_id)
ORDER BY r.kind DESC, t.url IS NOT NULL, r.people DESC, r.machines DESC, t.url;

-- name: message_story
-- One message's opens and clicks, in their order.
SELECT r.time, r.kind, t.url, r.machine, r.event_id
FROM message_responses r LEFT JOIN click_targets t USING (target_id)
WHERE r.message_id = %(message_id)s ORDER BY r.time, r.response_id LIMIT %(most)s;

-- breaker

-- name: hold_breakers
-- Two that count at once would both open, and one would close what the other opens.
SELECT pg_advisory_xact_lock(hashtext('horizon.breakers.' || %(campaign)s));

-- name: domain_counts
-- The last hours' answered attempts a domain, by when they were answered; complaints count with
-- the messages they are about. Deferred ones are still in the outbox, and their answer says whether
-- it was a block. What was counted before a person closed a breaker is forgiven.
WITH since AS (
    SELECT domain, greatest(closed_at, %(clock)s - %(window_h)s * interval '1 hour') AS time
    FROM breakers WHERE campaign = %(campaign)s
), answered AS (
    SELECT m.domain, m.finished_at AS time, m.status <> 'failed' AND m.status <> 'bounced' AS sent,
           m.reason = 'blocked' OR (m.reason = 'too_many_attempts' AND m.answer ~* %(block)s) AS blocked,
           m.status = 'complained' AS complained
    FROM messages m
    WHERE m.campaign = %(campaign)s AND m.domain IS NOT NULL
      AND (m.status IN ('sent', 'delivered', 'bounced', 'complained')
           OR (m.status = 'failed' AND m.reason IN ('refused', 'blocked', 'too_many_attempts')))
    UNION ALL
    SELECT m.domain, coalesce(o.sending_at, o.claimed_at), false, o.answer ~* %(block)s, false
    FROM outbox o JOIN messages m USING (message_id)
    WHERE o.campaign = %(campaign)s AND o.attempts > 0 AND o.answer IS NOT NULL AND m.domain IS NOT NULL
)
SELECT a.domain, count(*)::int AS attempts, count(*) FILTER (WHERE a.sent)::int AS sent,
       count(*) FILTER (WHERE a.blocked)::int AS blocked, count(*) FILTER (WHERE a.complained)::int AS complained
FROM answered a
LEFT JOIN since own ON own.domain = a.domain
LEFT JOIN since every ON every.domain = '*'
WHERE a.time > greatest(own.time, every.time, %(clock)s - %(window_h)s * interval '1 hour')
  AND a.time <= %(clock)s
GROUP BY 1;

-- name: open_domains
SELECT domain FROM breakers WHERE campaign = %(campaign)s AND closed_at IS NULL;

-- name: open_breaker
INSERT INTO breakers (campaign, domain, reason, opened_at)
VALUES (%(campaign)s, %(domain)s, %(reason)s, %(clock)s)
ON CONFLICT (campaign, domain) DO UPDATE SET
    reason = excluded.reason, opened_at = excluded.opened_at, closed_at = NULL;

-- name: hold_waiting
-- Holds what waits for an open breaker, also what was given back since it was opened. What is
-- claimed at this moment leaves, or comes back and is held by the next one who asks.
UPDATE outbox o SET due_at = 'infinity'
FROM messages m
WHERE o.campaign = %(campaign)s AND o.state = 'planned' AND o.due_at < 'infinity' AND m.message_id = o.message_id
  AND EXISTS (SELECT FROM breakers b
              WHERE b.campaign = o.campaign AND b.domain IN ('*', m.domain) AND b.closed_at IS NULL);

-- name: close_breakers
UPDATE breakers SET closed_at = %(clock)s WHERE campaign = %(campaign)s AND closed_at IS NULL;

-- name: release_held
UPDATE outbox SET due_at = %(clock)s
WHERE campaign = %(campaign)s AND state = 'planned' AND due_at = 'infinity';

-- name: open_breakers
-- For whoever looks: what is held back, since when and why.
SELECT b.campaign, b.domain, b.reason, b.opened_at, held.messages
FROM breakers b, LATERAL (
    SELECT count(*)::int AS messages FROM outbox o JOIN messages m USING (message_id)
    WHERE o.campaign = b.campaign AND o.due_at = 'infinity' AND b.domain IN ('*', m.domain)
) held
WHERE b.closed_at IS NULL ORDER BY b.campaign, b.domain;

-- feedback

-- name: feedback_message
SELECT m.message_id, m.campaign, m.status, m.node, m.address_hash, c.audience
FROM messages m JOIN campaigns c USING (campaign)
WHERE m.message_id = %(message_id)s FOR UPDATE OF m;

-- name: write_feedback
UPDATE messages SET status = %(status)s, reason = %(reason)s, answer = coalesce(%(answer)s, answer)
WHERE message_id = %(message_id)s;

-- name: alert_reached
-- Nothing, but where nobody knew before the report whether the message had left.
UPDATE alerts SET status = 'NOTIFIED', notified_at = %(clock)s
WHERE alert_id = (SELECT alert_id FROM messages WHERE message_id = %(message_id)s) AND status = 'NEW';

-- name: suppress_reported
INSERT INTO suppressions (address_hash, purpose, reason, created_at, message_id)
SELECT address_hash, '*', %(why)s, %(clock)s, message_id FROM messages
WHERE message_id = %(message_id)s AND address_hash IS NOT NULL
ON CONFLICT DO NOTHING;
