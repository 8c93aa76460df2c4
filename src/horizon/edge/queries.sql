-- name: message_target
-- Whom an unsubscribe link's message went to, and what it was sent for.
SELECT m.campaign, m.node, m.address_hash, c.purpose, c.channel
FROM messages m JOIN campaigns c USING (campaign)
WHERE m.message_id = %(message_id)s

-- name: record_consent
-- No conflict target: naming one needs SELECT, and the edge may not read consents.
INSERT INTO consents (node, address_hash, purpose, channel, granted, time, way, wording, event_id)
VALUES (%(node)s, %(address_hash)s, %(purpose)s, %(channel)s, %(granted)s, %(time)s, %(way)s, %(wording)s,
        %(event_id)s)
ON CONFLICT DO NOTHING

-- name: suppress
INSERT INTO suppressions (address_hash, purpose, reason, created_at, message_id)
VALUES (%(address_hash)s, %(purpose)s, 'unsubscribed', %(time)s, %(message_id)s)
ON CONFLICT DO NOTHING

-- name: lift_refusals
-- The yes of an address's owner is about the whole person.
SELECT lift_refusals(%(node)s::uuid, %(address_hash)s::uuid, %(purpose)s::text, %(channel)s::text, %(time)s::timestamptz,
                     %(way)s::text, %(wording)s::text, 'person')

-- name: lift_unsubscribed
SELECT lift_unsubscribed(%(address_hash)s, %(purpose)s)

-- name: preference_target
-- The same with its address masked, for the preference page. A mail about nobody (demo mode's) has none.
SELECT m.campaign, m.node, m.address_hash, c.purpose, c.channel, masked_address(m.message_id) AS masked
FROM messages m JOIN campaigns c USING (campaign)
WHERE m.message_id = %(message_id)s AND m.node IS NOT NULL AND m.address_hash IS NOT NULL

-- name: lock_address
-- Two saves for one address, one after the other: the second sees what the first one wrote.
SELECT pg_advisory_xact_lock(hashtextextended(%(address_hash)s::text, 0))

-- name: consent_states
SELECT s.purpose, p.titles, s.granted, s.stopped
FROM consent_states(%(message_id)s, %(now)s) s LEFT JOIN purposes p USING (purpose)
ORDER BY p.position, s.purpose

-- name: latest_preference
SELECT p.every_days, p.paused_until FROM preferences p
WHERE p.address_hash = %(address_hash)s AND p.channel = %(channel)s
ORDER BY p.time DESC, p.preference_id DESC LIMIT 1

-- name: record_preference
INSERT INTO preferences (address_hash, channel, every_days, paused_until, time, way, message_id)
VALUES (%(address_hash)s, %(channel)s, %(every_days)s, %(paused_until)s, %(time)s, 'preferences', %(message_id)s)

-- name: can_commit
SELECT current_setting('transaction_read_only') = 'off' AS writable

-- name: asked_opt_in
-- The functions run as their owner: the edge reads neither addresses nor consents.
SELECT node, purpose, channel, wording, language, state
FROM asked_opt_in(%(opt_in_id)s::uuid, %(time)s::timestamptz)

-- name: confirm_opt_in
SELECT confirm_opt_in(%(opt_in_id)s::uuid, %(time)s::timestamptz, %(event_id)s::uuid) AS confirmed
-- name: target
SELECT target_id, url FROM click_targets WHERE target_id = %(target_id)s LIMIT %(most)s

-- name: newer_targets
-- The newest ones, so that a click on them needs no database.
SELECT target_id, url FROM click_targets WHERE target_id > %(target_id)s
ORDER BY target_id DESC LIMIT %(most)s

-- name: may_track
-- Of these fetches those that may be counted, by their place from 1 on.
SELECT number, node, campaign
FROM may_track(%(message_ids)s::uuid[], %(times)s::timestamptz[]) ORDER BY number

-- name: record_responses
-- No conflict target: naming one needs SELECT, and the edge may not read responses.
INSERT INTO responses (message_id, campaign, kind, target_id, machine, time, event_id)
SELECT * FROM unnest(
    %(message_ids)s::uuid[], %(campaigns)s::text[], %(kinds)s::text[], %(target_ids)s::bigint[],
    %(machines)s::text[], %(times)s::timestamptz[], %(event_ids)s::uuid[])
ON CONFLICT DO NOTHING
