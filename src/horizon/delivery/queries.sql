-- name: channels
-- Those that have something to send.
SELECT DISTINCT c.channel FROM campaigns c
WHERE c.status = 'active' AND (%(campaign)s::text IS NULL OR c.campaign = %(campaign)s)
ORDER BY 1;

-- name: claim
-- A lease on the next messages that are due, of every active campaign. An expired claim is
-- anybody's: nothing of it has left. Each campaign is asked by itself, so that a paused one with
-- 500,000 rows costs nothing.
WITH due AS (
    SELECT waiting.message_id
    FROM campaigns c, LATERAL (
        SELECT o.message_id, o.due_at FROM outbox o
        WHERE o.campaign = c.campaign AND o.due_at <= %(clock)s AND o.state <> 'sending'
          AND (%(correlation_id)s::uuid IS NULL OR EXISTS (
            SELECT FROM messages m WHERE m.message_id = o.message_id AND m.correlation_id = %(correlation_id)s))
        ORDER BY o.due_at LIMIT %(most)s FOR UPDATE SKIP LOCKED
    ) waiting
    WHERE c.status = 'active' AND (%(campaign)s::text IS NULL OR c.campaign = %(campaign)s)
      AND (%(correlation_id)s::uuid IS NOT NULL OR c.campaign <> 'demo')
      AND (%(channel)s::text IS NULL OR c.channel = %(channel)s)
    ORDER BY waiting.due_at LIMIT %(most)s
)
UPDATE outbox o SET state = 'claimed', claim = %(claim)s, claimed_at = %(clock)s,
    due_at = %(clock)s + %(lease_s)s * interval '1 second'
FROM due WHERE o.message_id = due.message_id
RETURNING o.message_id;

-- name: domains
SELECT message_id, domain FROM messages WHERE message_id = ANY(%(message_ids)s);

-- name: hold_identity
-- Merges take this lock exclusively, so that who was reached is asked of one state of the graph.
SELECT pg_advisory_xact_lock_shared(hashtext('horizon.identity'));

