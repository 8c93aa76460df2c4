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

-- name: restored
-- Whether a backup was brought back since.
SELECT EXISTS (SELECT FROM restores WHERE restored_at >= %(since)s) AS found;

-- name: pinned
-- The lake's metadata files that backups since then name.
SELECT lake FROM backups WHERE taken_at >= %(since)s AND lake IS NOT NULL;
