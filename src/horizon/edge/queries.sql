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