-- name: begin
-- The last question before the first content byte, for a group: is the claim still mine, is it
-- still allowed, was nobody reached by it yet. Marks each message sending, or skipped with the
-- reason; has no row for one whose claim was lost or whose campaign was paused.
WITH mine AS (
    SELECT o.message_id, o.attempts, m.campaign, m.step, m.occasion, m.node, m.address_hash, m.domain, m.to_addr,
           m.tier, m.variables, m.template, m.planned_at, c.purpose, c.channel, c.audience, c.target,
           m.alert_id, c.every_days,
           coalesce(n.profile_id, (SELECT coalesce(p.points_to, p.profile_id) FROM profiles p
                                   WHERE p.profile_id = m.profile_id), m.profile_id) AS profile_id
    FROM unnest(%(message_ids)s::uuid[]) given (message_id)
    JOIN outbox o USING (message_id)
    JOIN messages m USING (message_id)
    JOIN campaigns c ON c.campaign = m.campaign
    LEFT JOIN nodes n ON n.node = m.node
    WHERE o.state = 'claimed' AND o.claim = %(claim)s
      -- Written so that no index on due_at looks useful: the key finds one row, that would find all.
      AND o.due_at + interval '0' > %(clock)s AND c.status = 'active'
      AND NOT EXISTS (SELECT FROM breakers b
                      WHERE b.campaign = m.campaign AND b.domain IN ('*', m.domain) AND b.closed_at IS NULL)
    FOR UPDATE OF o
), asked AS MATERIALIZED (
    SELECT mine.*, CASE audience
        WHEN 'operator' THEN (
            SELECT s.reason FROM suppressions s
            WHERE s.address_hash = mine.address_hash AND s.purpose IN ('*', mine.purpose) LIMIT 1)
        -- It asks for a consent, so it needs none; an unsubscription may be taken back by its owner.
        WHEN 'opt_in' THEN coalesce(
            (SELECT s.reason FROM suppressions s
             WHERE s.address_hash = mine.address_hash AND (s.purpose = '*' OR s.reason <> 'unsubscribed' AND s.purpose = (
                SELECT o.purpose FROM opt_ins o WHERE o.opt_in_id = (mine.variables ->> 'opt_in_id')::uuid)) LIMIT 1),
            (SELECT 'domain_' || d.reason FROM suppressed_domains d WHERE d.domain = mine.domain))
        ELSE coalesce(
            (SELECT r.reason FROM refusal(profile_id, address_hash, domain, purpose, channel, %(now)s) r),
            -- Planning asked the same, but of the graph as it was then. By all that has reached the person by
            -- this campaign, which carry brings along: one look-up for nearly everybody.
            (SELECT 'already_reached' FROM reached r JOIN messages o USING (message_id)
             JOIN nodes k ON k.node = o.node AND k.profile_id = mine.profile_id  -- a split may have taken it away
             WHERE r.key = profile_key(mine.profile_id) AND r.campaign = mine.campaign AND r.message_id <> mine.message_id
               AND o.status IN ('sent', 'delivered', 'bounced', 'complained', 'unknown')
               AND (o.planned_at > mine.planned_at - mine.every_days * interval '1 day'
                    OR EXISTS (SELECT FROM alerts a JOIN alerts b USING (rule)
                               WHERE a.alert_id = mine.alert_id AND b.alert_id = o.alert_id AND b.alert_id <> a.alert_id
                                 AND a.created_at < b.quiet_until AND b.created_at < a.quiet_until)) LIMIT 1))
        END AS refused
    FROM mine
), wanted AS (
    SELECT campaign, step, occasion, key, message_id
    FROM asked, LATERAL (VALUES (address_hash), (profile_key(profile_id))) keys (key)
    WHERE refused IS NULL AND key IS NOT NULL
    UNION ALL
    -- Who wants less has one place for all campaigns, which a mail under way keeps: refusal() knows
    -- only of those that are over.
    SELECT '*', 0, 'less_often', address_hash, message_id
    FROM asked
    WHERE refused IS NULL AND audience NOT IN ('operator', 'opt_in') AND (
        SELECT p.every_days FROM preferences p WHERE p.address_hash = asked.address_hash AND p.channel = asked.channel
        ORDER BY p.time DESC, p.preference_id DESC LIMIT 1) IS NOT NULL
), reaching AS (
    INSERT INTO reached AS r (campaign, step, occasion, key, message_id)
    SELECT DISTINCT ON (campaign, step, occasion, key) campaign, step, occasion, key, message_id
    FROM wanted ORDER BY campaign, step, occasion, key, message_id
    ON CONFLICT (campaign, step, occasion, key) DO UPDATE SET message_id = CASE
        WHEN r.campaign = '*' AND EXISTS (
            SELECT FROM messages m WHERE m.message_id = r.message_id AND m.status <> 'planned')
        -- A place that carry took for one of two alerts, for a message that is none of this person's any
        -- more, or did not leave.
        OR EXISTS (
            SELECT FROM messages m LEFT JOIN nodes n ON n.node = m.node
            WHERE m.message_id = r.message_id AND m.occasion <> r.occasion AND r.campaign <> '*'
              AND (profile_key(n.profile_id) IS DISTINCT FROM r.key OR m.status IN ('skipped', 'failed', 'cancelled')))
        THEN excluded.message_id ELSE r.message_id END
    RETURNING campaign, step, occasion, key, message_id
), verdict AS (
    SELECT a.*, coalesce(a.refused, late.reason) AS reason
    FROM asked a
    LEFT JOIN (
        SELECT w.message_id, min(CASE campaign WHEN '*' THEN 'less_often' ELSE 'already_reached' END) AS reason
        FROM wanted w JOIN reaching r USING (campaign, step, occasion, key)
        WHERE r.message_id <> w.message_id GROUP BY 1
    ) late USING (message_id)
), over AS (
    DELETE FROM outbox o USING verdict v WHERE o.message_id = v.message_id AND v.reason IS NOT NULL
    RETURNING o.message_id, o.claimed_at
), skipped AS (
    UPDATE messages m SET status = 'skipped', reason = v.reason, claimed_at = o.claimed_at, finished_at = %(clock)s
    FROM verdict v JOIN over o USING (message_id) WHERE m.message_id = v.message_id
), sending AS (
    UPDATE outbox o SET state = 'sending', sending_at = %(clock)s,
        due_at = %(clock)s + %(lease_s)s * interval '1 second'
    FROM verdict v WHERE o.message_id = v.message_id AND v.reason IS NULL
)
SELECT v.message_id, v.campaign, v.profile_id,
       (SELECT p.user_id FROM profile_names p WHERE p.profile_id = v.profile_id) AS user_id, v.to_addr, v.domain, v.tier, v.variables, v.template,
       v.occasion, v.planned_at,
       v.attempts, v.channel, v.reason,
       -- Most people never agreed to be counted: two look-ups tell that.
       v.audience NOT IN ('operator', 'opt_in') AND v.reason IS NULL AND (
            EXISTS (SELECT FROM nodes k JOIN consents c ON c.node = k.node
                    WHERE k.profile_id = v.profile_id AND c.purpose = 'tracking' AND c.channel = v.channel AND c.granted)
            OR EXISTS (SELECT FROM consents c WHERE c.address_hash = v.address_hash AND c.purpose = 'tracking'
                       AND c.channel = v.channel AND c.granted))
       AND (SELECT c.reason FROM consent_refusal(v.profile_id, v.address_hash, 'tracking', v.channel, %(now)s) c)
            IS NULL
       AND NOT EXISTS (SELECT FROM suppressions s
                       WHERE s.address_hash = v.address_hash AND s.purpose = 'tracking') AS tracked
