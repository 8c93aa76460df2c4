-- name: profile
-- Since when it is known is told by what was seen of it, not by the run that made its row.
SELECT p.profile_id, p.points_to, p.created_at, p.contested,
       (SELECT min(n.first_seen) FROM nodes n WHERE n.profile_id = p.profile_id AND n.live) AS first_seen
FROM profiles p WHERE p.profile_id = %(profile_id)s;

-- name: absorbed
-- Which profiles point to this one; when each came is told by the events of that name.
SELECT profile_id, created_at FROM profiles WHERE points_to = %(profile_id)s ORDER BY profile_id;

-- name: nodes
SELECT node, kind, value, profile_id, dead, first_seen FROM nodes WHERE node = ANY(%(nodes)s::uuid[]);

-- name: profile_nodes
SELECT node, kind, value, profile_id, dead, first_seen FROM nodes
WHERE profile_id = %(profile_id)s ORDER BY first_seen, node LIMIT %(most)s;

-- name: oldest_of_each_kind
-- Of a profile, however many identifiers it has: one of these is its strongest.
SELECT DISTINCT ON (kind) node, kind, value, profile_id, dead, first_seen FROM nodes
WHERE profile_id = %(profile_id)s AND live AND node IS DISTINCT FROM %(but)s::uuid
ORDER BY kind, first_seen, node;

-- name: edges
-- All that has an end among these nodes. The order makes a list that was cut off the same each time.
SELECT e.weak, e.strong, e.how, e.time, e.event_id, e.refused_by, e.source_id, s.name AS source
FROM edges e LEFT JOIN sources s USING (source_id)
WHERE e.weak = ANY(%(nodes)s::uuid[]) OR e.strong = ANY(%(nodes)s::uuid[])
ORDER BY e.time, e.weak, e.strong, e.how LIMIT %(most)s;

-- name: stronger
-- What the strongest identifier may be of an event that tied two of these.
SELECT unnest(%(nodes)s::uuid[]) AS node
UNION SELECT strong FROM edges WHERE weak = ANY(%(nodes)s::uuid[]);

-- name: edge_events
-- The events that first tied nodes, all in one pass over those of the strongest: there is no index
-- by event_id. As evidence an event is never of a time after its receipt.
SELECT event_id, type, name FROM events
WHERE nodes[1] = ANY(%(firsts)s::uuid[]) AND event_id = ANY(%(event_ids)s::uuid[]) AND received_at >= %(since)s;

-- name: first_events
-- The event that each of these nodes was first seen by, where it is the event's strongest. Its time
-- is reckoned as the identity stage does.
SELECT n.node, e.event_id, e.type, e.name, s.name AS source, n.first_seen AS time
FROM nodes n
CROSS JOIN LATERAL (
    SELECT e.event_id, e.type, e.name, e.source_id FROM events e
    WHERE e.nodes[1] = n.node AND e.received_at >= n.first_seen
      AND n.first_seen = CASE WHEN e.trusted THEN least(e.time, e.received_at)
                              ELSE greatest(least(e.time, e.received_at), e.received_at - interval '30 days') END
    ORDER BY e.received_at, e.event_id LIMIT 1
) e
LEFT JOIN sources s USING (source_id)
WHERE n.node = ANY(%(nodes)s::uuid[]);

-- name: last_events
SELECT e.event_id, e.type, e.name, s.name AS source, e.time
FROM profile_events(%(profile_id)s) e LEFT JOIN sources s USING (source_id)
ORDER BY e.time DESC, e.event_id LIMIT %(most)s;

-- name: told
-- Merges and splits of these nodes' profile, as the events of Horizon's own tell them.
SELECT e.name, e.time, e.properties::jsonb AS properties
FROM events e JOIN sources s ON s.source_id = e.source_id AND s.kind = 'internal'
WHERE e.nodes[1] = ANY(%(nodes)s::uuid[]) AND e.name IN ('Profiles Merged', 'Profile Split')
ORDER BY e.time, e.event_id;

-- name: traits
SELECT name, value, time FROM profile_traits
WHERE profile_id = %(profile_id)s AND value <> 'null' ORDER BY name;

