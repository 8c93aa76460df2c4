-- name: known_rejects
-- Which of a batch's rejected lines are kept already. The message names file and line.
SELECT message
FROM rejected_events
WHERE source_id = %(source_id)s
  AND position BETWEEN %(first)s AND %(last)s
  AND message = ANY(%(messages)s)

-- name: keep_simulation
-- The first run's epoch counts: later runs send the same messages again.
INSERT INTO simulations (name, epoch, seed) VALUES (%(name)s, %(epoch)s, %(seed)s)
ON CONFLICT (name) DO NOTHING

-- name: read_epoch
SELECT epoch FROM simulations WHERE name = %(name)s
