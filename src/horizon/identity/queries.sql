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
-- The last write wins for each trait, by event time, of two at the same time the greater event id.
-- The traits are of the event's first live node. What a source may not assert (a browser's e-mail
-- or phone) is no trait at all. jsonb orders an object's names by length, then bytes: the first 300
-- of a call are the same ones whenever it is read.
WITH heard AS MATERIALIZED (
    SELECT CASE WHEN d.node IS NULL THEN e.nodes[1] ELSE first_live(e.nodes) END AS node,
           e.traits::jsonb AS traits, octet_length(e.traits) AS size, e.time, e.trusted, e.event_id, e.email IS NOT NULL AS has_email,
           CASE WHEN e.email IS NULL THEN NULL
                WHEN e.identifiers IS NULL THEN e.nodes[CASE WHEN unblocked(e.user_id) IS NULL THEN 1 ELSE 2 END]
                ELSE node_of_kind('email', e.nodes, e.identifiers, e.user_id, e.email, e.anonymous_id) END AS email_node,
           e.nodes, e.identifiers
    FROM events_between(%(era)s, %(until)s, %(seen_era)s, %(seen)s) e
    LEFT JOIN nodes d ON d.node = e.nodes[1] AND d.dead IS NOT NULL
    WHERE e.type = 'identify' AND e.traits IS NOT NULL
), said AS MATERIALIZED (
    SELECT DISTINCT ON (h.node, t.key) h.node, t.key AS name, t.value,
           CASE WHEN t.key = 'email' THEN h.email_node
                WHEN t.key = 'phone' AND h.identifiers IS NOT NULL THEN (
                    SELECT i.node FROM identifiers_of(h.nodes, h.identifiers, NULL, NULL, NULL) i
                    WHERE i.kind = 'phone' AND i.value = btrim(t.value #>> '{}') ORDER BY i.place LIMIT 1)
           END AS value_node, h.time, h.trusted, h.event_id
    FROM heard h, LATERAL jsonb_each(h.traits) WITH ORDINALITY t (key, value, place)
    WHERE h.node IS NOT NULL AND t.place <= 300
      AND octet_length(t.key) <= 500  -- an index row holds no more than 2,700 bytes
      AND (h.size <= 16384 OR octet_length(t.value::text) <= 16384)
      AND (h.trusted OR t.key NOT IN ('email', 'phone'))
      AND (t.key <> 'email' OR h.has_email OR t.value = 'null')
    ORDER BY 1, 2, h.time DESC, h.event_id DESC
), crowded AS (  -- who may come to 6,000 names: few look-ups for everybody else
    SELECT s.node FROM said s GROUP BY 1
    HAVING count(*) > 300 OR (SELECT true FROM traits o WHERE o.node = s.node OFFSET 5699 LIMIT 1)
), over AS MATERIALIZED (
    SELECT node, name, time, event_id FROM (
        SELECT s.*, row_number() OVER (PARTITION BY s.node ORDER BY s.time, s.name)
               + (SELECT count(*) FROM traits o WHERE o.node = s.node) AS place
        FROM crowded JOIN said s USING (node)
        WHERE NOT EXISTS (SELECT FROM traits o WHERE o.node = s.node AND o.name = s.name)
    ) fresh WHERE place > 6000
), refused AS (
    INSERT INTO refused_traits AS old (node, reason, name, time, event_id)
    SELECT DISTINCT ON (node, reason) node, reason, left(name, 100), time, event_id
    FROM (
        SELECT h.node, t.key AS name, h.time, h.event_id,
               CASE WHEN t.place > 300 THEN 'call' WHEN octet_length(t.key) > 500 THEN 'name'
                    WHEN octet_length(t.value::text) > 16384 THEN 'value' END AS reason
        FROM heard h, LATERAL jsonb_each(h.traits) WITH ORDINALITY t (key, value, place)
        WHERE h.size > 500 AND h.node IS NOT NULL
        UNION ALL
        SELECT node, name, time, event_id, 'profile' FROM over
    ) r
    WHERE reason IS NOT NULL
    ORDER BY node, reason, time DESC, event_id DESC, name
    ON CONFLICT (node, reason) DO UPDATE SET name = excluded.name, time = excluded.time, event_id = excluded.event_id
    WHERE (excluded.time, excluded.event_id) > (old.time, old.event_id)
)
INSERT INTO traits AS old (node, name, value, value_node, time, trusted, event_id)
SELECT s.node, s.name, s.value, s.value_node, s.time, s.trusted, s.event_id
FROM said s LEFT JOIN over o ON o.node = s.node AND o.name = s.name
WHERE o.node IS NULL
ON CONFLICT (node, name) DO UPDATE
SET value = excluded.value, value_node = excluded.value_node, time = excluded.time,
    trusted = excluded.trusted, event_id = excluded.event_id
WHERE (excluded.time, excluded.event_id) > (old.time, old.event_id);

-- name: record_groups
-- Who is of which group, and the group's traits: of what a trusted source said the last write wins,
-- else of what any did, so that no member's browser changes what the others' company is.
WITH calls AS MATERIALIZED (
    SELECT CASE WHEN d.node IS NULL THEN e.nodes[1] ELSE first_live(e.nodes) END AS node,
           e.group_id, e.traits, e.time, e.trusted, e.event_id
    FROM events_between(%(era)s, %(until)s, %(seen_era)s, %(seen)s) e
    LEFT JOIN nodes d ON d.node = e.nodes[1] AND d.dead IS NOT NULL
    WHERE e.type = 'group' AND unblocked(e.group_id) IS NOT NULL
), joined AS (
    INSERT INTO memberships AS old (node, group_id, first_at, last_at, trusted)
    SELECT node, group_id, min(time), max(time), bool_or(trusted) FROM calls
    WHERE node IS NOT NULL GROUP BY 1, 2
    ON CONFLICT (node, group_id) DO UPDATE
    SET first_at = least(old.first_at, excluded.first_at), last_at = greatest(old.last_at, excluded.last_at),
        trusted = old.trusted OR excluded.trusted
    WHERE excluded.first_at < old.first_at OR excluded.last_at > old.last_at OR excluded.trusted > old.trusted
    RETURNING 1
), described AS (
    INSERT INTO group_traits AS old (group_id, name, value, time, trusted, event_id)
    SELECT DISTINCT ON (c.group_id, t.key) c.group_id, t.key, t.value, c.time, c.trusted, c.event_id
    FROM calls c, LATERAL jsonb_each(c.traits::jsonb) WITH ORDINALITY t (key, value, place)
    WHERE c.traits IS NOT NULL AND t.place <= 300 AND octet_length(t.key) <= 500
      AND octet_length(t.value::text) <= 16384
    ORDER BY 1, 2, c.trusted DESC, c.time DESC, c.event_id DESC
    ON CONFLICT (group_id, name) DO UPDATE
    SET value = excluded.value, time = excluded.time, trusted = excluded.trusted, event_id = excluded.event_id
    WHERE (excluded.trusted, excluded.time, excluded.event_id) > (old.trusted, old.time, old.event_id)
    RETURNING 1
)
SELECT (SELECT count(*) FROM joined) AS memberships, (SELECT count(*) FROM described) AS group_traits;

-- name: record_consents
-- Each answer to a question of consent as it came; an event counts once however often it is sent.
INSERT INTO consents (node, address_hash, purpose, channel, granted, time, way, event_id)
SELECT CASE WHEN d.node IS NULL THEN e.nodes[1] ELSE first_live(e.nodes) END,
       CASE WHEN e.email IS NOT NULL
            THEN node_of_kind('email', e.nodes, e.identifiers, e.user_id, e.email, e.anonymous_id) END,
       split_part(c.key, '.', 1), split_part(c.key, '.', 2), c.value::boolean, e.time, e.type, e.event_id
FROM events_between(%(era)s, %(until)s, %(seen_era)s, %(seen)s) e
LEFT JOIN nodes d ON d.node = e.nodes[1] AND d.dead IS NOT NULL
CROSS JOIN LATERAL jsonb_each_text(e.consent::jsonb) c
WHERE e.consent IS NOT NULL AND (e.trusted OR c.value = 'false') AND octet_length(c.key) <= 200
  AND (d.node IS NULL OR first_live(e.nodes) IS NOT NULL)
ON CONFLICT (event_id, purpose, channel) DO NOTHING;

-- name: asked_opt_ins
-- Who asked for consent through a source that may not grant it: the address stands in the traits
-- alone, since such a source asserts none. LIKE spares the parse of nearly every event; the CASE,
-- since anybody may send anything, keeps what is no object from stopping the stage.
SELECT e.event_id, coalesce(first_live(e.nodes), e.nodes[1]) AS node, e.traits::jsonb ->> 'email' AS email, p.purpose,
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

-- name: carry
-- After nodes have changed their profile: who was reached before is reached as whoever they are now,
-- so that no merge makes a second mail of one occasion, and what was sent while two were one counts
-- for the one that its node comes back to. Of two alerts of one rule whose cooldowns overlap and that
-- have become one person's, one is written about: the other's occasion is taken by its message.
-- Asks messages, since reached does not know nodes. Only by index; adds what is not there yet.
WITH people AS (
    SELECT DISTINCT n.profile_id FROM unnest(%(nodes)s::uuid[]) moved (node) JOIN nodes n USING (node) WHERE n.live
), mailed AS MATERIALIZED (
    SELECT n.profile_id, m.message_id, m.campaign, m.step, m.occasion, m.alert_id, m.planned_at, m.status,
           (SELECT true FROM reached r
            WHERE r.key = m.address_hash AND r.campaign = m.campaign AND r.step = m.step AND r.occasion = m.occasion
              AND r.message_id = m.message_id) IS TRUE AS begun
    FROM people JOIN nodes n USING (profile_id) JOIN messages m ON m.node = n.node
    WHERE n.live
), alerted AS MATERIALIZED (
    SELECT n.profile_id, a.alert_id, a.rule, a.created_at, a.quiet_until
    FROM people JOIN nodes n USING (profile_id) JOIN alerts a ON a.node = n.node
    WHERE n.live
), about AS MATERIALIZED (  -- what was or will be written about an alert
    SELECT m.*, a.rule, a.created_at, a.quiet_until
    FROM mailed m JOIN alerted a USING (profile_id, alert_id)
    WHERE m.begun OR m.status = 'planned'
), taken AS (
    SELECT DISTINCT ON (b.campaign, b.step, other.alert_id)
           b.campaign, b.step, 'alert:' || other.alert_id AS occasion, b.profile_id, b.message_id
    FROM about b
    JOIN alerted other ON other.profile_id = b.profile_id AND other.rule = b.rule AND other.alert_id <> b.alert_id
        AND other.created_at < b.quiet_until AND b.created_at < other.quiet_until
    WHERE NOT EXISTS (
        SELECT FROM about own
        WHERE own.alert_id = other.alert_id AND own.campaign = b.campaign AND own.step = b.step
          AND (NOT own.begun, own.planned_at, own.message_id) < (NOT b.begun, b.planned_at, b.message_id))
    ORDER BY b.campaign, b.step, other.alert_id, NOT b.begun, b.planned_at, b.message_id
)
INSERT INTO reached (campaign, step, occasion, key, message_id)
SELECT DISTINCT ON (key, campaign, step, occasion) campaign, step, occasion, key, message_id
FROM (
    SELECT campaign, step, occasion, profile_key(profile_id) AS key, message_id, 0 AS place FROM mailed WHERE begun
    UNION ALL
    SELECT campaign, step, occasion, profile_key(profile_id), message_id, 1 FROM taken
) found
ORDER BY key, campaign, step, occasion, place, message_id
ON CONFLICT DO NOTHING;
