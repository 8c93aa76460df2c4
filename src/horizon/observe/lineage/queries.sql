-- name: keep_lineage
-- What the queue's disk had no room for: the courier takes it from here.
INSERT INTO lineage_kept (target, line) SELECT %(target)s, line FROM unnest(%(lines)s::text[]) WITH ORDINALITY u (line, place)
ORDER BY place;

-- name: kept_lineage
SELECT kept_id, line FROM lineage_kept WHERE target = %(target)s ORDER BY kept_id LIMIT %(most)s;

-- name: forget_lineage
DELETE FROM lineage_kept WHERE kept_id = %(kept_id)s;
