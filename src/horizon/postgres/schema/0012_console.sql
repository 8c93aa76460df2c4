-- Who may use the console, and the links that let somebody in for the first time. Sign-ins, second
-- factors and the rest that Django and allauth keep stand in the same schema; their own migrations
-- make those tables (docs/adr/0007-the-console.md).
CREATE SCHEMA console;

CREATE TABLE console.people (
    person_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email text NOT NULL UNIQUE CHECK (email = lower(email) AND email LIKE '%_@_%'),
    name text NOT NULL DEFAULT '',
    password text NOT NULL DEFAULT '',  -- argon2; one that begins with ! opens nothing
    roles text[] NOT NULL CHECK (cardinality(roles) > 0 AND roles <@
        ARRAY['owner', 'admin', 'marketer', 'analyst', 'engineer', 'support', 'auditor']),
    active boolean NOT NULL DEFAULT true,
    version int NOT NULL DEFAULT 1,  -- two people who edit the same one: the second is told
    created_at timestamptz NOT NULL,
    last_login timestamptz
);

-- Each opens once and for a while. The link itself is shown once; its SHA-256 is what is kept.
CREATE TABLE console.links (
    token_sha256 bytea PRIMARY KEY,
    person_id bigint REFERENCES console.people,  -- none: whoever opens it becomes an owner
    made_by text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);

GRANT USAGE ON SCHEMA console TO horizon_console;
GRANT SELECT, INSERT, UPDATE ON console.people TO horizon_console;
GRANT SELECT, INSERT ON console.links TO horizon_console;
GRANT UPDATE (used_at) ON console.links TO horizon_console;