FROM verdict v;

-- name: finish
-- What came of each. Whoever holds the claim may still say so when the lease has run out
-- meanwhile: then unknown becomes known. What was sent or bounced is an event again, of Horizon's
-- own source: never activity.
WITH said AS (
    SELECT * FROM unnest(%(message_ids)s::uuid[], %(statuses)s::text[], %(reasons)s::text[], %(answers)s::text[],
        %(digests)s::text[]) AS s (message_id, status, reason, answer, template_digest)
), gone AS (
    DELETE FROM outbox o USING said s WHERE o.message_id = s.message_id AND o.claim = %(claim)s
    RETURNING o.message_id, o.attempts, o.claimed_at, o.sending_at
), over AS (
    UPDATE messages m SET status = s.status, reason = s.reason, answer = s.answer, finished_at = %(clock)s,
        template_digest = coalesce(s.template_digest, m.template_digest), claim = %(claim)s,
        attempts = coalesce(g.attempts, m.attempts) + 1,
        claimed_at = coalesce(g.claimed_at, m.claimed_at), sending_at = coalesce(g.sending_at, m.sending_at)
    FROM said s LEFT JOIN gone g USING (message_id)
    WHERE m.message_id = s.message_id
      AND (g.message_id IS NOT NULL OR (m.status = 'unknown' AND m.claim = %(claim)s))
    RETURNING m.message_id, m.status, m.alert_id, m.node, m.campaign, m.address_hash
), notified AS (
    UPDATE alerts a SET status = 'NOTIFIED', notified_at = %(clock)s
    FROM over WHERE a.alert_id = over.alert_id AND over.status = 'sent' AND a.status = 'NEW'
), suppressed AS (
    INSERT INTO suppressions (address_hash, purpose, reason, created_at, message_id)
    SELECT DISTINCT ON (address_hash) address_hash, '*', 'hard_bounce', %(clock)s, message_id
    FROM over WHERE status = 'bounced' AND address_hash IS NOT NULL
    ORDER BY address_hash
    ON CONFLICT DO NOTHING
), told AS (
    SELECT over.*, CASE over.status WHEN 'sent' THEN 'Message Sent' ELSE 'Message Bounced' END AS name
    FROM over WHERE over.status IN ('sent', 'bounced') AND over.campaign <> 'demo'
)
INSERT INTO events (event_id, source_id, message_id, type, name, user_id, nodes, original_timestamp, time, received_at,
    trusted, activity, properties, era)
