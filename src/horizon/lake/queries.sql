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

-- name: day_sums
-- What the hot store has of the lake's events, by the day that they were received: how many, and a
-- checksum over all fields. The same as sums in duckdb.sql. Neither of the two separators stands in a
-- usual value. A time as its epoch in floating point: both sides divide alike, and extract() costs 0.6 us.
SELECT (received_at AT TIME ZONE 'UTC')::date AS day, count(*) AS events,
       sum(('x' || left(md5(concat_ws(chr(31),
           event_id, source_id, message_id, type, coalesce(name, chr(30)), coalesce(user_id, chr(30)),
           coalesce(anonymous_id, chr(30)), coalesce(email, chr(30)), coalesce(previous_id, chr(30)),
           coalesce(group_id, chr(30)), nodes[1], array_to_string(nodes, ','), coalesce(identifiers, chr(30)),
           coalesce((date_part('epoch', original_timestamp) * 1e6)::bigint, -1), (date_part('epoch', time) * 1e6)::bigint,
           (date_part('epoch', received_at) * 1e6)::bigint, coalesce(time_flag, chr(30)), trusted::int, activity::int,
           coalesce(properties, chr(30)), coalesce(traits, chr(30)), coalesce(context, chr(30)),
           coalesce(consent, chr(30)))), 15))::bit(60)::bigint) AS checksum
FROM (
    SELECT * FROM events_between(%(era)s, %(seen)s, 0, '1:1:')
    UNION ALL
    SELECT * FROM events_between(%(until_era)s, %(until)s, %(era)s, %(seen)s) WHERE received_at < %(upto)s
) e
WHERE received_at >= %(since)s GROUP BY 1;

-- name: agreed_days
-- What lake and hot store last agreed on.
SELECT day, events, checksum FROM lake_days WHERE day >= %(since)s::date;

-- name: agree
-- A day that is still the same stays agreed since when it first was.
INSERT INTO lake_days AS known (day, events, checksum, agreed_at, verified_at)
SELECT day, events, checksum, %(clock)s, %(clock)s
FROM unnest(%(days)s::date[], %(events)s::bigint[], %(checksums)s::numeric[]) found (day, events, checksum)
ON CONFLICT (day) DO UPDATE SET events = excluded.events, checksum = excluded.checksum,
    verified_at = excluded.verified_at,
    agreed_at = CASE WHEN (known.events, known.checksum) = (excluded.events, excluded.checksum)
                THEN known.agreed_at ELSE excluded.agreed_at END;

-- name: disagree
-- A day that differs may not be dropped, whatever was agreed before; of one that only the lake has, what
-- was agreed stays, to compare with.
DELETE FROM lake_days WHERE day = ANY (%(days)s);

-- name: hot_only
-- Events that the lake does not have yet; see events_between.
SELECT count(*) AS events, min(received_at) AS since FROM (
    SELECT received_at FROM events_between(%(era_now)s, pg_current_snapshot(), %(era)s, %(seen)s)
    WHERE NOT coalesce(received_at < %(upto)s AND pg_visible_in_snapshot(tx, %(until)s::pg_snapshot), false)
) hot;

-- name: last_agreed
SELECT count(*) AS days, max(verified_at) AS verified_at FROM lake_days;
