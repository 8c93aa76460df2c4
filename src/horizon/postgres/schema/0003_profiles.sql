CREATE TABLE profiles (
    profile_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    points_to bigint REFERENCES profiles,  -- the profile that absorbed it
    created_at timestamptz NOT NULL,
    -- Profiles that evidence connects and a limit or a cut holds apart are computed together: they
    -- have the same number here, the least of their ids. None: nothing connects it to another.
    contested bigint
);
CREATE INDEX profiles_contested ON profiles (contested) WHERE contested IS NOT NULL;
CREATE INDEX profiles_by_target ON profiles (points_to) WHERE points_to IS NOT NULL;

-- The map of identity nodes to profiles. A query takes an event's first live node and joins this.
CREATE TABLE nodes (
    node uuid,
    kind text NOT NULL,
    value text NOT NULL,
    profile_id bigint,   -- none: it is out of matching (a hub, or blocked)
    born_as bigint,      -- the profile that was made for it, which a split revives; none: it joined one
    -- hub: too many people share it; blocked: the rules name its value; erased: its person asked for it
    dead text CHECK (dead IN ('hub', 'blocked', 'erased')),
    live boolean NOT NULL GENERATED ALWAYS AS (dead IS NULL) STORED,
    -- Without its value, whatever else it is out for: it does not come alive again.
    erased boolean NOT NULL GENERATED ALWAYS AS (value = '') STORED,
    first_seen timestamptz NOT NULL,  -- the earliest event's time
    CHECK ((profile_id IS NULL) = (dead IS NOT NULL AND dead <> 'erased')),
    PRIMARY KEY (node) INCLUDE (first_seen)  -- of nearly all that an event names only this is asked
);
CREATE INDEX nodes_by_profile ON nodes (profile_id);
CREATE INDEX nodes_by_value ON nodes (kind, value);  -- finding a person by what one knows
CREATE INDEX nodes_dead ON nodes (node) WHERE dead IS NOT NULL;

-- What ties two nodes, with the first event that did. The weak end is of the weaker kind.
CREATE TABLE edges (
    weak uuid NOT NULL,
    strong uuid NOT NULL,
    -- event: both stood in one; alias: a trusted alias call; same: two spellings of one value;
    -- manual: the operator's word. All but the first count as one identifier for limits.
    how text NOT NULL CHECK (how IN ('event', 'alias', 'same', 'manual')),
    time timestamptz NOT NULL,  -- of the first event, at most 30 days before its receipt
    event_id uuid,
    source_id int,
    -- What keeps its ends apart: limit:KIND, cut, hub, blocked; unjoined: a join by hand that was taken
    -- back. None: it joins them.
    refused_by text,
    PRIMARY KEY (weak, strong, how) INCLUDE (time)
);
CREATE INDEX edges_by_strong ON edges (strong);

-- An event as evidence, so that the least of several is the first one: its time, its id, its source.
-- Every version has the least of arrays, and of nothing else that holds all three.
CREATE FUNCTION sighting(at timestamptz, event_id uuid, source_id int) RETURNS uuid[] LANGUAGE sql STABLE AS $$
    SELECT ARRAY[lpad(to_hex((date_part('epoch', at) * 1000000)::bigint + 62200000000000000), 32, '0')::uuid,
                 coalesce(event_id, '00000000-0000-0000-0000-000000000000'),
                 lpad(to_hex(coalesce(source_id, 0)), 32, '0')::uuid]
$$;
CREATE FUNCTION sighted_event(first uuid[]) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT nullif(first[2], '00000000-0000-0000-0000-000000000000')
$$;
CREATE FUNCTION sighted_source(first uuid[]) RETURNS int LANGUAGE sql IMMUTABLE AS $$
    SELECT nullif(('x' || right(first[3]::text, 8))::bit(32)::int, 0)
$$;

-- Cannot-link: these two are never of one profile, until it is lifted. An anchor that is out of matching
-- (a hub, or blocked) holds nobody back: then its first stand-in that is not out is the other end.
CREATE TABLE cuts (
    cut_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    node uuid NOT NULL,
    anchor uuid NOT NULL,
    stand_ins uuid[] NOT NULL DEFAULT '{}',  -- what was of the anchor's profile then, the strongest first
    made_at timestamptz NOT NULL,
    lifted_at timestamptz
);
CREATE INDEX cuts_by_node ON cuts (node) WHERE lifted_at IS NULL;
CREATE INDEX cuts_by_anchor ON cuts (anchor) WHERE lifted_at IS NULL;