-- name: score
SELECT score, tier, "now" AS scored_at FROM current_scores WHERE profile_id = %(profile_id)s;

-- name: cuts
-- Of these nodes, or all where none are given. The newest first, each with the end it is held against
-- now; where all are out, with the one it was made against.
SELECT c.cut_id, c.node, c.anchor, c.made_at, c.lifted_at
FROM (SELECT cut_id, node, coalesce(held_against(anchor || stand_ins), anchor) AS anchor, made_at, lifted_at FROM cuts) c
WHERE %(nodes)s::uuid[] IS NULL OR c.node = ANY(%(nodes)s::uuid[]) OR c.anchor = ANY(%(nodes)s::uuid[])
ORDER BY c.cut_id DESC;

-- name: add_cut
INSERT INTO cuts (node, anchor, made_at) VALUES (%(node)s, %(anchor)s, %(now)s) RETURNING cut_id;

-- name: stand_in
-- What stays with the anchor; these are in their order.
UPDATE cuts SET stand_ins = %(nodes)s::uuid[] WHERE cut_id = %(cut_id)s;

-- name: lift_cut
UPDATE cuts SET lifted_at = %(now)s WHERE cut_id = %(cut_id)s AND lifted_at IS NULL
RETURNING ARRAY[node, anchor] || stand_ins AS ends;

-- name: standing_cut
-- Whether a cut that stands is between the two profiles.
SELECT c.cut_id FROM cuts c
JOIN nodes n ON n.node = c.node JOIN nodes a ON a.node = held_against(c.anchor || c.stand_ins)
WHERE c.lifted_at IS NULL
  AND (n.profile_id, a.profile_id) IN ((%(one)s, %(other)s), (%(other)s, %(one)s))
ORDER BY c.cut_id LIMIT 1;

-- name: add_manual_edge
INSERT INTO edges (weak, strong, how, time) VALUES (%(weak)s, %(strong)s, 'manual', %(now)s)
ON CONFLICT (weak, strong, how) DO UPDATE SET time = excluded.time, refused_by = NULL
WHERE edges.refused_by = 'unjoined';

-- name: unjoin
-- The row stays, so that it is seen, and tells the solver that it ties nobody.
UPDATE edges SET refused_by = 'unjoined'
WHERE (weak, strong) IN ((%(one)s, %(other)s), (%(other)s, %(one)s)) AND how = 'manual'
  AND refused_by IS DISTINCT FROM 'unjoined'
RETURNING weak;

-- name: operator_changes
-- What was said by hand of who is who, and by which rules: the audit's lines, the newest first.
SELECT a.audit_id, a.at, a.actor, a.action, a.object, a.details, c.cut_id, c.node, c.anchor
FROM audit a
LEFT JOIN cuts c ON c.cut_id = CASE a.action WHEN 'profile:split' THEN (a.details ->> 'cut_id')::bigint
                                             WHEN 'profile:uncut' THEN a.object::bigint END
WHERE a.action IN ('profile:split', 'profile:uncut', 'profile:joined', 'profile:unjoined', 'identity:rules:adopted')
ORDER BY a.audit_id DESC LIMIT %(most)s;

-- name: lock_stage
-- The runner's lock of the identity stage: a run that goes on has read what is about to change.
SELECT pg_advisory_xact_lock(hashtext('horizon.stage'), hashtext('identity'));

-- name: dead_nodes
-- What is out of matching: how many others it is tied to, of which kinds, since when, and how many
-- profiles it would have made one of.
SELECT n.node, n.kind, n.value, n.first_seen, count(DISTINCT o.node) AS neighbours,
       string_agg(DISTINCT o.kind, ', ') AS kinds, count(DISTINCT o.profile_id) AS profiles,
       min(e.time) AS first_tie, max(e.time) AS last_tie
FROM nodes n
LEFT JOIN LATERAL (  -- two looks by index: n.node IN (weak, strong) is none
    SELECT strong AS other, time FROM edges WHERE weak = n.node
    UNION ALL SELECT weak, time FROM edges WHERE strong = n.node
) e ON true
LEFT JOIN nodes o ON o.node = e.other
WHERE n.dead = %(dead)s
GROUP BY n.node, n.kind, n.value, n.first_seen
ORDER BY neighbours DESC, n.first_seen, n.node LIMIT %(most)s;

