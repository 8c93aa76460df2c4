-- name: sums
-- Of a file's rows, by the day that they were received: how many, and a checksum over all fields.
-- The same as day_sums in queries.sql: what one computes, the other does.
SELECT (received_at AT TIME ZONE 'UTC')::date AS day, count(*) AS events,
       sum(('0x' || left(md5(concat_ws(chr(31),
           event_id, source_id, message_id, type, coalesce(name, chr(30)), coalesce(user_id, chr(30)),
           coalesce(anonymous_id, chr(30)), coalesce(email, chr(30)), coalesce(previous_id, chr(30)),
           coalesce(group_id, chr(30)), node, array_to_string(nodes::varchar[], ','), coalesce(identifiers, chr(30)),
           coalesce((epoch(original_timestamp) * 1e6)::bigint, -1), (epoch(time) * 1e6)::bigint,
           (epoch(received_at) * 1e6)::bigint, coalesce(time_flag, chr(30)), trusted::int, activity::int,
           coalesce(properties, chr(30)), coalesce(traits, chr(30)), coalesce(context, chr(30)),
           coalesce(consent, chr(30)))), 15))::bigint) AS checksum
FROM batches GROUP BY 1