-- The end that a cut is held against now: the anchor, or who stands in for it. None: all are out.
CREATE FUNCTION held_against(ends uuid[]) RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT e.node FROM unnest(ends) WITH ORDINALITY e (node, place)
    WHERE NOT EXISTS (SELECT FROM nodes d WHERE d.node = e.node AND d.profile_id IS NULL)
    ORDER BY e.place LIMIT 1
$$;

-- Whose an event is: its first node that is not dead. One that the identity stage has not met yet
-- counts as live. Called for the few events whose first node is dead: a call takes 10 us.
CREATE FUNCTION first_live(candidates uuid[]) RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT c.node FROM unnest(candidates) WITH ORDINALITY c (node, place)
    WHERE NOT EXISTS (SELECT FROM nodes d WHERE d.node = c.node AND d.dead IS NOT NULL)
    ORDER BY c.place LIMIT 1
$$;

-- The dead nodes that stood before a node in some event: each two nodes of an event have an edge.
CREATE FUNCTION dead_before(asked uuid) RETURNS TABLE (node uuid) LANGUAGE sql STABLE ROWS 1 AS $$
    SELECT DISTINCT d.node FROM edges g JOIN nodes d ON d.node = g.strong AND d.dead IS NOT NULL
    WHERE g.weak = asked
$$;

-- A profile's events: those whose first live node is of it. Nearly all have it in first place; the
-- others are found by the dead one before it, or the dead two. Only by index, and inlined.
CREATE FUNCTION profile_events(profile bigint) RETURNS SETOF events LANGUAGE sql STABLE AS $$
    SELECT e.* FROM nodes n JOIN events e ON e.nodes[1] = n.node
    WHERE n.profile_id = profile AND n.live
    UNION ALL
    SELECT e.* FROM nodes n
    CROSS JOIN LATERAL dead_before(n.node) d
    JOIN events e ON e.nodes[1] = d.node AND e.nodes[2] = n.node
    WHERE n.profile_id = profile AND n.live
    UNION ALL
    SELECT e.* FROM nodes n
    CROSS JOIN LATERAL dead_before(n.node) d
    JOIN LATERAL dead_before(n.node) d2 ON d2.node <> d.node
    JOIN events e ON e.nodes[1] = d.node AND e.nodes[2] = d2.node AND first_live(e.nodes) = n.node
    WHERE n.profile_id = profile AND n.live
$$;

-- The text of each version of the rules that was adopted; the newest holds. None: the shipped ones.
CREATE TABLE identity_rules (
    version int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rules text NOT NULL,
    adopted_at timestamptz NOT NULL
);

CREATE TABLE traits (
    node uuid NOT NULL,
    name text NOT NULL,
    value jsonb NOT NULL,  -- JSON null: removed
    value_node uuid,       -- an address's node: consent and suppression know it by that alone
    time timestamptz NOT NULL,
    trusted boolean NOT NULL,
    event_id uuid NOT NULL,
    PRIMARY KEY (node, name)
);

-- The last trait of a node that was over a limit: call (300 traits in one), name (500 bytes), value
-- (20 KiB of JSON), profile (6,000 names; the first that come stay).
CREATE TABLE refused_traits (
    node uuid NOT NULL,
    reason text NOT NULL CHECK (reason IN ('call', 'name', 'value', 'profile')),
    name text NOT NULL,  -- its beginning
    time timestamptz NOT NULL,
    event_id uuid NOT NULL,
    PRIMARY KEY (node, reason)
);

-- What `group` calls say: whom a group has, and what it is like. A group is no node, it ties nobody.
CREATE TABLE memberships (
    node uuid NOT NULL,
    group_id text NOT NULL,
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    trusted boolean NOT NULL,  -- whether a trusted source said so too
    PRIMARY KEY (node, group_id)
);
CREATE INDEX memberships_by_group ON memberships (group_id);
CREATE TABLE group_traits (
    group_id text NOT NULL,
    name text NOT NULL,
    value jsonb NOT NULL,  -- JSON null: removed
    time timestamptz NOT NULL,
    trusted boolean NOT NULL,
    event_id uuid NOT NULL,
    PRIMARY KEY (group_id, name)
);

