-- name: relations
-- The relations of a definition, made of our own tables.
WITH events AS (
    SELECT node, time, received_at, activity
    FROM (
        SELECT CASE WHEN EXISTS (SELECT FROM nodes d WHERE d.node = e.nodes[1] AND d.dead IS NOT NULL)
                    THEN first_live(e.nodes) ELSE e.nodes[1] END AS node,
               e.time, e.received_at, e.activity
        FROM public.events e
    ) owned
    WHERE node IS NOT NULL
), map AS (
    SELECT node, profile_id, first_seen FROM nodes WHERE live
)
