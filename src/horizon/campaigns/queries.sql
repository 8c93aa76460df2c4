-- name: find
SELECT campaign, audience, template, channel, purpose, every_days, target, status FROM campaigns
WHERE campaign = %(campaign)s AND (status <> 'removed' OR %(removed)s);

-- name: names
SELECT campaign FROM campaigns WHERE audience <> 'operator' AND status <> 'removed' ORDER BY campaign;

-- name: list
-- Those that a person runs: not demo mode's.
SELECT * FROM campaigns WHERE audience <> 'operator' AND status <> 'removed' ORDER BY campaign;

-- name: waiting
-- How many messages of a campaign wait or are under way. Its row stays locked: nobody plans more.
SELECT (SELECT count(*)::int FROM outbox o WHERE o.campaign = c.campaign) AS messages
FROM campaigns c WHERE c.campaign = %(campaign)s FOR UPDATE;

-- name: remove
-- The row of one that has messages stays: the links in its mails, and what comes back of them, ask it
-- for channel and purpose.
UPDATE campaigns SET status = 'removed' WHERE campaign = %(campaign)s;

-- name: forget
-- One that never decided about anybody leaves nothing, and its name is free.
DELETE FROM campaigns c WHERE c.campaign = %(campaign)s
    AND NOT EXISTS (SELECT FROM messages m WHERE m.campaign = c.campaign)
    AND NOT EXISTS (SELECT FROM breakers b WHERE b.campaign = c.campaign);

-- name: add
INSERT INTO campaigns (campaign, audience, template, channel, purpose, every_days, target)
VALUES (%(campaign)s, %(audience)s, %(template)s, %(channel)s, %(purpose)s, %(every_days)s, %(target)s)
ON CONFLICT DO NOTHING;

-- name: purposes
SELECT purpose FROM purposes ORDER BY position, purpose;

-- name: active
SELECT campaign FROM campaigns WHERE audience <> 'operator' AND status = 'active' ORDER BY campaign;

-- name: set_status
UPDATE campaigns SET status = %(status)s WHERE campaign = %(campaign)s AND status <> %(status)s;

-- name: cancel
-- What is being sent at this moment is not called back; a claim is, since nothing of it has left.
WITH gone AS (
    DELETE FROM outbox WHERE campaign = %(campaign)s AND state <> 'sending' RETURNING message_id
)
UPDATE messages m SET status = 'cancelled', reason = 'campaign_stopped', finished_at = %(clock)s
FROM gone WHERE m.message_id = gone.message_id;

-- name: scored
SELECT score_run FROM score_runs WHERE active;

-- name: hold_active
SELECT true AS active FROM campaigns WHERE campaign = %(campaign)s AND status = 'active' FOR SHARE;

-- name: choose_joins
-- For this transaction: the tables of people are looked up by index for a few, and read whole and
-- joined by hash for many, whatever the statistics say or do not say. Left to itself and without
-- them, the planner took a nested loop over 20,000 people: 7 minutes.
SELECT count(set_config(setting, CASE WHEN wanted THEN 'on' ELSE 'off' END, true)) AS settings
FROM (VALUES ('enable_nestloop', %(few)s), ('enable_seqscan', NOT %(few)s), ('enable_bitmapscan', NOT %(few)s),
             ('enable_mergejoin', false))
     chosen (setting, wanted);

-- name: next_people
-- How far the next chunk reaches: up to so many candidates, decided about or not. Of one person all
-- alerts are in one chunk.
SELECT count(*)::int AS candidates, max(profile_id) AS last
FROM (
    (SELECT s.profile_id FROM scores s
     WHERE %(audience)s = 'engaged' AND s.score_run = %(score_run)s AND s.profile_id > %(after)s
       AND s.tier = 'low' AND s.activities > 0
     ORDER BY s.profile_id LIMIT %(most)s)
    UNION ALL
    (SELECT a.profile_id FROM alerts a
     WHERE %(audience)s = 'alerts' AND a.status <> 'RESOLVED' AND a.profile_id > %(after)s
     ORDER BY a.profile_id LIMIT %(most)s)
) candidates;

