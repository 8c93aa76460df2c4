-- name: known_rejects
-- Which of a batch's rejected lines are kept already. The message names file and line.
SELECT message
FROM rejected_events
WHERE source_id = %(source_id)s
  AND position BETWEEN %(first)s AND %(last)s
  AND message = ANY(%(messages)s)

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

-- name: keep_simulation
-- The first run's epoch counts: later runs send the same messages again.
INSERT INTO simulations (name, epoch, seed) VALUES (%(name)s, %(epoch)s, %(seed)s)
ON CONFLICT (name) DO NOTHING

-- name: read_epoch
SELECT epoch FROM simulations WHERE name = %(name)s