SELECT md5(told.name || told.message_id)::uuid, (SELECT source_id FROM sources WHERE sources.name = 'horizon'),
    told.name || ':' || told.message_id, 'track', told.name, CASE n.kind WHEN 'user_id' THEN n.value END,
    ARRAY[told.node], %(clock)s, %(clock)s, %(clock)s, true, false,
    json_build_object('campaign_id', told.campaign, 'message_id', told.message_id)::text,
    (SELECT max(era) FROM eras)
FROM told JOIN nodes n USING (node);

-- name: postpone
-- Nothing of these has left: they are planned again, later where the provider asked for patience.
-- What has begun is given back only by the sender that knows it did not leave.
UPDATE outbox o SET state = 'planned', claim = NULL,
    due_at = CASE WHEN EXISTS (
        SELECT FROM breakers b JOIN messages m ON m.message_id = s.message_id
        WHERE b.campaign = o.campaign AND b.domain IN ('*', m.domain) AND b.closed_at IS NULL)
        THEN 'infinity' ELSE coalesce(s.due_at, %(clock)s) END,
    attempts = o.attempts + s.tried::int, answer = coalesce(s.answer, o.answer)
FROM unnest(%(message_ids)s::uuid[], %(due_ats)s::timestamptz[], %(tried)s::boolean[], %(answers)s::text[])
    AS s (message_id, due_at, tried, answer)
WHERE o.message_id = s.message_id AND o.claim = %(claim)s;

-- name: recall
-- Of these, what was called unknown when the lease ran out: its sender woke and knows that nothing
-- has left. They are under way again, for postpone; who settled one meanwhile has the last word.
WITH known AS (
    UPDATE messages m SET status = 'planned', reason = NULL, finished_at = NULL, claim = NULL
    WHERE m.message_id = ANY(%(message_ids)s) AND m.status = 'unknown' AND m.claim = %(claim)s
    RETURNING m.message_id, m.campaign, m.attempts, m.claimed_at, m.sending_at
)
INSERT INTO outbox (message_id, campaign, state, due_at, claim, attempts, claimed_at, sending_at)
SELECT message_id, campaign, 'sending', %(clock)s, %(claim)s, attempts, claimed_at, sending_at FROM known;

-- name: expire
-- A sender stopped between its first content byte and the answer: nobody knows whether the
-- provider took it, so it is never sent again by itself.
WITH gone AS (
    -- A row that is locked is just being recorded, or its sender is stopped in the middle of that.
    DELETE FROM outbox WHERE message_id IN (
        SELECT message_id FROM outbox WHERE state = 'sending' AND due_at < %(clock)s FOR UPDATE SKIP LOCKED)
    RETURNING message_id, claim, attempts, claimed_at, sending_at
)
UPDATE messages m SET status = 'unknown', reason = 'sender_stopped', finished_at = %(clock)s, claim = g.claim,
    attempts = g.attempts, claimed_at = g.claimed_at, sending_at = g.sending_at
FROM gone g WHERE m.message_id = g.message_id
RETURNING m.message_id, m.campaign, m.profile_id, m.tier, m.correlation_id,
    (SELECT user_id FROM profile_names n WHERE n.profile_id =
        coalesce((SELECT k.profile_id FROM nodes k WHERE k.node = m.node), m.profile_id)) AS user_id;

-- name: settle
UPDATE messages SET status = %(status)s, reason = 'settled', finished_at = %(clock)s, claim = NULL
WHERE message_id = %(message_id)s AND status = 'unknown';