-- name: make_room
-- What a chunk has planned, until it is clear which addresses the chunks beside it have taken.
CREATE TEMP TABLE IF NOT EXISTS chunk_planned (
    message_id uuid, profile_id bigint, occasion text, address_hash uuid, domain text
);

-- name: empty_room
TRUNCATE chunk_planned;

-- name: plan
-- A message for each candidate after one profile up to another, decided at once: whom it would
-- go to, and why not where it may not. What is decided against is a row as well, so that nobody
-- wonders why there was no mail. It is kept for the node that the address is from: where a split parts
-- them again, it stays with who got it. An alert is an occasion of its own; a campaign without alerts has
-- one a day, and writes to nobody whom it decided about within every_days.
-- Consent is decided as refusal() does, for all at once: sending asks that one again, and
-- test_refusal.py holds the two together. For 500,000 people refusal() takes three times as long.
-- (SELECT true ... LIMIT 1) of one table stays a look-up by index, whatever choose_joins says:
-- messages only ever grow and are never read whole.
WITH chunk AS MATERIALIZED (
    SELECT row_number() OVER () AS number, due.*
    FROM (
        SELECT NULL::bigint AS alert_id, NULL::uuid AS node, s.profile_id,
               'day:' || to_char(%(now)s AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS occasion,
               s.tier, s.score, s.activities, s.silent_s, s.last_activity
        FROM scores s
        WHERE %(audience)s = 'engaged' AND s.score_run = %(score_run)s
          AND s.profile_id > %(after)s AND s.profile_id <= %(last)s
          AND s.tier = 'low' AND s.activities > 0
          AND (SELECT true FROM nodes mine WHERE mine.profile_id = s.profile_id AND (
                   SELECT true FROM messages m
                   WHERE m.node = mine.node AND m.campaign = %(campaign)s AND m.status NOT IN ('failed', 'cancelled')
                     AND m.planned_at > %(now)s - %(every_days)s * interval '1 day' LIMIT 1) LIMIT 1) IS NULL
        UNION ALL
        SELECT a.alert_id, a.node, n.profile_id, 'alert:' || a.alert_id,
               s.tier, s.score, s.activities, s.silent_s, s.last_activity
        FROM (
            SELECT a.profile_id, a.alert_id, a.node FROM alerts a
            WHERE %(audience)s = 'alerts' AND a.status <> 'RESOLVED' AND a.created_at <= %(now)s
              AND a.profile_id > %(after)s AND a.profile_id <= %(last)s
              AND (SELECT true FROM messages m
                   WHERE m.alert_id = a.alert_id AND m.campaign = %(campaign)s LIMIT 1) IS NULL
            OFFSET 0
        ) a
        LEFT JOIN nodes n USING (node)
        LEFT JOIN scores s ON s.profile_id = n.profile_id AND s.score_run = %(score_run)s
    ) due
), known AS MATERIALIZED (
    SELECT n.profile_id, n.node, n.kind, n.value, n.first_seen, n.live
    FROM (SELECT DISTINCT profile_id FROM chunk) people JOIN nodes n USING (profile_id)
), names AS (  -- profile_names
    SELECT DISTINCT ON (profile_id) profile_id, node,
           CASE kind WHEN 'user_id' THEN value ELSE 'p' || profile_id END AS user_id
    FROM known WHERE live
    ORDER BY profile_id, CASE kind WHEN 'user_id' THEN 0 WHEN 'email' THEN 1 WHEN 'phone' THEN 2 ELSE 3 END,
             first_seen, node
), told AS MATERIALIZED (  -- profile_traits
    SELECT DISTINCT ON (k.profile_id, t.name = 'email') k.profile_id, k.node, t.name = 'email' AS is_email,
           t.value #>> '{}' AS value, t.value_node
    FROM known k JOIN traits t ON t.node = k.node AND t.name IN ('email', 'first_name')
    WHERE k.live
    ORDER BY k.profile_id, t.name = 'email', t.name = 'email' AND NOT t.trusted, t.time DESC, t.event_id DESC
), emails AS (
    SELECT profile_id, node, btrim(value, E' \t\r\n') AS to_addr, value_node FROM told WHERE is_email
), first_names AS (
    SELECT profile_id, value AS first_name FROM told WHERE NOT is_email
), addressed AS MATERIALIZED (
    SELECT profile_id, node, to_addr, value_node AS address_hash, lower(split_part(to_addr, '@', 2)) AS domain
    FROM emails WHERE value_node IS NOT NULL AND %(target)s::text IS NULL
    UNION ALL
    -- A channel that goes to one place for everybody: what is suppressed is the person.
    SELECT profile_id, node, %(target)s, node, %(target_host)s FROM names WHERE %(target)s::text IS NOT NULL
), said AS MATERIALIZED (  -- from here to wishes: refusal()
    SELECT k.profile_id, k.node, c.address_hash, c.granted, c.time, c.consent_id
    FROM known k
    JOIN consents c ON c.node = k.node AND c.purpose = %(purpose)s AND c.channel = %(channel)s
    WHERE c.time <= %(now)s OR NOT c.granted
), by_node AS (
    SELECT profile_id, bool_and(granted) AS granted, max(consent_id) AS consent_id
    FROM (SELECT DISTINCT ON (profile_id, node) profile_id, granted, consent_id
          FROM said ORDER BY profile_id, node, time DESC, granted, consent_id DESC) latest
    GROUP BY profile_id
), by_address AS (
    SELECT DISTINCT ON (profile_id) profile_id, granted, consent_id
    FROM (
        SELECT a.profile_id, c.granted, c.time, c.consent_id
        FROM addressed a
        JOIN consents c ON c.address_hash = a.address_hash AND c.purpose = %(purpose)s AND c.channel = %(channel)s
        WHERE c.time <= %(now)s OR NOT c.granted
        UNION ALL
        SELECT profile_id, granted, time, consent_id FROM said WHERE address_hash IS NULL
    ) of_address
    ORDER BY profile_id, time DESC, granted, consent_id DESC
), suppressed AS (
    SELECT DISTINCT ON (profile_id) profile_id, reason
    FROM (
        SELECT a.profile_id, s.purpose, s.reason
        FROM addressed a JOIN suppressions s USING (address_hash)
        UNION ALL
        SELECT k.profile_id, s.purpose, s.reason  -- by another node of the person
        FROM known k JOIN suppressions s ON s.address_hash = k.node
        WHERE %(target)s::text IS NOT NULL AND k.kind NOT IN ('email', 'phone')
    ) s
    WHERE s.purpose IN ('*', %(purpose)s)
    ORDER BY profile_id, s.purpose
), wishes AS (
    SELECT DISTINCT ON (a.profile_id) a.profile_id, CASE
        WHEN p.paused_until > %(now)s THEN 'paused'
        WHEN (SELECT true FROM messages m
              WHERE m.address_hash = a.address_hash AND m.planned_at > %(now)s - p.every_days * interval '1 day'
                AND m.status IN ('sent', 'delivered', 'unknown')
                AND m.campaign NOT IN (SELECT campaign FROM campaigns WHERE audience IN ('operator', 'opt_in')) LIMIT 1)
        THEN 'less_often' END AS reason
    FROM addressed a JOIN preferences p USING (address_hash)
    WHERE p.channel = %(channel)s
    ORDER BY a.profile_id, p.time DESC, p.preference_id DESC
), judged AS MATERIALIZED (
    SELECT c.*, coalesce(a.node, c.node, names.node) AS for_node, names.user_id, a.to_addr, a.address_hash, a.domain,
           coalesce(f.first_name, '') AS first_name,
           -- the record that allowed it: of this address, else of the person
           coalesce(by_address.consent_id, by_node.consent_id) AS consent_id,
           CASE
               WHEN a.address_hash IS NULL THEN 'no_address'
               WHEN %(target)s::text IS NULL AND NOT is_address(a.to_addr) THEN 'invalid_address'
               WHEN EXISTS (SELECT FROM restores r WHERE NOT r.nothing_sent_since
                   AND r.restored_at > %(now)s - %(quiet_days)s * interval '1 day') THEN 'restored'
               ELSE coalesce(
                   suppressed.reason, 'domain_' || d.reason,
                   CASE WHEN coalesce(by_node.granted, by_address.granted) IS NULL THEN 'no_consent'
                        WHEN NOT (by_node.granted IS NOT FALSE AND by_address.granted IS NOT FALSE) THEN 'refused' END,
                   wishes.reason)
           END AS reason
    FROM chunk c
    JOIN names USING (profile_id)
    LEFT JOIN addressed a USING (profile_id)
    LEFT JOIN first_names f USING (profile_id)
    LEFT JOIN suppressed USING (profile_id)
    LEFT JOIN suppressed_domains d ON d.domain = a.domain
    LEFT JOIN by_node USING (profile_id)
    LEFT JOIN by_address USING (profile_id)
    LEFT JOIN wishes USING (profile_id)
    WHERE c.tier IS NOT NULL  -- an alert of somebody who has no score is no candidate
), sharers AS (  -- one mail an address; in other chunks: take_addresses
    SELECT address_hash, min(number) AS first_number
    FROM judged WHERE reason IS NULL GROUP BY address_hash HAVING count(*) > 1
), decided AS (
    SELECT j.*, CASE WHEN j.reason IS NULL AND j.number > sharers.first_number THEN 'same_address' ELSE j.reason END AS verdict
    FROM judged j LEFT JOIN sharers USING (address_hash)
), written AS (
    INSERT INTO messages (campaign, node, profile_id, occasion, alert_id, to_addr, address_hash, domain, tier,
        variables, template, template_digest, status, reason, consent_id, correlation_id, planned_at, finished_at)
    SELECT %(campaign)s, for_node, profile_id, occasion, alert_id, to_addr, address_hash, domain, tier,
        jsonb_build_object(
            'first_name', first_name, 'tier', tier, 'activity_count', activities,
            'days_silent', greatest(0, floor(silent_s / 86400))::int,
            'last_seen', coalesce(to_char(last_activity AT TIME ZONE 'UTC', 'YYYY-MM-DD'), ''),
            'score_percent', round(score * 100)::int),
        %(template)s, %(template_digest)s, CASE WHEN verdict IS NULL THEN 'planned' ELSE 'skipped' END, verdict,
        CASE WHEN reason IS NULL THEN consent_id END, %(correlation_id)s, %(now)s,
        CASE WHEN verdict IS NOT NULL THEN %(now)s END
    FROM decided
    ON CONFLICT (campaign, step, profile_id, occasion) DO NOTHING
    RETURNING message_id, profile_id, occasion, tier, status, reason, address_hash, domain
), waiting AS (
    INSERT INTO chunk_planned SELECT message_id, profile_id, occasion, address_hash, domain FROM written WHERE status = 'planned'
)
-- First how many are skipped and why, then who (and in a rehearsal everybody).
SELECT (SELECT coalesce(jsonb_object_agg(reason, messages), '{}') FROM (
           SELECT reason, count(*) AS messages FROM written WHERE status = 'skipped' GROUP BY reason) counted) AS reasons,
       NULL::uuid AS message_id, NULL::bigint AS profile_id, NULL AS user_id, NULL AS tier, NULL AS status, NULL AS reason
UNION ALL
SELECT NULL, w.message_id, w.profile_id, j.user_id, w.tier, w.status, w.reason
FROM written w JOIN judged j USING (profile_id, occasion)
WHERE w.status = 'skipped' OR %(everybody)s
ORDER BY profile_id NULLS FIRST;

-- name: one_at_a_time
-- Chunks are decided beside each other; in this last step each sees what those before it have taken.
SELECT pg_advisory_xact_lock(hashtext('horizon.take_addresses'));

-- name: take_addresses
-- What the chunk has planned waits to be sent from now on, but for a second mail to one address: in
-- the run's and the occasion's other chunks, and while somebody else's of this campaign still waits
-- for it, as after a run that broke off.
WITH held AS MATERIALIZED (
    SELECT b.domain FROM breakers b WHERE b.campaign = %(campaign)s AND b.closed_at IS NULL
), chosen AS MATERIALIZED (
    SELECT c.*, (
        SELECT true FROM messages m
        WHERE m.address_hash = c.address_hash AND m.campaign = %(campaign)s AND m.message_id <> c.message_id
          AND m.status NOT IN ('skipped', 'failed', 'cancelled')
          AND (m.occasion = c.occasion OR m.correlation_id = %(correlation_id)s
               OR (m.status = 'planned' AND (m.profile_id <> c.profile_id OR NOT EXISTS (
                   SELECT FROM nodes n WHERE n.node = m.node AND n.profile_id = c.profile_id)))) LIMIT 1) AS taken
    FROM chunk_planned c
), second AS (
    UPDATE messages m SET status = 'skipped', reason = 'same_address', finished_at = %(now)s
    WHERE m.message_id = ANY (ARRAY(SELECT message_id FROM chosen WHERE taken))  -- by index, whatever choose_joins says
    RETURNING m.message_id, m.profile_id, m.tier, m.status, m.reason
), waiting AS (
    INSERT INTO outbox (message_id, campaign, due_at)
    SELECT message_id, %(campaign)s,
           CASE WHEN '*' IN (SELECT domain FROM held) OR domain IN (SELECT domain FROM held)
                THEN 'infinity' ELSE least(%(now)s, %(clock)s) END
    FROM chosen WHERE taken IS NULL
)
SELECT (SELECT count(*)::int FROM chosen WHERE taken IS NULL) AS planned, NULL::uuid AS message_id,
       NULL::bigint AS profile_id, NULL AS user_id, NULL AS tier, NULL AS status, NULL AS reason
UNION ALL
SELECT NULL, s.message_id, s.profile_id, n.user_id, s.tier, s.status, s.reason
FROM second s LEFT JOIN LATERAL (SELECT p.user_id FROM profile_names p WHERE p.profile_id = s.profile_id LIMIT 1) n ON true
ORDER BY message_id NULLS FIRST;

-- name: plan_demo
-- Demo mode: what the newest alerts would say, to the operator alone. No alert is touched.
WITH written AS (
INSERT INTO messages (campaign, node, profile_id, occasion, to_addr, address_hash, domain, tier, variables,
    template, template_digest, status, correlation_id, planned_at)
SELECT 'demo', shown.node, shown.profile_id, shown.occasion, %(to_addr)s, %(address_hash)s,
    lower(split_part(%(to_addr)s, '@', 2)), shown.tier,
    jsonb_build_object('alerts', shown.alerts, 'count', jsonb_array_length(shown.alerts)),
    %(template)s, %(template_digest)s, 'planned', %(correlation_id)s, %(now)s
FROM (
    SELECT NULL::uuid AS node, a.profile_id, 'demo:' || %(correlation_id)s || ':' || a.alert_id AS occasion, a.tier,
           jsonb_build_array(open_alert(a)) AS alerts
    FROM alerts a WHERE NOT %(aggregated)s AND a.status <> 'RESOLVED' AND a.created_at <= %(now)s
    UNION ALL
    SELECT NULL, 0, 'demo:' || %(correlation_id)s, NULL, jsonb_agg(open_alert(a) ORDER BY a.score DESC, a.alert_id)
    FROM alerts a WHERE %(aggregated)s AND a.status <> 'RESOLVED' AND a.created_at <= %(now)s
    HAVING count(*) > 0
) shown
RETURNING message_id)
INSERT INTO outbox (message_id, campaign, due_at) SELECT message_id, 'demo', least(%(now)s, %(clock)s) FROM written;

-- name: lock_opt_ins
SELECT pg_advisory_xact_lock(hashtext('horizon.opt_ins'));

-- name: plan_opt_ins
-- A message for each opt-in that waits, decided at once, once. It goes to the address alone and is
-- about nobody's profile. Global suppression stops it, and so does one of its purpose unless that
-- is an unsubscription: confirming lifts that. Where the hour's number is used up, the newer ones
-- wait, two days at most: whoever asked then would not know any more what the mail is about. While
-- it is used up nothing is judged: a flood of 100,000 would cost seconds each minute.
WITH quota AS (
    SELECT greatest(0, %(per_hour)s - count(*)) AS mails FROM opt_ins x WHERE x.mailed_at > %(now)s - interval '1 hour'
), waiting AS (
    SELECT o.*, lower(split_part(o.to_addr, '@', 2)) AS domain, coalesce(n.profile_id, 0) AS profile_id
    FROM opt_ins o LEFT JOIN nodes n ON n.node = o.node
    WHERE o.decided_at IS NULL AND o.confirmed_at IS NULL AND o.asked_at <= %(now)s
      AND ((SELECT mails FROM quota) > 0 OR o.asked_at <= %(now)s - interval '2 days')
), judged AS MATERIALIZED (
    SELECT w.*, CASE
        WHEN w.asked_at <= %(now)s - interval '2 days' THEN 'asked_long_ago'
        WHEN is_address(w.to_addr) IS NOT TRUE THEN 'invalid_address'
        WHEN blocked.reason IS NOT NULL THEN blocked.reason
        WHEN barred.reason IS NOT NULL THEN 'domain_' || barred.reason
        -- Only a preference, or nothing at all, stands against a mail: so the consent is there.
        WHEN refused.reason IS NULL OR refused.reason IN ('paused', 'less_often') THEN 'consent_stands'
        WHEN EXISTS (SELECT FROM restores r WHERE NOT r.nothing_sent_since
            AND r.restored_at > %(now)s - %(quiet_days)s * interval '1 day') THEN 'restored'
        WHEN EXISTS (SELECT FROM opt_ins x
            WHERE x.address_hash = w.address_hash AND x.mailed_at > %(now)s - interval '1 day') THEN 'asked_today'
        END AS reason
    FROM waiting w
    LEFT JOIN LATERAL (SELECT s.reason FROM suppressions s WHERE s.address_hash = w.address_hash
        AND (s.purpose = '*' OR (s.purpose = w.purpose AND s.reason <> 'unsubscribed'))
        ORDER BY s.purpose LIMIT 1) blocked ON true
    LEFT JOIN suppressed_domains barred ON barred.domain = w.domain
    LEFT JOIN LATERAL (SELECT r.reason FROM
        refusal(w.profile_id, w.address_hash, w.domain, w.purpose, w.channel, %(now)s) r) refused ON true
), first AS (
    SELECT j.*, CASE WHEN j.reason IS NULL AND row_number() OVER (
        PARTITION BY j.address_hash, j.reason IS NULL ORDER BY j.asked_at, j.opt_in_id) > 1
        THEN 'asked_today' ELSE j.reason END AS verdict
    FROM judged j
), decided AS (
    SELECT f.* FROM (
        SELECT f.*, row_number() OVER (PARTITION BY f.verdict IS NULL ORDER BY f.asked_at, f.opt_in_id) AS place
        FROM first f
    ) f
    WHERE f.verdict IS NOT NULL OR f.place <= (SELECT mails FROM quota)
), marked AS (
    UPDATE opt_ins o SET decided_at = %(now)s, mailed_at = CASE WHEN d.verdict IS NULL THEN %(now)s END
    FROM decided d WHERE o.opt_in_id = d.opt_in_id
), written AS (
    INSERT INTO messages (campaign, node, profile_id, occasion, to_addr, address_hash, domain, variables,
        template, template_digest, status, reason, correlation_id, planned_at, finished_at)
    SELECT %(campaign)s, address_hash, 0, 'opt_in:' || opt_in_id, to_addr, address_hash, domain,
        jsonb_build_object('purpose_title', purpose_title(purpose, language), 'wording', wording,
            'language', language, 'opt_in_id', opt_in_id),
        %(template)s, %(template_digest)s, CASE WHEN verdict IS NULL THEN 'planned' ELSE 'skipped' END,
        verdict, %(correlation_id)s, %(now)s, CASE WHEN verdict IS NOT NULL THEN %(now)s END
    FROM decided
    ORDER BY asked_at, opt_in_id
    ON CONFLICT (campaign, step, profile_id, occasion) DO NOTHING
    RETURNING message_id, profile_id, tier, status, reason
), due AS (
    INSERT INTO outbox (message_id, campaign, due_at)
    SELECT message_id, %(campaign)s, least(%(now)s, %(clock)s) FROM written WHERE status = 'planned'
)
SELECT w.*, NULL AS user_id FROM written w ORDER BY message_id;
