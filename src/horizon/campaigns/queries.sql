-- name: find
SELECT campaign, audience, template, channel, purpose, every_days, target FROM campaigns WHERE campaign = %(campaign)s;

-- name: names
SELECT campaign FROM campaigns WHERE audience <> 'operator' ORDER BY campaign;

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

-- name: plan
-- A message for each candidate, decided at once: whom it would go to, and why not where it may
-- not. What is decided against is a row as well, so that nobody wonders why there was no mail.
-- An alert is an occasion of its own; a campaign without alerts has one a day, and writes to
-- nobody whom it decided about within every_days.
WITH active AS (
    SELECT s.* FROM scores s WHERE s.score_run = (SELECT score_run FROM score_runs WHERE active)
), candidates AS (
    SELECT a.alert_id, a.node, s.*, 'alert:' || a.alert_id AS occasion
    FROM alerts a
    JOIN nodes n USING (node)
    JOIN active s ON s.profile_id = n.profile_id
    WHERE %(audience)s = 'alerts' AND a.status = 'NEW' AND a.created_at <= %(now)s
      AND NOT EXISTS (SELECT FROM messages m WHERE m.alert_id = a.alert_id AND m.campaign = %(campaign)s)
    UNION ALL
    SELECT NULL, names.node, s.*, 'day:' || to_char(%(now)s AT TIME ZONE 'UTC', 'YYYY-MM-DD')
    FROM active s
    JOIN LATERAL (SELECT p.node FROM profile_names p WHERE p.profile_id = s.profile_id) names ON true
    WHERE %(audience)s = 'engaged' AND s.tier = 'low' AND s.activities > 0
      AND NOT EXISTS (
        SELECT FROM nodes mine JOIN messages m ON m.node = mine.node
        WHERE mine.profile_id = s.profile_id AND m.campaign = %(campaign)s
          AND m.status NOT IN ('failed', 'cancelled')
          AND m.planned_at > %(now)s - %(every_days)s * interval '1 day')
), addressed AS (
    SELECT c.*, btrim(email.value #>> '{}', E' \t\r\n') AS to_addr, email.value_node AS address_hash,
           lower(split_part(btrim(email.value #>> '{}', E' \t\r\n'), '@', 2)) AS domain,
           coalesce(first_name.value #>> '{}', '') AS first_name
    FROM candidates c
    LEFT JOIN LATERAL (SELECT value, value_node FROM profile_traits t
        WHERE t.profile_id = c.profile_id AND t.name = 'email' AND t.value_node IS NOT NULL) email ON true
    LEFT JOIN LATERAL (SELECT value FROM profile_traits t
        WHERE t.profile_id = c.profile_id AND t.name = 'first_name') first_name ON true
), judged AS MATERIALIZED (  -- once a person, however often the verdict is read
    SELECT a.*,
           CASE
               WHEN a.address_hash IS NULL THEN 'no_address'
               WHEN NOT is_address(a.to_addr) THEN 'invalid_address'
               WHEN EXISTS (SELECT FROM restores r WHERE NOT r.nothing_sent_since
                   AND r.restored_at > %(now)s - %(quiet_days)s * interval '1 day') THEN 'restored'
               ELSE (SELECT asked.reason FROM refusal(a.profile_id, a.address_hash, a.domain, %(purpose)s, %(channel)s, %(now)s) asked)
           END AS reason
    FROM addressed a
), decided AS (
    SELECT j.*, CASE WHEN j.reason IS NULL AND row_number() OVER (
        PARTITION BY j.address_hash, j.reason IS NULL ORDER BY j.profile_id) > 1
        THEN 'same_address' ELSE j.reason END AS verdict
    FROM judged j
), written AS (
    INSERT INTO messages (campaign, node, profile_id, occasion, alert_id, to_addr, address_hash, domain, tier,
        variables, template, template_digest, status, reason, consent_id, correlation_id, planned_at, finished_at)
    SELECT %(campaign)s, node, profile_id, occasion, alert_id, to_addr, address_hash, domain, tier,
        jsonb_build_object(
            'first_name', first_name, 'tier', tier, 'activity_count', activities,
            'days_silent', greatest(0, floor(silent_s / 86400))::int,
            'last_seen', coalesce(to_char(last_activity AT TIME ZONE 'UTC', 'YYYY-MM-DD'), ''),
            'score_percent', round(score * 100)::int),
        %(template)s, %(template_digest)s, CASE WHEN verdict IS NULL THEN 'planned' ELSE 'skipped' END,
        verdict, CASE WHEN verdict IS NULL THEN allowed.consent_id END, %(correlation_id)s, %(now)s, CASE WHEN verdict IS NOT NULL THEN %(now)s END
    FROM decided d
    LEFT JOIN LATERAL (
        SELECT c.consent_id FROM consents c
        WHERE (c.node = d.node OR c.address_hash = d.address_hash) AND c.granted
          AND c.purpose = %(purpose)s AND c.channel = %(channel)s AND c.time <= %(now)s
        ORDER BY c.time DESC, c.consent_id DESC LIMIT 1
    ) allowed ON true
    ORDER BY profile_id
    ON CONFLICT (campaign, step, profile_id, occasion) DO NOTHING
    RETURNING message_id, profile_id, tier, status, reason
), waiting AS (
    INSERT INTO outbox (message_id, campaign, due_at)
    SELECT message_id, %(campaign)s, least(%(now)s, %(clock)s) FROM written WHERE status = 'planned'
)
SELECT w.*, names.user_id
FROM written w
JOIN LATERAL (SELECT p.user_id FROM profile_names p WHERE p.profile_id = w.profile_id) names ON true
ORDER BY w.profile_id;

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