-- name: notify_alert
UPDATE alerts SET status = 'NOTIFIED', notified_at = %(clock)s
WHERE alert_id = (SELECT alert_id FROM messages WHERE message_id = %(message_id)s) AND status = 'NEW';

-- name: write_sent_event
INSERT INTO events (event_id, source_id, message_id, type, name, user_id, nodes, original_timestamp, time, received_at,
    trusted, activity, properties, era)
SELECT md5('Message Sent' || m.message_id)::uuid, s.source_id, 'Message Sent:' || m.message_id, 'track', 'Message Sent',
    CASE n.kind WHEN 'user_id' THEN n.value END, ARRAY[m.node], %(clock)s, %(clock)s, %(clock)s,
    true, false, json_build_object('campaign_id', m.campaign, 'message_id', m.message_id)::text,
    (SELECT max(era) FROM eras)
FROM messages m JOIN nodes n USING (node) JOIN sources s ON s.name = 'horizon'
WHERE m.message_id = %(message_id)s AND m.campaign <> 'demo';

-- name: show
-- One message from the events that led to it to the provider's answer.
SELECT m.message_id, m.campaign, m.template, m.template_digest, m.occasion, coalesce(o.state, m.status) AS status, m.reason,
       n.user_id, 'p' || m.profile_id AS profile, m.to_addr,
       last.name AS last_event, last.event_id AS last_event_id,
       a.alert_id, a.score AS alert_score, a.threshold, a.created_at AS alerted_at, a.status AS alert_status,
       s.score AS newest_score, s.last_activity AS newest_activity,
       c.way AS consent_by, c.time AS consent_at, c.event_id AS consent_event_id,
       m.planned_at,
       coalesce(o.claimed_at, m.claimed_at) AS claimed_at, coalesce(o.sending_at, m.sending_at) AS sending_at,
       m.finished_at, coalesce(o.attempts, m.attempts) AS attempts,
       CASE WHEN o.state = 'planned' THEN nullif(o.due_at, 'infinity') END AS due_at, coalesce(m.answer, o.answer) AS answer,
       m.correlation_id
FROM messages m
LEFT JOIN outbox o USING (message_id)
LEFT JOIN nodes own ON own.node = m.node
CROSS JOIN LATERAL (SELECT coalesce(own.profile_id, m.profile_id) AS profile_id) now
LEFT JOIN LATERAL (SELECT p.user_id FROM profile_names p WHERE p.profile_id = now.profile_id) n ON true
LEFT JOIN current_scores s ON s.profile_id = now.profile_id
LEFT JOIN alerts a USING (alert_id)
LEFT JOIN consents c USING (consent_id)
LEFT JOIN LATERAL (
    SELECT e.name, e.event_id FROM profile_events(now.profile_id) e
    WHERE e.activity AND e.time <= m.planned_at
    ORDER BY e.time DESC LIMIT 1
) last ON true
WHERE m.message_id = %(message_id)s;

-- name: cancel_demo
WITH gone AS (
    DELETE FROM outbox o USING messages m
    WHERE m.message_id = o.message_id AND m.correlation_id = %(correlation_id)s AND o.campaign = 'demo'
      AND o.state <> 'sending'
    RETURNING o.message_id
)
UPDATE messages m SET status = 'cancelled', reason = 'server_away', finished_at = %(clock)s
FROM gone WHERE m.message_id = gone.message_id;

-- name: waiting
-- Of one run, or of everything but demo mode's.
SELECT count(*)::int AS messages FROM outbox o
WHERE o.state <> 'sending' AND o.due_at < 'infinity'
  AND CASE WHEN %(correlation_id)s::uuid IS NULL THEN o.campaign <> 'demo' ELSE EXISTS (
        SELECT FROM messages m WHERE m.message_id = o.message_id AND m.correlation_id = %(correlation_id)s) END;

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
WHERE (%(status)s::text IS NULL OR status = %(status)s) AND (%(campaign)s::text IS NULL OR campaign_id = %(campaign)s)
ORDER BY coalesce(sending_at, planned_at) DESC, message_id LIMIT %(most)s;

