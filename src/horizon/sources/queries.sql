-- name: known_rejects
-- What is kept of a batch's rejected lines already. The message names file and line.
SELECT message
FROM rejected_events
WHERE source_id = %(source_id)s
  AND position BETWEEN %(first)s AND %(last)s
  AND position = ANY(%(positions)s)

-- name: begin_file
-- A line for a file that is read for the first time; one that is known keeps its own.
INSERT INTO file_progress (source_id, digest, mapping, started_at)
VALUES (%(source_id)s, %(digest)s, %(mapping)s, %(now)s)
ON CONFLICT DO NOTHING

-- name: restart_file
INSERT INTO file_progress (source_id, digest, mapping, started_at)
VALUES (%(source_id)s, %(digest)s, %(mapping)s, %(now)s)
ON CONFLICT (source_id, digest, mapping) DO UPDATE
SET next_offset = 0, number = 0, inserted = 0, duplicates = 0, rejected = 0,
    started_at = excluded.started_at, finished_at = NULL

-- name: file_progress
-- Others: whether its rejected lines may be kept already, from another mapping.
SELECT next_offset, number, inserted, duplicates, rejected, finished_at,
       EXISTS (SELECT FROM file_progress o
               WHERE o.source_id = f.source_id AND o.digest = f.digest AND o.mapping <> f.mapping)
           AS others
FROM file_progress f
WHERE source_id = %(source_id)s AND digest = %(digest)s AND mapping = %(mapping)s

-- name: move_file
-- In the transaction of a batch's rows, and from where that batch began: no batch counts twice.
UPDATE file_progress
SET next_offset = %(next_offset)s, number = %(number)s, inserted = inserted + %(inserted)s,
    duplicates = duplicates + %(duplicates)s, rejected = rejected + %(rejected)s
WHERE source_id = %(source_id)s AND digest = %(digest)s AND mapping = %(mapping)s
  AND next_offset = %(start)s AND finished_at IS NULL

-- name: finish_file
UPDATE file_progress SET finished_at = %(now)s
WHERE source_id = %(source_id)s AND digest = %(digest)s AND mapping = %(mapping)s

-- name: file_rejects
-- A file's rejected lines: their messages begin with its digest.
SELECT DISTINCT position, code, message
FROM rejected_events
WHERE source_id = (SELECT source_id FROM sources WHERE name = %(source)s) AND message LIKE %(file)s
ORDER BY position

-- name: keep_simulation
-- The first run's epoch counts: later runs send the same messages again.
INSERT INTO simulations (name, epoch, seed) VALUES (%(name)s, %(epoch)s, %(seed)s)
ON CONFLICT (name) DO NOTHING

-- name: read_epoch
SELECT epoch FROM simulations WHERE name = %(name)s

-- name: sources
-- Each source with its keys: the newest, and while it is changed the one before.
SELECT s.source_id, s.name, s.kind, s.enabled, s.origins, s.rate, s.burst, s.created_at,
       n.hint AS key, n.last_used_at AS last_used, o.hint AS old_key, o.expires_at AS old_until,
       o.last_used_at AS old_last_used
FROM sources s
LEFT JOIN source_keys n ON n.source_id = s.source_id AND n.expires_at IS NULL
LEFT JOIN source_keys o ON o.source_id = s.source_id AND o.expires_at IS NOT NULL
WHERE %(name)s::text IS NULL OR s.name = %(name)s
ORDER BY s.source_id

-- name: lock_source
SELECT source_id, kind FROM sources WHERE name = %(name)s FOR UPDATE

-- name: enable_source
UPDATE sources SET enabled = %(enabled)s WHERE name = %(name)s RETURNING source_id

-- name: change_source
-- NULL leaves a value as it is; a rate of 0 takes the limit away.
UPDATE sources SET origins = coalesce(%(origins)s::text[], origins),
       rate = nullif(coalesce(%(rate)s::double precision, rate), 0),
       burst = CASE WHEN %(rate)s::double precision = 0 THEN NULL
                    ELSE nullif(coalesce(%(burst)s::double precision, burst), 0) END
WHERE name = %(name)s
RETURNING origins, rate, burst

-- name: rename_source
UPDATE sources SET name = %(new)s
WHERE name = %(name)s AND NOT EXISTS (SELECT FROM sources WHERE name = %(new)s)

-- name: needs_source
-- What would be left without its source. A look through all events, where it has none; what the lake
-- has of it used one of its keys.
SELECT (SELECT f.name FROM forwards f WHERE f.source_id = s.source_id LIMIT 1) AS forward,
       EXISTS (SELECT FROM source_keys k WHERE k.source_id = s.source_id AND k.last_used_at IS NOT NULL)
       OR EXISTS (SELECT FROM file_progress p WHERE p.source_id = s.source_id AND p.inserted > 0)
       OR EXISTS (SELECT FROM rejected_events r WHERE r.source_id = s.source_id)
       OR EXISTS (SELECT FROM events e WHERE e.source_id = s.source_id) AS events
FROM sources s WHERE s.name = %(name)s

-- name: remove_keys
DELETE FROM source_keys WHERE source_id = (SELECT source_id FROM sources WHERE name = %(name)s)