-- What consent is given for. Shipped ones have their words in the page's catalogue; titles, by
-- language, are for the operator's own.
CREATE TABLE purposes (
    purpose text PRIMARY KEY CHECK (purpose ~ '^[a-z][a-z0-9_]{0,62}$'),
    titles jsonb NOT NULL DEFAULT '{}',  -- {"en": "News and offers", "de": "..."}
    position int NOT NULL DEFAULT 100    -- on the preference page
);
INSERT INTO purposes (purpose, position) VALUES ('marketing', 1), ('tracking', 2);

-- Append-only: each change of consent as it came. The current state is derived.
CREATE TABLE consents (
    consent_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    node uuid NOT NULL,  -- its event's first live one: another one when that dies
    address_hash uuid,  -- the node of the address it was given for
    purpose text NOT NULL,
    channel text NOT NULL,
    granted boolean NOT NULL,
    time timestamptz NOT NULL,
    way text NOT NULL,  -- by which way: identify, one_click, page, preferences, opt_in, import, manual
    wording text,       -- the sentence that was agreed to
    actor text NOT NULL DEFAULT 'person',  -- who said it: the person, or who imported it
    event_id uuid  -- of an import: what makes its line the same one when it comes again
);
CREATE UNIQUE INDEX consents_once ON consents (event_id, purpose, channel);
-- Of two records of the same time the refusal is the latest, in whatever order they came.
CREATE INDEX consents_by_node ON consents (node, purpose, channel, time DESC, granted);
CREATE INDEX consents_by_address ON consents (address_hash, purpose, channel, time DESC, granted);

CREATE TABLE suppressions (
    address_hash uuid NOT NULL,
    purpose text NOT NULL,  -- '*': every purpose
    reason text NOT NULL CHECK (reason IN ('unsubscribed', 'hard_bounce', 'complaint', 'manual')),
    created_at timestamptz NOT NULL,
    message_id uuid,
    PRIMARY KEY (address_hash, purpose)
);

