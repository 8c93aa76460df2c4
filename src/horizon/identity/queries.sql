-- name: make_room
-- What a run has found out, until its transaction ends.
CREATE TEMP TABLE IF NOT EXISTS sightings (
    nodes uuid[], time timestamptz, first uuid[], user_id text, email text, anonymous_id text, identifiers text,
    events bigint
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS sighted_nodes (
    node uuid, kind text, value text, time timestamptz
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS looked_up (
    node uuid, kind text, value text, time timestamptz, known boolean
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS fresh_nodes (
    node uuid, kind text, value text, time timestamptz
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS said_edges (
    weak uuid, strong uuid, how text, time timestamptz, event_id uuid, source_id int
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS fresh_edges (
    weak uuid, strong uuid, how text, time timestamptz, event_id uuid, source_id int
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS touched (node uuid) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS involved (
    node uuid, kind text, profile_id bigint, born_as bigint, dead text, erased boolean, time timestamptz
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS again (
    event_id uuid, type text, nodes uuid[], identifiers text, user_id text, email text, anonymous_id text,
    group_id text, traits text, time timestamptz, received_at timestamptz, trusted boolean
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS numbered_kinds (kind text, number bigint) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS placed (
    node uuid, profile_id bigint, born_as bigint, dead text
) ON COMMIT DELETE ROWS;

-- name: gather
-- The window's events by the nodes that they hold together, each set of nodes with its first event.
-- As evidence an event is of its time, but never after its receipt, and a source that is not
-- trusted cannot go back by more than 30 days: one backdated event would win against all others.
-- Arrays have a least one in every version, so first holds that event: its time, id and source.
INSERT INTO sightings (nodes, time, first, user_id, email, anonymous_id, identifiers, events)
SELECT nodes, min(sighted_at), min(sighting(sighted_at, event_id, source_id)),
       min(user_id), min(email), min(anonymous_id), min(identifiers), count(*)
FROM (
    SELECT e.*, CASE WHEN trusted THEN least(time, received_at)
                     ELSE greatest(least(time, received_at), received_at - interval '30 days') END AS sighted_at
    FROM events_between(%(era)s, %(until)s, %(seen_era)s, %(seen)s) e
    WHERE e.type <> 'alias' AND e.source_id NOT IN (SELECT source_id FROM sources WHERE kind = 'internal')
) e
GROUP BY nodes;

-- name: aliases
-- Few, so they are read one by one.
SELECT nodes, identifiers, previous_id, trusted, event_id, source_id,
       CASE WHEN trusted THEN least(time, received_at)
            ELSE greatest(least(time, received_at), received_at - interval '30 days') END AS sighted_at
FROM events_between(%(era)s, %(until)s, %(seen_era)s, %(seen)s)
WHERE type = 'alias' AND source_id NOT IN (SELECT source_id FROM sources WHERE kind = 'internal');

-- name: name_nodes
-- What stands behind each node. Where identifiers is NULL its event has the three plain ones alone.
INSERT INTO sighted_nodes (node, kind, value, time)
SELECT node, min(kind), min(value), min(time)
FROM (
    SELECT unnest(nodes) AS node, time,
           unnest(array_remove(ARRAY[CASE WHEN unblocked(user_id) IS NOT NULL THEN 'user_id' END,
                                     CASE WHEN email IS NOT NULL THEN 'email' END,
                                     CASE WHEN unblocked(anonymous_id) IS NOT NULL THEN 'anonymous_id' END], NULL)) AS kind,
           unnest(array_remove(ARRAY[unblocked(user_id), email, unblocked(anonymous_id)], NULL)) AS value
    FROM sightings WHERE identifiers IS NULL
    UNION ALL
    SELECT nodes[place], time, named.identifiers -> (place - 1) ->> 0, named.identifiers -> (place - 1) ->> 1
    FROM sightings, LATERAL (SELECT identifiers::jsonb AS identifiers) named, LATERAL generate_subscripts(nodes, 1) place
    WHERE sightings.identifiers IS NOT NULL
) named
WHERE node IS NOT NULL AND kind IS NOT NULL
GROUP BY node;

-- name: add_named
-- Nodes that the database has no key to make: of aliases and of other spellings.
INSERT INTO sighted_nodes (node, kind, value, time)
SELECT added.node, added.kind, added.value, added.time
FROM unnest(%(nodes)s::uuid[], %(kinds)s::text[], %(values)s::text[], %(times)s::timestamptz[])
    AS added (node, kind, value, time);

-- name: look_up_nodes
-- Those that are not there, and those that were seen earlier than was known. LATERAL and LIMIT here and
-- below: a look into the index for each, so that a batch costs by its own size; the planner would read
-- the whole map and join it by hash. In the index's order, since neighbours share its pages.
INSERT INTO looked_up (node, kind, value, time, known)
SELECT s.node, s.kind, s.value, s.time, n.first_seen IS NOT NULL
FROM (SELECT node, min(kind) AS kind, min(value) AS value, min(time) AS time FROM sighted_nodes GROUP BY node ORDER BY node) s
LEFT JOIN LATERAL (SELECT k.first_seen FROM nodes k WHERE k.node = s.node LIMIT 1) n ON true
WHERE n.first_seen IS NULL OR s.time < n.first_seen;

-- name: spelled
-- Identifiers of which there may be another spelling: of one that was seen earlier, it was as well.
SELECT node, kind, value, time FROM looked_up
WHERE kind = 'phone' OR kind = 'email' AND value ~ '[^[:ascii:]]';

-- name: look_up_more
-- Those that were named after the first look; of one that was looked up before, the earlier look counts.
INSERT INTO looked_up (node, kind, value, time, known)
SELECT s.node, s.kind, s.value, s.time, n.first_seen IS NOT NULL
FROM (SELECT node, min(kind) AS kind, min(value) AS value, min(time) AS time FROM sighted_nodes
      WHERE node = ANY(%(nodes)s::uuid[]) GROUP BY node) s
LEFT JOIN LATERAL (SELECT k.first_seen FROM nodes k WHERE k.node = s.node LIMIT 1) n ON true
WHERE n.first_seen IS NULL OR s.time < n.first_seen;

-- name: find_fresh_nodes
INSERT INTO fresh_nodes (node, kind, value, time)
SELECT node, min(kind), min(value), min(time) FROM looked_up WHERE NOT known GROUP BY node;

-- name: move_first_seen
-- An event that comes late can only make it earlier.
UPDATE nodes n SET first_seen = s.time
FROM (SELECT node, min(time) AS time FROM looked_up WHERE known GROUP BY node) s
WHERE n.node = s.node
RETURNING n.node, n.kind;

-- name: say_edges
-- Of aliases, of other spellings, and by hand.
INSERT INTO said_edges (weak, strong, how, time, event_id, source_id)
SELECT said.weak, said.strong, said.how, said.time, said.event_id, said.source_id
FROM unnest(%(weak)s::uuid[], %(strong)s::uuid[], %(how)s::text[], %(times)s::timestamptz[], %(event_ids)s::uuid[],
            %(source_ids)s::int[]) AS said (weak, strong, how, time, event_id, source_id)
WHERE said.weak <> said.strong;

-- name: find_fresh_edges
-- Every two nodes of an event. An edge that is there already counts again where its first event is
-- earlier than was known.
INSERT INTO fresh_edges (weak, strong, how, time, event_id, source_id)
SELECT f.weak, f.strong, f.how, f.time, sighted_event(f.first), sighted_source(f.first)
FROM (
    SELECT weak, strong, how, min(time) AS time, min(first) AS first
    FROM (
        SELECT nodes[2] AS weak, nodes[1] AS strong, 'event' AS how, time, first
        FROM sightings WHERE cardinality(nodes) = 2
        UNION ALL
        SELECT b.node, a.node, 'event', time, first
        FROM sightings, LATERAL unnest(nodes) WITH ORDINALITY a (node, place),
             LATERAL unnest(nodes) WITH ORDINALITY b (node, place)
        WHERE cardinality(nodes) > 2 AND a.place < b.place
        UNION ALL
        SELECT weak, strong, how, time, sighting(time, event_id, source_id) FROM said_edges
    ) pairs
    GROUP BY weak, strong, how ORDER BY weak, strong
) f
LEFT JOIN LATERAL (
    SELECT k.time FROM edges k WHERE k.weak = f.weak AND k.strong = f.strong AND k.how = f.how LIMIT 1
) e ON true
WHERE e.time IS NULL OR f.time < e.time;

-- name: touch
-- Whose place may change: an end of a fresh edge. With one that a cut is held against, all that may
-- stand in for it, since it may be a hub now. Cuts are few: an operator made each.
WITH ends AS MATERIALIZED (
    SELECT weak AS node FROM fresh_edges UNION SELECT strong FROM fresh_edges UNION SELECT unnest(%(nodes)s::uuid[])
), held AS (
    SELECT c.cut_id FROM cuts c CROSS JOIN unnest(c.anchor || c.stand_ins) a (node) JOIN ends e ON e.node = a.node
    WHERE c.lifted_at IS NULL
)
INSERT INTO touched (node)
SELECT node FROM ends
UNION
SELECT unnest(ARRAY[c.node, c.anchor] || c.stand_ins) FROM cuts c WHERE c.cut_id IN (SELECT cut_id FROM held);

-- name: involve
-- All of the profiles that are touched, and of those that these are held apart from.
WITH mine AS MATERIALIZED (
    SELECT DISTINCT n.profile_id
    FROM touched t, LATERAL (SELECT k.profile_id FROM nodes k WHERE k.node = t.node LIMIT 1) n
    WHERE n.profile_id IS NOT NULL
), apart AS MATERIALIZED (
    SELECT DISTINCT p.contested
    FROM mine, LATERAL (SELECT k.contested FROM profiles k WHERE k.profile_id = mine.profile_id LIMIT 1) p
    WHERE p.contested IS NOT NULL
), all_of AS MATERIALIZED (
    SELECT profile_id FROM mine
    UNION
    SELECT other.profile_id
    FROM apart, LATERAL (SELECT k.profile_id FROM profiles k WHERE k.contested = apart.contested OFFSET 0) other
)
INSERT INTO involved (node, kind, profile_id, born_as, dead, erased, time)
SELECT n.node, n.kind, n.profile_id, n.born_as, n.dead, n.erased, n.first_seen
FROM all_of, LATERAL (SELECT k.* FROM nodes k WHERE k.profile_id = all_of.profile_id OFFSET 0) n;

-- name: involve_neighbours
-- What is out of matching and tied to these: it counts as a neighbour.
INSERT INTO involved (node, kind, profile_id, born_as, dead, erased, time)
SELECT n.node, n.kind, n.profile_id, n.born_as, n.dead, n.erased, n.first_seen
FROM (
    SELECT e.strong AS node
    FROM involved i, LATERAL (SELECT k.strong FROM edges k WHERE k.weak = i.node OFFSET 0) e
    UNION
    SELECT e.weak FROM involved i, LATERAL (SELECT k.weak FROM edges k WHERE k.strong = i.node OFFSET 0) e
    UNION
    SELECT node FROM touched
) tied, LATERAL (SELECT k.* FROM nodes k WHERE k.node = tied.node LIMIT 1) n
WHERE n.profile_id IS NULL;

-- name: involve_all
INSERT INTO involved (node, kind, profile_id, born_as, dead, erased, time)
SELECT node, kind, profile_id, born_as, dead, erased, first_seen FROM nodes;

-- name: number_kinds
INSERT INTO numbered_kinds (kind, number)
SELECT kind, row_number() OVER (ORDER BY kind) - 1
FROM (SELECT kind FROM fresh_nodes UNION SELECT kind FROM involved) kinds;

-- name: kinds
SELECT kind FROM numbered_kinds ORDER BY number;

-- name: blockable
-- Nodes whose value the rules may block: of kinds that have patterns. Fresh ones, and with all those there are.
SELECT node, kind, value FROM fresh_nodes WHERE kind = ANY(%(kinds)s::text[])
UNION ALL
SELECT n.node, n.kind, n.value FROM involved i JOIN nodes n USING (node)
WHERE %(all)s::boolean AND n.kind = ANY(%(kinds)s::text[]);

-- name: read_nodes
-- Of one width, so that they become arrays without a look at each: no NULLs.
SELECT n.node, k.number, coalesce(n.profile_id, 0) AS profile_id, coalesce(n.born_as, 0) AS born_as, n.time,
       CASE n.dead WHEN 'hub' THEN 1 WHEN 'blocked' THEN 2 WHEN 'erased' THEN 3 ELSE 0 END::bigint AS dead,
       (n.erased OR n.dead IS NOT DISTINCT FROM 'erased')::int::bigint AS erased
FROM (
    SELECT node, kind, NULL::bigint AS profile_id, NULL::bigint AS born_as, time, NULL::text AS dead, false AS erased
    FROM fresh_nodes
    UNION ALL SELECT node, kind, profile_id, born_as, time, dead, erased FROM involved
) n
JOIN numbered_kinds k USING (kind);

-- name: read_edges
-- state: 0 joins, 1 is refused, 2 is fresh. how 4: a join by hand that was taken back.
SELECT weak, strong, time,
       CASE how WHEN 'event' THEN 0 WHEN 'alias' THEN 1 WHEN 'same' THEN 2 ELSE 3 END::bigint AS how, 2::bigint AS state
FROM fresh_edges
UNION ALL
SELECT e.weak, e.strong, e.time,
       CASE WHEN e.refused_by = 'unjoined' THEN 4
            ELSE CASE e.how WHEN 'event' THEN 0 WHEN 'alias' THEN 1 WHEN 'same' THEN 2 ELSE 3 END END::bigint,
       (e.refused_by IS NOT NULL)::int::bigint
FROM (
    -- Not all of a hub's, which may have any number: only those of who is tied to it here.
    SELECT e.* FROM involved i, LATERAL (SELECT k.* FROM edges k WHERE k.weak = i.node OFFSET 0) e
    WHERE i.profile_id IS NOT NULL
    UNION
    SELECT e.* FROM involved i, LATERAL (SELECT k.* FROM edges k WHERE k.strong = i.node OFFSET 0) e
    WHERE i.profile_id IS NOT NULL
) e
WHERE NOT EXISTS (SELECT FROM fresh_edges f WHERE f.weak = e.weak AND f.strong = e.strong AND f.how = e.how);

-- name: read_all_edges
SELECT weak, strong, time,
       CASE WHEN refused_by = 'unjoined' THEN 4
            ELSE CASE how WHEN 'event' THEN 0 WHEN 'alias' THEN 1 WHEN 'same' THEN 2 ELSE 3 END END::bigint AS how,
       (refused_by IS NOT NULL)::int::bigint AS state
FROM edges;

-- name: read_cuts
-- Each with its anchor and who stands in for it, in this order; what is out already and is not asked anew
-- is left out.
SELECT c.cut_id, c.node, a.node AS anchor
FROM cuts c CROSS JOIN unnest(c.anchor || c.stand_ins) WITH ORDINALITY a (node, place)
WHERE c.lifted_at IS NULL AND (c.node IN (SELECT node FROM involved) OR c.node IN (SELECT node FROM fresh_nodes))
  AND (a.node IN (SELECT node FROM involved)
       OR NOT EXISTS (SELECT FROM nodes d WHERE d.node = a.node AND d.profile_id IS NULL))
ORDER BY c.cut_id, a.place;

-- name: draw_profiles
SELECT nextval(pg_get_serial_sequence('profiles', 'profile_id')) AS profile_id FROM generate_series(1, %(count)s);

-- name: make_profiles
INSERT INTO profiles (profile_id, created_at) OVERRIDING SYSTEM VALUE
SELECT made.profile_id, %(now)s FROM unnest(%(profiles)s::bigint[]) AS made (profile_id);

-- name: place
INSERT INTO placed (node, profile_id, born_as, dead)
SELECT p.node, nullif(p.profile_id, 0), nullif(p.born_as, 0), (ARRAY['hub', 'blocked', 'erased'])[p.dead]
FROM unnest(%(nodes)s::uuid[], %(profiles)s::bigint[], %(born_as)s::bigint[], %(dead)s::bigint[])
    AS p (node, profile_id, born_as, dead);

-- name: add_nodes
INSERT INTO nodes (node, kind, value, profile_id, born_as, dead, first_seen)
SELECT f.node, f.kind, f.value, p.profile_id, p.born_as, p.dead, f.time
FROM fresh_nodes f JOIN placed p USING (node);

-- name: move_nodes
UPDATE nodes n SET profile_id = p.profile_id, born_as = p.born_as, dead = p.dead
FROM placed p
WHERE n.node = p.node
  AND (n.profile_id, n.born_as, n.dead) IS DISTINCT FROM (p.profile_id, p.born_as, p.dead);

-- name: keep_edges
INSERT INTO edges AS known (weak, strong, how, time, event_id, source_id, refused_by)
SELECT f.weak, f.strong, f.how, f.time, f.event_id, f.source_id, r.reason
FROM fresh_edges f
LEFT JOIN unnest(%(weak)s::uuid[], %(strong)s::uuid[], %(how)s::text[], %(reasons)s::text[])
    AS r (weak, strong, how, reason) USING (weak, strong, how)
ON CONFLICT (weak, strong, how) DO UPDATE
SET time = excluded.time, event_id = excluded.event_id, source_id = excluded.source_id, refused_by = excluded.refused_by;

-- name: refuse
UPDATE edges e SET refused_by = nullif(r.reason, '')
FROM unnest(%(weak)s::uuid[], %(strong)s::uuid[], %(how)s::text[], %(reasons)s::text[])
    AS r (weak, strong, how, reason)
WHERE e.weak = r.weak AND e.strong = r.strong AND e.how = r.how AND e.refused_by IS DISTINCT FROM nullif(r.reason, '');

-- name: point
-- Where each id that was given once leads now.
UPDATE profiles p SET points_to = nullif(a.target, 0)
FROM unnest(%(profiles)s::bigint[], %(targets)s::bigint[]) AS a (profile_id, target)
WHERE p.profile_id = a.profile_id AND p.points_to IS DISTINCT FROM nullif(a.target, 0);

-- name: contest
UPDATE profiles p SET contested = nullif(a.contested, 0)
FROM unnest(%(profiles)s::bigint[], %(contested)s::bigint[]) AS a (profile_id, contested)
WHERE p.profile_id = a.profile_id AND p.contested IS DISTINCT FROM nullif(a.contested, 0);

-- name: hold_map
-- Whoever changes the map is alone from the first look at it to the commit. A query compiled for a few
-- rows takes longer to compile.
SELECT pg_advisory_xact_lock(hashtext('horizon.identity.map')), set_config('jit', 'off', true);

-- name: hold_identity
-- Senders share this lock: who was reached is asked of one state of the map.
SELECT pg_advisory_xact_lock(hashtext('horizon.identity'));

-- name: first_nodes
SELECT DISTINCT ON (profile_id) profile_id, node FROM nodes
WHERE profile_id = ANY(%(profiles)s::bigint[])
ORDER BY profile_id, first_seen, node;

-- name: newest_rules
SELECT rules FROM identity_rules ORDER BY version DESC LIMIT 1;

-- name: counted
SELECT coalesce(sum(events), 0)::bigint + %(aliases)s::bigint AS events,
       (SELECT count(*) FROM sighted_nodes) AS nodes, (SELECT count(*) FROM fresh_nodes) AS identifiers, (SELECT count(*) FROM fresh_edges) AS edges,
       (SELECT count(*) FROM touched) AS touched
FROM sightings;

-- name: read_again
-- What was said in events whose first live node may be another one now that these nodes have died or
-- have come alive: of those that begin with one of them, or with dead ones before it, as in
-- profile_events. Each by index.
WITH turned AS MATERIALIZED (
    SELECT t.node FROM unnest(%(nodes)s::uuid[]) t (node)
), behind AS MATERIALIZED (
    SELECT t.node, d.node AS dead FROM turned t, LATERAL dead_before(t.node) d
    WHERE d.node NOT IN (SELECT node FROM turned)
)
INSERT INTO again (event_id, type, nodes, identifiers, user_id, email, anonymous_id, group_id, traits, time,
                   received_at, trusted)
SELECT event_id, type, nodes, identifiers, user_id, email, anonymous_id, group_id, traits, time, received_at, trusted
FROM (
    SELECT e.* FROM turned t, LATERAL (SELECT * FROM events k WHERE k.nodes[1] = t.node OFFSET 0) e
    UNION ALL
    SELECT e.*
    FROM behind b, LATERAL (SELECT * FROM events k WHERE k.nodes[1] = b.dead AND k.nodes[2] = b.node OFFSET 0) e
    UNION ALL
    SELECT e.*
    FROM behind b
    JOIN behind b2 ON b2.node = b.node
    JOIN edges g ON g.strong = b.dead AND g.weak = b2.dead AND g.how = 'event',
         LATERAL (SELECT * FROM events k WHERE k.nodes[1] = b.dead AND k.nodes[2] = b2.dead OFFSET 0) e
    WHERE b.node = ANY(e.nodes[3:])
) e
WHERE type IN ('identify', 'group') OR consent IS NOT NULL;

-- name: move_consents
-- An answer is of its event's first live node; of its first one where none is alive.
UPDATE consents c SET node = coalesce(first_live(a.nodes), a.nodes[1])
FROM again a
WHERE c.event_id = a.event_id AND c.node = ANY(a.nodes) AND c.node <> coalesce(first_live(a.nodes), a.nodes[1]);

-- name: move_opt_ins
UPDATE opt_ins o SET node = coalesce(first_live(a.nodes), a.nodes[1])
FROM again a
WHERE o.event_id = a.event_id AND o.node = ANY(a.nodes) AND o.node <> coalesce(first_live(a.nodes), a.nodes[1]);

-- name: record_traits
-- The last write wins for each trait, by event time, of two at the same time the greater event id; a
-- source that is not trusted says nothing later than its receipt, here and below: it would hold against
-- what the server says until then.
-- The traits are of the event's first live node. What a source may not assert (a browser's e-mail
-- or phone) is no trait at all. jsonb orders an object's names by length, then bytes: the first 300
-- of a call are the same ones whenever it is read.
WITH heard AS MATERIALIZED (
    SELECT CASE WHEN d.node IS NULL THEN e.nodes[1] ELSE first_live(e.nodes) END AS node,
           e.traits::jsonb AS traits, octet_length(e.traits) AS size,
           CASE WHEN e.trusted THEN e.time ELSE least(e.time, e.received_at) END AS time,
           e.trusted, e.event_id, e.email IS NOT NULL AS has_email,
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
      AND (h.size <= 20480 OR octet_length(t.value::text) <= 20480)
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
                    WHEN octet_length(t.value::text) > 20480 THEN 'value' END AS reason
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
           e.group_id, e.traits, CASE WHEN e.trusted THEN e.time ELSE least(e.time, e.received_at) END AS time,
           e.trusted, e.event_id
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
      AND octet_length(t.value::text) <= 20480
    ORDER BY 1, 2, c.trusted DESC, c.time DESC, c.event_id DESC
    ON CONFLICT (group_id, name) DO UPDATE
    SET value = excluded.value, time = excluded.time, trusted = excluded.trusted, event_id = excluded.event_id
    WHERE (excluded.trusted, excluded.time, excluded.event_id) > (old.trusted, old.time, old.event_id)
    RETURNING 1
)
SELECT (SELECT count(*) FROM joined) AS memberships, (SELECT count(*) FROM described) AS group_traits;

-- name: record_consents
-- Each answer to a question of consent as it came; an event counts once however often it is sent.
-- One that no live node said counts for its address.
INSERT INTO consents (node, address_hash, purpose, channel, granted, time, way, event_id)
SELECT CASE WHEN d.node IS NULL THEN e.nodes[1] ELSE coalesce(first_live(e.nodes), e.nodes[1]) END,
       CASE WHEN e.email IS NOT NULL
            THEN node_of_kind('email', e.nodes, e.identifiers, e.user_id, e.email, e.anonymous_id) END,
       split_part(c.key, '.', 1), split_part(c.key, '.', 2), c.value::boolean,
       CASE WHEN e.trusted THEN e.time ELSE least(e.time, e.received_at) END, e.type, e.event_id
FROM events_between(%(era)s, %(until)s, %(seen_era)s, %(seen)s) e
LEFT JOIN nodes d ON d.node = e.nodes[1] AND d.dead IS NOT NULL
CROSS JOIN LATERAL jsonb_each_text(e.consent::jsonb) c
WHERE e.consent IS NOT NULL AND (e.trusted OR c.value = 'false') AND octet_length(c.key) <= 200
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
