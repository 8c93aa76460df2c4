-- name: missing_partitions
-- Which of the days from first_day to last_day have no partition yet. Takes no lock that waits.
SELECT day::date AS day
FROM generate_series(%(first_day)s::timestamp, %(last_day)s::timestamp, interval '1 day') AS day
WHERE to_regclass('events_' || to_char(day, 'YYYYMMDD')) IS NULL
   OR to_regclass('event_ids_' || to_char(day, 'YYYYMMDD')) IS NULL
   OR to_regclass('rejected_events_' || to_char(day, 'YYYYMMDD')) IS NULL
ORDER BY day

-- name: ids_partition
SELECT to_regclass('event_ids_' || to_char(%(day)s::date, 'YYYYMMDD')) IS NOT NULL AS there

-- name: make_ids_partition
SELECT ensure_partitions(%(day)s::date, %(day)s::date, true)

-- name: make_partitions
SELECT ensure_partitions(%(first_day)s::date, %(last_day)s::date, false)

-- name: copy_ids
-- The optimistic way: sorted, straight into the table. 6 us a row; INSERT takes 12 to 15.
COPY event_ids (hour, digest) FROM STDIN (FORMAT binary)

-- name: claim_ids
-- The way for a batch that holds a copy: waits for whoever claims the same id, and gives back
-- what is new. Sorted as copy_ids is, so that two writers never wait for each other. A key is
-- microseconds since 1970 in 8 bytes and the digest in 16.
INSERT INTO event_ids (hour, digest)
SELECT to_timestamp(0) + ('x' || encode(substr(key, 1, 8), 'hex'))::bit(64)::bigint * interval '1 microsecond',
       encode(substr(key, 9), 'hex')::uuid
FROM unnest(%(keys)s::bytea[]) AS claimed (key)
ORDER BY key
ON CONFLICT DO NOTHING
RETURNING int8send((extract(epoch FROM hour) * 1000000)::bigint) || uuid_send(digest) AS key

-- name: known_ids
-- Of these keys those that are there. A look into one partition's index each, whatever is estimated;
-- partitions outside of first and last, of the keys' times, are not opened (6 us a key otherwise).
SELECT asked.key
FROM unnest(%(keys)s::bytea[]) AS asked (key)
CROSS JOIN LATERAL (
    SELECT FROM event_ids i
    WHERE i.hour = to_timestamp(0) + ('x' || encode(substr(asked.key, 1, 8), 'hex'))::bit(64)::bigint * interval '1 microsecond'
      AND i.digest = encode(substr(asked.key, 9), 'hex')::uuid
      AND i.hour BETWEEN %(first)s AND %(last)s
    LIMIT 1
) AS found

-- name: copy_events
COPY events (
    event_id, source_id, message_id, type, name, user_id, anonymous_id, email, previous_id,
    group_id, nodes, identifiers, original_timestamp, time, received_at, time_flag, trusted, activity,
    properties, traits, context, consent, era
) FROM STDIN (FORMAT binary)

-- name: copy_rejected
COPY rejected_events (source_id, received_at, position, code, message, body, cut, call, sent_at, context)
FROM STDIN (FORMAT binary)

-- name: keyed_sources
-- What the edge remembers for some seconds.
SELECT s.source_id, s.name, s.kind, s.enabled, s.origins, s.rate, s.burst, k.key_sha256, k.expires_at,
       ARRAY(SELECT b.box FROM source_secrets b
             WHERE b.source_id = s.source_id AND coalesce(b.expires_at > %(now)s, true)) AS boxes
FROM source_keys k JOIN sources s USING (source_id)

-- name: note_key_use
-- Of keys that other processes note at this moment this one leaves the noting to them.
UPDATE source_keys SET last_used_at = %(at)s
WHERE key_sha256 IN (
    SELECT key_sha256 FROM source_keys
    WHERE key_sha256 = ANY(%(digests)s::bytea[]) AND (last_used_at < %(at)s) IS NOT FALSE
    FOR UPDATE SKIP LOCKED)

-- name: source_by_key
SELECT s.source_id, s.name, s.kind
FROM source_keys k JOIN sources s USING (source_id)
WHERE k.key_sha256 = %(key_sha256)s AND k.expires_at IS NULL AND s.enabled

-- name: source_by_name
SELECT source_id, name, kind FROM sources WHERE name = %(name)s

-- name: add_source
INSERT INTO sources (name, kind, origins, rate, burst, created_at)
VALUES (%(name)s, %(kind)s, %(origins)s, %(rate)s, %(burst)s, %(now)s)
ON CONFLICT (name) DO NOTHING
RETURNING source_id

-- name: add_key
INSERT INTO source_keys (key_sha256, source_id, hint, created_at)
VALUES (%(key_sha256)s, %(source_id)s, %(hint)s, %(now)s)

-- name: drop_ended_secrets
DELETE FROM source_secrets WHERE source_id = %(source_id)s AND expires_at <= %(now)s

-- name: end_secret
-- The newest secret becomes the old one. None is returned of a source's first.
UPDATE source_secrets SET expires_at = %(until)s WHERE source_id = %(source_id)s AND expires_at IS NULL
RETURNING expires_at

-- name: end_old_secret
DELETE FROM source_secrets WHERE source_id = %(source_id)s AND expires_at IS NOT NULL RETURNING expires_at

-- name: old_secret
SELECT expires_at FROM source_secrets WHERE source_id = %(source_id)s AND expires_at > %(now)s

-- name: add_secret
INSERT INTO source_secrets (source_id, box, created_at) VALUES (%(source_id)s, %(box)s, %(now)s)

-- name: drop_keys
DELETE FROM source_keys WHERE source_id = %(source_id)s

-- name: newly_erased
-- The tombstones that the snapshot did not see, and the one to ask with next time.
SELECT s.until::text AS until, e.node, e.erased_at
FROM (SELECT pg_current_snapshot() AS until) s LEFT JOIN erased_nodes e
    ON e.tx >= pg_snapshot_xmin(%(seen)s::pg_snapshot) AND NOT pg_visible_in_snapshot(e.tx, %(seen)s::pg_snapshot)