-- A yes that the address's owner gives by a signed link takes back the owner's own no, and nothing
-- else: not a bounce, a complaint or the operator's word. The edge may not delete suppressions.
CREATE FUNCTION lift_unsubscribed(address uuid, asked_purpose text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    DELETE FROM suppressions
    WHERE address_hash = address AND purpose = asked_purpose AND purpose <> '*' AND reason = 'unsubscribed'
$$;
REVOKE EXECUTE ON FUNCTION lift_unsubscribed(uuid, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lift_unsubscribed(uuid, text) TO horizon_edge, horizon_worker;

-- Domains that take no mail from us: the operator's word, or the domain's own (null MX, RFC 7505).
CREATE TABLE suppressed_domains (
    domain text PRIMARY KEY CHECK (domain = lower(domain)),
    reason text NOT NULL CHECK (reason IN ('manual', 'null_mx')),
    created_at timestamptz NOT NULL
);

-- What the DNS said of a domain's mail, so that it is asked once a week.
CREATE TABLE domains (
    domain text PRIMARY KEY CHECK (domain = lower(domain)),
    -- nowhere: neither MX nor address; unanswered: being asked, or nobody knew
    answer text NOT NULL CHECK (answer IN ('takes_mail', 'null_mx', 'nowhere', 'unanswered')),
    asked_at timestamptz NOT NULL
);

-- Append-only: how often somebody wants to hear from a channel. The latest row of an address holds.
CREATE TABLE preferences (
    preference_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    address_hash uuid NOT NULL,
    channel text NOT NULL,
    every_days double precision CHECK (every_days > 0),  -- at most one message in so many days
    paused_until timestamptz,
    time timestamptz NOT NULL,
    way text NOT NULL,
    message_id uuid  -- whose link led there
);
CREATE INDEX preferences_by_address ON preferences (address_hash, channel, time DESC);

-- Double opt-in: somebody, perhaps somebody else, gave this address; only its owner can confirm.
CREATE TABLE opt_ins (
    opt_in_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    node uuid NOT NULL,
    address_hash uuid NOT NULL,
    to_addr text,
    purpose text NOT NULL,
    channel text NOT NULL,
    wording text NOT NULL,
    language text NOT NULL DEFAULT 'en',
    asked_at timestamptz NOT NULL,
    event_id uuid,
    decided_at timestamptz,  -- by planning; none: it waits
    mailed_at timestamptz,   -- when its mail was planned; none: it waits or was decided against
    confirmed_at timestamptz,
    UNIQUE (event_id, purpose, channel)
);
CREATE INDEX opt_ins_waiting ON opt_ins (asked_at) WHERE decided_at IS NULL;
CREATE INDEX opt_ins_mailed ON opt_ins (mailed_at) WHERE mailed_at IS NOT NULL;  -- so many an hour
CREATE INDEX opt_ins_by_address ON opt_ins (address_hash, mailed_at);            -- one a day

-- A person's traits: of all their nodes the last write of each, by event time. Of an address or a
-- phone number what an untrusted source said never stands before what a trusted one did. What was
-- removed last is not there. An object is one trait, which the last call that names it replaces whole, as
-- Segment does; a null inside it removes that path. Lists stay as they came.
CREATE VIEW profile_traits AS
SELECT profile_id, name,
       CASE jsonb_typeof(value) WHEN 'object' THEN jsonb_strip_nulls(value) ELSE value END AS value, value_node, time, trusted, event_id
FROM (
    SELECT DISTINCT ON (n.profile_id, t.name)
           n.profile_id, t.name, t.value, t.value_node, t.time, t.trusted, t.event_id
    FROM traits t JOIN nodes n ON n.node = t.node AND n.live
    ORDER BY n.profile_id, t.name, t.name IN ('email', 'phone') AND NOT t.trusted, t.time DESC, t.event_id DESC
) latest
WHERE value <> 'null';

-- A trait, or what lies in one: 'plan', 'address.city', 'orders.0.sku'. A name with dots in it goes
-- before a path; nothing where there is nothing, or null.
CREATE FUNCTION profile_trait(profile bigint, path text) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT nullif(t.value #> parts[depth + 1:], 'null')
    FROM string_to_array(path, '.') parts, generate_subscripts(parts, 1) depth, profile_traits t
    WHERE t.profile_id = profile AND t.name = array_to_string(parts[:depth], '.')
    ORDER BY depth DESC LIMIT 1
$$;

CREATE VIEW profile_names AS
SELECT DISTINCT ON (profile_id) profile_id, node, kind,
       CASE kind WHEN 'user_id' THEN value ELSE 'p' || profile_id END AS user_id
FROM nodes WHERE live
ORDER BY profile_id, CASE kind WHEN 'user_id' THEN 0 WHEN 'email' THEN 1 WHEN 'phone' THEN 2 ELSE 3 END,
         first_seen, node;

-- One row a known profile with its best address: the last that a trusted source gave and did not take
-- back. Known: by a user id, an address or a phone number. One that another absorbed has no nodes.
CREATE VIEW users AS
SELECT p.profile_id, names.user_id, email.value #>> '{}' AS email,
       first_name.value #>> '{}' AS first_name, p.created_at
FROM profiles p
JOIN profile_names names USING (profile_id)
LEFT JOIN profile_traits email ON email.profile_id = p.profile_id AND email.name = 'email'
LEFT JOIN profile_traits first_name ON first_name.profile_id = p.profile_id AND first_name.name = 'first_name'
WHERE p.points_to IS NULL AND names.kind IN ('user_id', 'email', 'phone');

GRANT SELECT ON profiles, nodes, traits, purposes, consents, suppressions, suppressed_domains, domains, preferences,
    opt_ins, profile_traits, profile_names, users TO horizon_worker, horizon_console, horizon_reader;
GRANT SELECT ON refused_traits, memberships, group_traits TO horizon_worker, horizon_console, horizon_reader;
GRANT INSERT, UPDATE ON refused_traits, memberships, group_traits TO horizon_worker;
GRANT SELECT ON edges, cuts, identity_rules TO horizon_worker, horizon_console, horizon_reader;
GRANT INSERT, UPDATE ON edges, cuts TO horizon_worker, horizon_console;
GRANT INSERT ON identity_rules TO horizon_worker, horizon_console;
GRANT INSERT, UPDATE ON profiles, nodes, traits, purposes, opt_ins, domains TO horizon_worker;
GRANT INSERT, DELETE ON suppressed_domains TO horizon_worker;
GRANT USAGE ON SEQUENCE profiles_profile_id_seq TO horizon_worker;  -- ids are drawn before their rows
GRANT INSERT ON consents, suppressions, preferences TO horizon_worker, horizon_edge;
GRANT UPDATE (node) ON consents TO horizon_worker;
GRANT DELETE ON suppressions TO horizon_worker;
GRANT SELECT ON suppressions, purposes, preferences TO horizon_edge;