-- name: register_targets
-- Where the links of a template lead; a click can go nowhere else.
WITH fresh AS (
    INSERT INTO click_targets (url) SELECT unnest(%(urls)s::text[]) ON CONFLICT DO NOTHING RETURNING target_id, url
)
SELECT target_id, url FROM fresh
UNION ALL
SELECT target_id, url FROM click_targets WHERE url = ANY(%(urls)s);

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

-- name: release_unheld
-- Whatever waits for a breaker that is not open (any more): also what was planned or given back at
-- the moment when it was closed, which would wait for ever.
UPDATE outbox o SET due_at = %(clock)s
FROM messages m, campaigns c
WHERE o.campaign = c.campaign AND o.due_at = 'infinity' AND o.state = 'planned' AND m.message_id = o.message_id
  AND NOT EXISTS (SELECT FROM breakers b
                  WHERE b.campaign = o.campaign AND b.domain IN ('*', m.domain) AND b.closed_at IS NULL);

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

-- name: suppress_reported
INSERT INTO suppressions (address_hash, purpose, reason, created_at, message_id)
SELECT address_hash, '*', %(why)s, %(clock)s, message_id FROM messages
WHERE message_id = %(message_id)s AND address_hash IS NOT NULL
ON CONFLICT DO NOTHING;

-- name: ask_domains
-- Takes the domains to ask the DNS about: those of the mails that leave now or next, and those
-- that took none when they were asked. Once a week, or an hour after nobody answered; noted before they are asked, so
-- that of two senders one asks.
WITH ahead AS (
    SELECT DISTINCT m.domain
    FROM campaigns c, LATERAL (
        SELECT o.message_id FROM outbox o
        WHERE o.campaign = c.campaign AND o.due_at < 'infinity'
        ORDER BY o.due_at LIMIT %(ahead)s
    ) waiting
    JOIN messages m USING (message_id)
    WHERE c.status = 'active' AND c.channel = 'email' AND c.audience <> 'operator'
), due AS (
    SELECT domain FROM (
        SELECT domain FROM ahead WHERE domain <> ''
        UNION SELECT domain FROM suppressed_domains WHERE reason = 'null_mx'
    ) wanted LEFT JOIN domains known USING (domain)
    WHERE known.asked_at IS NULL OR known.asked_at <= %(clock)s
        - CASE known.answer WHEN 'unanswered' THEN interval '1 hour' ELSE interval '7 days' END
    ORDER BY domain LIMIT %(most)s
)
INSERT INTO domains AS known (domain, answer, asked_at)
SELECT domain, 'unanswered', %(clock)s FROM due ORDER BY domain
ON CONFLICT (domain) DO UPDATE SET answer = excluded.answer, asked_at = excluded.asked_at
WHERE known.asked_at < excluded.asked_at - interval '1 hour'
RETURNING domain;

-- name: note_domains
-- What the DNS said. A null MX stops the domain, and a domain that has a server again is freed;
-- the operator's own word stays.
WITH said AS (
    SELECT * FROM unnest(%(domains)s::text[], %(answers)s::text[]) AS s (domain, answer)
), noted AS (
    UPDATE domains d SET answer = s.answer FROM said s WHERE d.domain = s.domain
), freed AS (
    DELETE FROM suppressed_domains d USING said s
    WHERE d.domain = s.domain AND d.reason = 'null_mx' AND s.answer = 'takes_mail'
    RETURNING d.domain
), stopped AS (
    INSERT INTO suppressed_domains (domain, reason, created_at)
    SELECT domain, 'null_mx', %(clock)s FROM said WHERE answer = 'null_mx' ORDER BY domain
    ON CONFLICT DO NOTHING
)
SELECT count(*)::int AS freed FROM freed;
