CREATE TABLE profiles (
    profile_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    points_to bigint REFERENCES profiles,  -- the profile that absorbed it
    created_at timestamptz NOT NULL
);

-- The map of identity nodes to profiles. A query takes an event's first live node and joins this.
CREATE TABLE nodes (
    node uuid PRIMARY KEY,
    kind text NOT NULL,
    value text NOT NULL,
    profile_id bigint NOT NULL REFERENCES profiles,
    live boolean NOT NULL DEFAULT true,  -- false: blocked, quarantined or erased
    first_seen timestamptz NOT NULL      -- the earliest event's time
);
CREATE INDEX nodes_by_profile ON nodes (profile_id);
CREATE INDEX nodes_by_value ON nodes (kind, value);  -- finding a person by what one knows

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

-- Append-only: each change of consent as it came. The current state is derived.
CREATE TABLE consents (
    consent_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    node uuid NOT NULL,
    address_hash uuid,  -- the node of the address it was given for
    purpose text NOT NULL,
    channel text NOT NULL,
    granted boolean NOT NULL,
    time timestamptz NOT NULL,
    way text NOT NULL,  -- by which way: identify, one_click, page
    wording text,
    event_id uuid
);
CREATE UNIQUE INDEX consents_once ON consents (event_id, purpose, channel);
CREATE INDEX consents_by_node ON consents (node, purpose, channel, time DESC);
CREATE INDEX consents_by_address ON consents (address_hash, purpose, channel, time DESC);

CREATE TABLE suppressions (
    address_hash uuid NOT NULL,
    purpose text NOT NULL,  -- '*': every purpose
    reason text NOT NULL CHECK (reason IN ('unsubscribed', 'hard_bounce', 'complaint', 'manual')),
    created_at timestamptz NOT NULL,
    message_id uuid,
    PRIMARY KEY (address_hash, purpose)
);

CREATE VIEW profile_traits AS
SELECT DISTINCT ON (n.profile_id, t.name) n.profile_id, t.name, t.value, t.value_node, t.time, t.event_id
FROM traits t JOIN nodes n ON n.node = t.node AND n.live
ORDER BY n.profile_id, t.name, t.time DESC, t.event_id;

CREATE VIEW profile_names AS
SELECT DISTINCT ON (profile_id) profile_id, node, kind,
       CASE kind WHEN 'user_id' THEN value ELSE 'p' || profile_id END AS user_id
FROM nodes WHERE live
ORDER BY profile_id, CASE kind WHEN 'user_id' THEN 0 WHEN 'email' THEN 1 ELSE 2 END, first_seen, node;

-- One row a known profile with its best address.
CREATE VIEW users AS
SELECT p.profile_id, names.user_id, email.value #>> '{}' AS email,
       first_name.value #>> '{}' AS first_name, p.created_at
FROM profiles p
JOIN profile_names names USING (profile_id)
LEFT JOIN profile_traits email ON email.profile_id = p.profile_id AND email.name = 'email'
LEFT JOIN profile_traits first_name ON first_name.profile_id = p.profile_id AND first_name.name = 'first_name'
WHERE p.points_to IS NULL AND names.kind IN ('user_id', 'email');

-- Why this profile may not be written to at this address, or NULL where it may. The one place
-- that decides it: planning asks, and sending asks again. Of several records the strictest holds:
-- the latest of each of the profile's nodes and the latest of the address must all be a yes; an
-- answer that names no address is about the one its person has. A yes given after as_of does not
-- exist yet; a no counts whenever it came.
-- A table of one row, since that is inlined into the query that asks: as a scalar it took 1.2 ms a
-- call. LATERAL and LIMIT keep it to index look-ups, also before the first ANALYZE: with a join
-- 20,000 people took 7 minutes, so they take 1 s.
CREATE FUNCTION refusal(
    profile bigint, address uuid, asked_purpose text, asked_channel text, as_of timestamptz
) RETURNS TABLE (reason text) LANGUAGE sql STABLE ROWS 1 AS $$
    SELECT coalesce(
        (SELECT s.reason FROM suppressions s
         WHERE s.address_hash = address AND s.purpose IN ('*', asked_purpose) LIMIT 1),
        (SELECT CASE WHEN count(*) = 0 THEN 'no_consent' WHEN NOT bool_and(said.granted) THEN 'refused' END
         FROM (
            SELECT latest.granted FROM nodes n, LATERAL (
                SELECT c.granted FROM consents c
                WHERE c.node = n.node AND c.purpose = asked_purpose AND c.channel = asked_channel
                  AND (c.time <= as_of OR NOT c.granted)
                ORDER BY c.time DESC, c.consent_id DESC LIMIT 1
            ) latest
            WHERE n.profile_id = profile
            UNION ALL
            (SELECT of_address.granted FROM (
                (SELECT c.granted, c.time, c.consent_id FROM consents c
                 WHERE c.address_hash = address AND c.purpose = asked_purpose
                   AND c.channel = asked_channel AND (c.time <= as_of OR NOT c.granted)
                 ORDER BY c.time DESC, c.consent_id DESC LIMIT 1)
                UNION ALL
                SELECT named_none.* FROM nodes n, LATERAL (
                    SELECT c.granted, c.time, c.consent_id FROM consents c
                    WHERE c.node = n.node AND c.address_hash IS NULL AND c.purpose = asked_purpose
                      AND c.channel = asked_channel AND (c.time <= as_of OR NOT c.granted)
                    ORDER BY c.time DESC, c.consent_id DESC LIMIT 1
                ) named_none
                WHERE n.profile_id = profile
             ) of_address ORDER BY time DESC, consent_id DESC LIMIT 1)
         ) said))
$$;

GRANT SELECT ON profiles, nodes, traits, consents, suppressions, profile_traits, profile_names, users
    TO horizon_worker, horizon_console, horizon_reader;
GRANT INSERT, UPDATE ON profiles, nodes, traits TO horizon_worker;
GRANT USAGE ON SEQUENCE profiles_profile_id_seq TO horizon_worker;  -- ids are drawn before their rows
GRANT INSERT ON consents, suppressions TO horizon_worker, horizon_edge;
GRANT SELECT ON suppressions TO horizon_edge;
