-- name: message_target
-- Whom an unsubscribe link's message went to, and what it was sent for.
SELECT m.campaign, m.node, m.address_hash, c.purpose, c.channel
FROM messages m JOIN campaigns c USING (campaign)
WHERE m.message_id = %(message_id)s

-- name: refuse_consent
-- No conflict target: naming one needs SELECT, and the edge may not read consents.
INSERT INTO consents (node, address_hash, purpose, channel, granted, time, way, event_id)
VALUES (%(node)s, %(address_hash)s, %(purpose)s, %(channel)s, false, %(time)s, %(way)s, %(event_id)s)
ON CONFLICT DO NOTHING

-- name: suppress
INSERT INTO suppressions (address_hash, purpose, reason, created_at, message_id)
VALUES (%(address_hash)s, %(purpose)s, 'unsubscribed', %(time)s, %(message_id)s)
ON CONFLICT DO NOTHING

-- name: can_commit
SELECT current_setting('transaction_read_only') = 'off' AS writable

-- name: asked_opt_in
-- The functions run as their owner: the edge reads neither addresses nor consents.
SELECT node, purpose, channel, wording, language, state
FROM asked_opt_in(%(opt_in_id)s::uuid, %(time)s::timestamptz)

-- name: confirm_opt_in
SELECT confirm_opt_in(%(opt_in_id)s::uuid, %(time)s::timestamptz, %(event_id)s::uuid) AS confirmed
