-- name: pointer
-- The lake as this transaction sees it: NULL or no row before the first archive.
SELECT metadata_location FROM iceberg_tables
WHERE catalog_name = %(catalog)s AND table_namespace = %(namespace)s AND table_name = %(table)s;

-- name: days
-- How many rows of a window were received on which UTC day; see events_between.
SELECT (received_at AT TIME ZONE 'UTC')::date AS day, count(*) AS events
FROM events_between(%(until_era)s, %(until)s, %(era)s, %(seen)s) GROUP BY 1 ORDER BY 1;

-- name: rows_of
-- A window's rows of some days of receipt, with the fields of the lake in its schema's order.
SELECT event_id, source_id, message_id, type, name, user_id, anonymous_id, email, previous_id, group_id,
       nodes[1] AS node, nodes, identifiers, original_timestamp, time, received_at, time_flag, trusted, activity,
       properties, traits, context, consent
FROM events_between(%(until_era)s, %(until)s, %(era)s, %(seen)s)
WHERE received_at >= %(first)s AND received_at < %(last)s;

-- name: tail
-- Events that the lake does not have, each with its first live node: what a query has to add. In the
-- lake is what seen sees, and of what until sees that was received before upto. For packed.py: some
-- batches, since a value holds 1 GB at most.
SELECT string_agg(uuid_send(node), '') AS node, string_agg(timestamptz_send(time), '') AS time,
       string_agg(timestamptz_send(received_at), '') AS received_at, string_agg(boolsend(activity), '') AS activity
FROM (
    SELECT CASE WHEN d.node IS NULL THEN e.nodes[1] ELSE first_live(e.nodes) END AS node,
           e.time, e.received_at, e.activity
    FROM events e LEFT JOIN nodes d ON d.node = e.nodes[1] AND d.dead IS NOT NULL
    WHERE (e.era > %(era)s OR (e.era = %(era)s AND e.tx >= pg_snapshot_xmin(%(seen)s::pg_snapshot)
                               AND NOT pg_visible_in_snapshot(e.tx, %(seen)s::pg_snapshot)))
      AND (%(upto)s::timestamptz IS NULL OR e.received_at >= %(upto)s OR e.era > %(until_era)s
           OR (e.era = %(until_era)s AND NOT pg_visible_in_snapshot(e.tx, %(until)s::pg_snapshot)))
) hot
WHERE node IS NOT NULL
GROUP BY get_byte(uuid_send(node), 15) & 15;

-- name: map
-- Whose the live nodes are. For packed.py.
SELECT string_agg(uuid_send(node), '') AS node, string_agg(int8send(profile_id), '') AS profile_id,
       string_agg(timestamptz_send(first_seen), '') AS first_seen
FROM nodes WHERE live GROUP BY get_byte(uuid_send(node), 15) & 15;

-- name: dead
-- For packed.py.
SELECT string_agg(uuid_send(node), '') AS node FROM nodes WHERE dead IS NOT NULL GROUP BY get_byte(uuid_send(node), 15) & 15;

-- name: restored
-- Whether a backup was brought back since.
SELECT EXISTS (SELECT FROM restores WHERE restored_at >= %(since)s) AS found;

-- name: pinned
-- The lake's metadata files that backups since then name.
SELECT lake FROM backups WHERE taken_at >= %(since)s AND lake IS NOT NULL;
