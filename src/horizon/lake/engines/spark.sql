-- name: hot_alone
-- What a definition calls events, of the tables that were lent; {lake} is the union of the lake's.
SELECT node, time, received_at, activity FROM {tail};

-- name: nobody_dead
SELECT node, time, received_at, activity FROM {lake}
UNION ALL
SELECT node, time, received_at, activity FROM {tail};

-- name: some_dead
-- The few events whose first node is dead go to their first live one: of nearly all others the list
-- of nodes is never read.
WITH lake AS (SELECT * FROM {lake}),
     found AS (SELECT nodes, time, received_at, activity FROM lake LEFT SEMI JOIN {dead} USING (node)),
     spread AS (SELECT nodes, posexplode(nodes) AS (place, node) FROM (SELECT DISTINCT nodes FROM found)),
     first AS (
         SELECT nodes, min_by(node, place) AS node FROM spread LEFT ANTI JOIN {dead} USING (node) GROUP BY nodes
     )
SELECT node, time, received_at, activity FROM lake LEFT ANTI JOIN {dead} USING (node)
UNION ALL
SELECT first.node, found.time, found.received_at, found.activity FROM found JOIN first USING (nodes)
UNION ALL
SELECT node, time, received_at, activity FROM {tail};
