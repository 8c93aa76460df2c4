-- name: assign_profiles
-- A profile for each node that is the strongest of an event of the window and has none yet. An
-- event that comes late can only make first_seen earlier. Horizon's own events are not counted.
WITH seen AS (
    SELECT nodes[1] AS node, min(least(time, received_at)) AS first_seen,
           count(*) FILTER (WHERE source_id NOT IN (SELECT source_id FROM sources WHERE kind = 'internal')) AS events,
           min(CASE WHEN identifiers IS NOT NULL THEN identifiers::jsonb #>> '{0,0}'
                    WHEN unblocked(user_id) IS NOT NULL THEN 'user_id'
                    WHEN email IS NOT NULL THEN 'email' ELSE 'anonymous_id' END) AS kind,
           min(CASE WHEN identifiers IS NOT NULL THEN identifiers::jsonb #>> '{0,1}'
                    ELSE coalesce(unblocked(user_id), email, anonymous_id) END) AS value
    FROM events_between(%(era)s, %(until)s, %(seen_era)s, %(seen)s)
    -- What Horizon writes may name a node alone: of an address that belongs to nobody it knows.
    WHERE coalesce(user_id, email, anonymous_id) IS NOT NULL
    GROUP BY 1
), earlier AS (
    UPDATE nodes n SET first_seen = s.first_seen
    FROM seen s WHERE n.node = s.node AND s.first_seen < n.first_seen
), fresh AS (
    SELECT s.*, nextval(pg_get_serial_sequence('profiles', 'profile_id')) AS profile_id
    FROM (SELECT * FROM seen ORDER BY first_seen, node) s
    WHERE NOT EXISTS (SELECT FROM nodes n WHERE n.node = s.node)
), made AS (
    INSERT INTO profiles (profile_id, created_at) OVERRIDING SYSTEM VALUE
    SELECT profile_id, %(now)s FROM fresh
), placed AS (
    INSERT INTO nodes (node, kind, value, profile_id, first_seen)
    SELECT node, kind, value, profile_id, first_seen FROM fresh
)
SELECT (SELECT count(*) FROM seen) AS nodes, (SELECT count(*) FROM fresh) AS profiles,
       (SELECT coalesce(sum(events), 0)::bigint FROM seen) AS events;

-- name: record_traits
-- The last write wins for each trait, by event time. What a source may not assert (a browser's
-- e-mail or phone) is no trait at all.
WITH said AS (
    SELECT DISTINCT ON (e.nodes[1], t.key) e.nodes[1] AS node, t.key AS name, t.value,
           CASE WHEN t.key = 'email' AND e.email IS NOT NULL
                THEN node_of_kind('email', e.nodes, e.identifiers, e.user_id, e.email, e.anonymous_id) END AS value_node,
           e.time, e.trusted, e.event_id
    FROM events_between(%(era)s, %(until)s, %(seen_era)s, %(seen)s) e, LATERAL jsonb_each(e.traits::jsonb) t
    WHERE e.type = 'identify' AND e.traits IS NOT NULL
      AND octet_length(t.key) <= 500  -- an index row holds no more than 2,700 bytes
      AND (e.trusted OR t.key NOT IN ('email', 'phone'))
      AND (t.key <> 'email' OR e.email IS NOT NULL OR t.value = 'null')
    ORDER BY 1, 2, e.time DESC, e.event_id DESC
)
INSERT INTO traits AS old (node, name, value, value_node, time, trusted, event_id)
SELECT node, name, value, value_node, time, trusted, event_id FROM said
ON CONFLICT (node, name) DO UPDATE
SET value = excluded.value, value_node = excluded.value_node, time = excluded.time,
    trusted = excluded.trusted, event_id = excluded.event_id
WHERE (excluded.time, excluded.event_id) > (old.time, old.event_id);

-- name: record_consents
-- Each answer to a question of consent as it came; an event counts once however often it is sent.
INSERT INTO consents (node, address_hash, purpose, channel, granted, time, way, event_id)
SELECT e.nodes[1],
       CASE WHEN e.email IS NOT NULL
            THEN node_of_kind('email', e.nodes, e.identifiers, e.user_id, e.email, e.anonymous_id) END,
       split_part(c.key, '.', 1), split_part(c.key, '.', 2), c.value::boolean, e.time, e.type, e.event_id
FROM events_between(%(era)s, %(until)s, %(seen_era)s, %(seen)s) e, LATERAL jsonb_each_text(e.consent::jsonb) c
WHERE e.consent IS NOT NULL AND (e.trusted OR c.value = 'false') AND octet_length(c.key) <= 200
ON CONFLICT (event_id, purpose, channel) DO NOTHING;

-- name: asked_opt_ins
-- Who asked for consent through a source that may not grant it: the address stands in the traits
-- alone, since such a source asserts none. LIKE spares the parse of nearly every event; the CASE,
-- since anybody may send anything, keeps what is no object from stopping the stage.
SELECT e.event_id, e.nodes[1] AS node, e.traits::jsonb ->> 'email' AS email, p.purpose,
       coalesce(lower(e.context::jsonb ->> 'locale') LIKE 'de%%', false) AS german,
       least(e.time, e.received_at) AS asked_at
FROM events_between(%(era)s, %(until)s, %(seen_era)s, %(seen)s) e
CROSS JOIN LATERAL (SELECT e.context::jsonb #> '{consent,categoryPreferences}' AS preferences) found
CROSS JOIN LATERAL jsonb_each(
    CASE WHEN jsonb_typeof(found.preferences) = 'object' THEN found.preferences ELSE '{}' END) c
JOIN purposes p ON p.purpose || '.email' = c.key
WHERE e.type = 'identify' AND NOT e.trusted AND c.value = 'true'
  AND jsonb_typeof(e.traits::jsonb -> 'email') = 'string'
  AND e.traits LIKE '%%"email"%%' AND e.context LIKE '%%"categoryPreferences"%%';

-- name: record_opt_ins
-- A wish is no consent yet: campaigns ask the address's owner.
INSERT INTO opt_ins (node, address_hash, to_addr, purpose, channel, wording, language, asked_at, event_id)
SELECT r.node, r.address, r.to_addr, r.purpose, 'email', opt_in_wording(r.purpose, r.language), r.language,
       r.asked_at, r.event_id
FROM unnest(%(nodes)s::uuid[], %(addresses)s::uuid[], %(to_addrs)s::text[], %(purposes)s::text[],
            %(languages)s::text[], %(asked_at)s::timestamptz[], %(event_ids)s::uuid[])
    AS r (node, address, to_addr, purpose, language, asked_at, event_id)
ON CONFLICT (event_id, purpose, channel) DO NOTHING;
