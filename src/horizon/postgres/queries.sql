-- name: record_backup
-- Written before the dump, so that the dump tells when it was taken.
INSERT INTO backups (taken_at) VALUES (%(taken_at)s)

-- name: note_lake
-- The lake's metadata file, as the transaction that the dump shares sees it.
UPDATE backups SET lake = (SELECT max(metadata_location) FROM iceberg_tables WHERE table_name = 'events')
WHERE taken_at = %(taken_at)s

-- name: record_restore
INSERT INTO restores (restored_at, backup_at, nothing_sent_since)
VALUES (%(now)s, %(taken_at)s, %(nothing_sent_since)s)

-- name: doubt_messages
-- What was to be sent when the backup was taken may have been sent since.
WITH gone AS (DELETE FROM outbox RETURNING message_id)
UPDATE messages m SET status = 'unknown', reason = 'restored', finished_at = %(now)s
FROM gone WHERE m.message_id = gone.message_id

-- name: pause_forwards
-- The copy of an installation that goes on would send its own events where that one sends its.
UPDATE forwards SET state = 'paused', error = 'This database was copied: resume it if this one is to send.',
    error_since = %(now)s
WHERE state = 'on'