-- name: remove_secrets
DELETE FROM source_secrets WHERE source_id = (SELECT source_id FROM sources WHERE name = %(name)s)

-- name: remove_files
DELETE FROM file_progress WHERE source_id = (SELECT source_id FROM sources WHERE name = %(name)s)

-- name: remove_source
DELETE FROM sources WHERE name = %(name)s

-- name: drop_ended_keys
DELETE FROM source_keys WHERE source_id = %(source_id)s AND expires_at <= %(now)s

-- name: end_key
-- The newest key becomes the old one.
UPDATE source_keys SET expires_at = %(until)s WHERE source_id = %(source_id)s AND expires_at IS NULL

-- name: end_old_key
UPDATE source_keys SET expires_at = %(now)s
WHERE source_id = %(source_id)s AND expires_at > %(now)s
RETURNING hint, last_used_at

-- name: poll_snapshot
SELECT pg_current_snapshot()::text AS until

-- name: first_event
-- The first of a source's events that were committed between two snapshots: by the index of the
-- windows, so that a look costs what came since the last one.
SELECT e.type, e.name, e.received_at
FROM events_between(%(era)s, %(until)s::pg_snapshot, %(era)s, %(seen)s::pg_snapshot) e
WHERE e.source_id = %(source_id)s
ORDER BY e.received_at LIMIT 1

-- name: refusals_since
SELECT code, message, count(*)::int AS events
FROM rejected_events
WHERE source_id = %(source_id)s AND received_at >= %(since)s
GROUP BY code, message ORDER BY code, message LIMIT 5

-- name: rejected
SELECT r.rejected_id, s.name AS source, r.received_at, r.position, r.code, r.message, r.replayed_at
FROM rejected_events r JOIN sources s USING (source_id)
WHERE (%(ids)s::bigint[] IS NULL OR r.rejected_id = ANY(%(ids)s))
  AND (%(source)s::text IS NULL OR s.name = %(source)s)
  AND (%(code)s::text IS NULL OR r.code = %(code)s)
  AND (%(since)s::timestamptz IS NULL OR r.received_at >= %(since)s)
  AND (%(replayed_too)s::boolean OR r.replayed_at IS NULL)
ORDER BY r.rejected_id DESC LIMIT %(most)s

-- name: rejected_counts
SELECT s.name AS source, r.code, count(*)::int AS events, min(r.received_at) AS first,
       max(r.received_at) AS last, max(r.rejected_id) AS latest_id
FROM rejected_events r JOIN sources s USING (source_id)
WHERE (%(ids)s::bigint[] IS NULL OR r.rejected_id = ANY(%(ids)s))
  AND (%(source)s::text IS NULL OR s.name = %(source)s)
  AND (%(code)s::text IS NULL OR r.code = %(code)s)
  AND (%(since)s::timestamptz IS NULL OR r.received_at >= %(since)s)
  AND (%(replayed_too)s::boolean OR r.replayed_at IS NULL)
GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2

-- name: rejected_one
SELECT r.rejected_id, s.name AS source, s.kind, r.received_at, r.position, r.code, r.message, r.call,
       r.sent_at, r.context, r.cut, r.replayed_at, r.event_id, r.body
FROM rejected_events r JOIN sources s USING (source_id)
WHERE r.rejected_id = %(rejected_id)s

-- name: rejected_to_replay
-- Locked, so that two replays do not both take one.
SELECT r.rejected_id, r.received_at, r.source_id, s.name AS source, s.kind, r.code, r.message, r.body,
       r.cut, r.call, r.sent_at, r.context, r.position,
       (SELECT min(f.digest) FROM file_progress f
        WHERE s.kind = 'file' AND f.source_id = r.source_id
          AND starts_with(r.message, 'file ' || left(f.digest, 12))) AS file_digest
FROM rejected_events r JOIN sources s USING (source_id)
WHERE r.rejected_id > %(after)s AND r.replayed_at IS NULL
  AND (%(ids)s::bigint[] IS NULL OR r.rejected_id = ANY(%(ids)s))
  AND (%(source)s::text IS NULL OR s.name = %(source)s)
  AND (%(code)s::text IS NULL OR r.code = %(code)s)
  AND (%(since)s::timestamptz IS NULL OR r.received_at >= %(since)s)
ORDER BY r.rejected_id LIMIT %(most)s
FOR UPDATE OF r

-- name: note_replayed
UPDATE rejected_events r SET replayed_at = %(now)s, event_id = done.event_id
FROM unnest(%(ids)s::bigint[], %(times)s::timestamptz[], %(event_ids)s::uuid[])
     AS done (rejected_id, received_at, event_id)
WHERE r.rejected_id = done.rejected_id AND r.received_at = done.received_at

-- name: note_refused_again
-- What is wrong now: perhaps something else than before.
UPDATE rejected_events r SET code = found.code, message = found.message
FROM unnest(%(ids)s::bigint[], %(times)s::timestamptz[], %(codes)s::text[], %(messages)s::text[])
     AS found (rejected_id, received_at, code, message)
WHERE r.rejected_id = found.rejected_id AND r.received_at = found.received_at
