-- Who may read profiles through the API. A revoked one stays, so that its senders are told what
-- happened; its name is free again.
CREATE TABLE read_tokens (
    token_sha256 bytea PRIMARY KEY,
    name text NOT NULL,
    hint text NOT NULL,  -- its first characters, to tell two apart
    scopes text[] NOT NULL CHECK (cardinality(scopes) > 0),
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    last_used_at timestamptz,  -- within some seconds
    revoked_at timestamptz
);
CREATE UNIQUE INDEX read_tokens_in_use ON read_tokens (name) WHERE revoked_at IS NULL;

GRANT SELECT, INSERT ON read_tokens TO horizon_worker, horizon_console;
GRANT UPDATE (revoked_at) ON read_tokens TO horizon_worker, horizon_console;
GRANT SELECT ON read_tokens TO horizon_reader;
GRANT UPDATE (last_used_at) ON read_tokens TO horizon_reader;
