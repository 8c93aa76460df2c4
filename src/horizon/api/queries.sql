-- name: known_tokens
SELECT token_sha256, name, scopes, expires_at, revoked_at FROM read_tokens

-- name: note_token_use
UPDATE read_tokens SET last_used_at = %(at)s WHERE token_sha256 = ANY(%(digests)s)

-- name: add_token
-- None where a token of this name is in use.
INSERT INTO read_tokens (token_sha256, name, hint, scopes, created_at, expires_at)
VALUES (%(token_sha256)s, %(name)s, %(hint)s, %(scopes)s, %(now)s, %(expires_at)s)
ON CONFLICT (name) WHERE revoked_at IS NULL DO NOTHING
RETURNING name

-- name: revoke_token
UPDATE read_tokens SET revoked_at = %(now)s WHERE name = %(name)s AND revoked_at IS NULL RETURNING name

-- name: tokens
SELECT name, hint, scopes, created_at, expires_at, last_used_at, revoked_at FROM read_tokens
ORDER BY revoked_at IS NOT NULL, name, created_at

-- name: find_node
-- Whose identifier it is now: the map follows merges and splits.
SELECT n.profile_id, n.dead FROM nodes n WHERE n.node = %(node)s::uuid

-- name: find_profile
-- The profile of this id, or the one that absorbed it; none of who was erased, nor of a hub alone.
SELECT found.profile_id
FROM (SELECT coalesce(p.points_to, p.profile_id) AS profile_id FROM profiles p
      WHERE p.profile_id = %(profile_id)s::bigint) found
WHERE EXISTS (SELECT FROM nodes n WHERE n.profile_id = found.profile_id AND n.live)

-- name: profile
-- Its user id is the oldest it has, and none where it has none.
SELECT p.profile_id, p.created_at, names.user_id,
       held.first_seen, held.identifiers,
       ARRAY(SELECT a.profile_id FROM profiles a WHERE a.points_to = p.profile_id
             ORDER BY a.profile_id DESC LIMIT 100) AS absorbed
FROM profiles p
LEFT JOIN LATERAL (SELECT v.user_id FROM profile_names v
                   WHERE v.profile_id = p.profile_id AND v.kind = 'user_id') names ON true
LEFT JOIN LATERAL (SELECT min(n.first_seen) AS first_seen, count(*)::int AS identifiers FROM nodes n
                   WHERE n.profile_id = p.profile_id AND n.live) held ON true
WHERE p.profile_id = %(profile_id)s

-- name: traits
-- In the order of bytes, so that a page goes on where the one before ended. JSON null: removed.
SELECT t.name, t.value::text AS value, t.time, t.event_id FROM profile_traits t
WHERE t.profile_id = %(profile_id)s AND t.value <> 'null'::jsonb AND t.name COLLATE "C" > %(after)s::text
  AND (%(include)s::text[] IS NULL OR t.name = ANY(%(include)s::text[]))
ORDER BY t.name COLLATE "C" LIMIT %(limit)s::int

-- name: identifiers
-- The newest first.
SELECT n.node, n.kind, n.value, n.first_seen FROM nodes n
WHERE n.profile_id = %(profile_id)s AND n.live
  AND (n.first_seen, n.node) < (%(time)s::timestamptz, %(id)s::uuid)
ORDER BY n.first_seen DESC, n.node DESC LIMIT %(limit)s::int

-- name: first_seen
-- None of the profile's events was received before; and whether some may stand behind a dead node.
SELECT min(n.first_seen) AS first_seen,
       EXISTS (SELECT FROM nodes b CROSS JOIN LATERAL dead_before(b.node) d
               WHERE b.profile_id = %(profile_id)s AND b.live) AS behind_dead
FROM nodes n WHERE n.profile_id = %(profile_id)s AND n.live

-- name: events
-- The newest first. A page looks at so many events at most, and says with the last one it saw where the
-- next page begins: of somebody with a million events who never did what is asked for, no page takes
-- long. Nor does it hold more than so many bytes, but for its first. Days before received_from are not
-- opened: that is decided once, when the statement begins. {events}: profile_events or first_node_events.
WITH seen AS MATERIALIZED (
    SELECT e.event_id, e.type, e.name, e.message_id, e.time, e.received_at, e.source_id, e.user_id,
           e.anonymous_id, e.group_id, e.properties, e.traits, e.context
    FROM {events}(%(profile_id)s) e
    WHERE e.received_at >= %(received_from)s::timestamptz AND e.time >= %(time_from)s::timestamptz
      AND (e.time, e.event_id) < (%(time)s::timestamptz, %(id)s::uuid)
    ORDER BY e.time DESC, e.event_id DESC LIMIT %(most)s::int
), picked AS (
    SELECT s.*, sum(coalesce(octet_length(properties), 0) + coalesce(octet_length(traits), 0)
                    + coalesce(octet_length(context), 0)) OVER (ORDER BY time DESC, event_id DESC) AS bytes,
           row_number() OVER (ORDER BY time DESC, event_id DESC) AS number
    FROM seen s
    WHERE (%(include)s::text[] IS NULL OR s.name = ANY(%(include)s::text[]))
      AND NOT coalesce(s.name = ANY(%(exclude)s::text[]), false)
      AND (%(types)s::text[] IS NULL OR s.type = ANY(%(types)s::text[]))
)
SELECT looked.seen, looked.last_time, looked.last_id, (SELECT count(*)::int FROM picked) AS picked, p.*, x.name AS source
FROM (SELECT count(*)::int AS seen, min(s.time) AS last_time,
             (array_agg(s.event_id ORDER BY s.time, s.event_id))[1] AS last_id FROM seen s) looked
LEFT JOIN (SELECT * FROM picked p WHERE p.number = 1 OR p.bytes <= %(most_bytes)s::bigint
           ORDER BY p.number LIMIT %(limit)s::int) p ON true
LEFT JOIN sources x ON x.source_id = p.source_id
ORDER BY p.number

-- name: scores
SELECT s.score, s.tier, s.last_activity, s.silent_s, s.activities, s.window_days, s."now" AS computed_at
FROM current_scores s WHERE s.profile_id = %(profile_id)s

-- name: messages
-- By the nodes that they were made for, so that they follow merges and splits; none of an erased one.
SELECT m.message_id, m.campaign, c.channel, m.template, coalesce(o.state, m.status) AS status, m.reason,
       m.occasion, m.alert_id, m.tier, m.to_addr, m.planned_at, m.finished_at
FROM nodes n JOIN messages m USING (node)
LEFT JOIN outbox o USING (message_id)
LEFT JOIN campaigns c ON c.campaign = m.campaign
WHERE n.profile_id = %(profile_id)s AND n.live
  AND (m.planned_at, m.message_id) < (%(time)s::timestamptz, %(id)s::uuid)
ORDER BY m.planned_at DESC, m.message_id DESC LIMIT %(limit)s::int

-- name: can_read
SELECT 1 AS readable