-- name: neighbours
-- What is tied to one identifier, who came last first; of those that are shown, when both last
-- stood in one event of the hot store. An event's strongest identifier is tied to each other one, so
-- the events are those of each neighbour, or of a stronger one of its ties: by index.
WITH near AS (
    SELECT n.node, n.kind, n.value, n.profile_id, n.dead, n.first_seen, min(e.time) AS first_tie,
           count(*) OVER () AS neighbours
    FROM (
        SELECT strong AS other, time FROM edges WHERE weak = %(node)s
        UNION ALL SELECT weak, time FROM edges WHERE strong = %(node)s
    ) e JOIN nodes n ON n.node = e.other
    GROUP BY n.node, n.kind, n.value, n.profile_id, n.dead, n.first_seen
    ORDER BY first_tie DESC, n.node LIMIT %(most)s
), firsts AS MATERIALIZED (
    SELECT node FROM near UNION SELECT e.strong FROM near JOIN edges e ON e.weak = near.node
), together AS (
    SELECT o.node, max(e.time) AS last_event
    FROM firsts f, LATERAL (SELECT k.nodes, least(k.time, k.received_at) AS time FROM events k
                            WHERE k.nodes[1] = f.node AND %(node)s = ANY(k.nodes) OFFSET 0) e,
         LATERAL unnest(e.nodes) o (node)
    GROUP BY o.node
)
SELECT near.*, t.last_event FROM near LEFT JOIN together t USING (node) ORDER BY first_tie DESC, node;

-- name: hub_count
SELECT count(*) AS hubs FROM nodes WHERE dead = 'hub';

-- name: node_counts
SELECT kind, count(*) AS nodes, count(*) FILTER (WHERE dead = 'hub') AS hubs,
       count(*) FILTER (WHERE dead = 'blocked') AS blocked, count(*) FILTER (WHERE dead = 'erased') AS erased
FROM nodes GROUP BY kind ORDER BY nodes DESC, kind;

-- name: edge_counts
SELECT how, refused_by, count(*) AS edges FROM edges GROUP BY how, refused_by ORDER BY edges DESC, how, refused_by;

-- name: profile_counts
-- A number whose own identifier is out of matching is of nobody.
SELECT count(*) FILTER (WHERE points_to IS NULL
                          AND EXISTS (SELECT FROM nodes n WHERE n.profile_id = profiles.profile_id AND n.live)) AS profiles, count(*) FILTER (WHERE points_to IS NOT NULL) AS absorbed,
       count(*) FILTER (WHERE contested IS NOT NULL AND points_to IS NULL) AS contested FROM profiles;

-- name: last_runs
SELECT started_at, status, figures FROM runs WHERE stage = 'identity' ORDER BY started_at DESC LIMIT %(most)s;

-- name: rules_version
-- The newest, or the one that is asked for.
SELECT version, rules, adopted_at FROM identity_rules
WHERE version = coalesce(%(version)s, version) ORDER BY version DESC LIMIT 1;

-- name: adopt_rules
INSERT INTO identity_rules (rules, adopted_at) VALUES (%(rules)s, %(now)s) RETURNING version;

-- name: held_apart
-- The identifiers of all profiles that a limit or a cut holds apart from one of these: a change of one moves the others.
SELECT n.node, n.kind, n.value, n.profile_id, n.dead, n.first_seen
FROM profiles p JOIN nodes n USING (profile_id)
WHERE p.contested IN (SELECT contested FROM profiles WHERE profile_id = ANY(%(profiles)s::bigint[])) LIMIT %(most)s;

-- name: hub_sizes
-- How many others each of these is tied to.
SELECT n.node, count(DISTINCT e.other) AS neighbours
FROM unnest(%(nodes)s::uuid[]) n (node)
CROSS JOIN LATERAL (
    SELECT strong AS other FROM edges WHERE weak = n.node
    UNION ALL SELECT weak FROM edges WHERE strong = n.node
) e
GROUP BY n.node;
