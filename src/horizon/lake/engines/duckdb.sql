-- name: hot_alone
CREATE TEMP VIEW events AS SELECT * FROM tail;

-- name: nobody_dead
CREATE TEMP VIEW events AS
SELECT node, time, received_at, activity FROM lake UNION ALL SELECT * FROM tail;

-- name: make_astray
-- The few events whose first node is dead, with their first live one: of nearly all others the list
-- of nodes is never read.
CREATE TEMP TABLE astray AS
WITH found AS (SELECT nodes, time, received_at, activity FROM lake SEMI JOIN dead USING (node)),
     spread AS (
         SELECT nodes, unnest(nodes) AS node, generate_subscripts(nodes, 1) AS place
         FROM (SELECT DISTINCT nodes FROM found)
     ),
     first AS (SELECT nodes, arg_min(node, place) AS node FROM spread ANTI JOIN dead USING (node) GROUP BY nodes)
SELECT first.node, found.time, found.received_at, found.activity FROM found JOIN first USING (nodes);

-- name: some_dead
CREATE TEMP VIEW events AS
SELECT node, time, received_at, activity FROM lake ANTI JOIN dead USING (node)
UNION ALL SELECT * FROM astray
UNION ALL SELECT * FROM tail;
