-- Roles: what each may do stands beside its tables. They belong to the whole server, so several
-- databases of one server share them.
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['horizon_edge', 'horizon_worker', 'horizon_console', 'horizon_reader']
    LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;  -- another database's migration was faster
            END;
        END IF;
        IF NOT pg_has_role(current_user, wanted, 'MEMBER') OR current_setting('server_version_num')::int >= 160000 THEN
            BEGIN
                EXECUTE format('GRANT %I TO CURRENT_USER', wanted);
            EXCEPTION WHEN insufficient_privilege THEN
                NULL;  -- connecting as the role says what is missing
            END;
        END IF;
    END LOOP;
END $$;

REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO horizon_edge, horizon_worker, horizon_console, horizon_reader;

CREATE EXTENSION IF NOT EXISTS btree_gist;

-- An era is the life of one cluster: transaction ids mean something only within it. A restore
-- into another cluster opens a new one.
CREATE TABLE eras (
    era int PRIMARY KEY,
    system_identifier text NOT NULL,
    opened_at timestamptz NOT NULL DEFAULT now(),
    reason text NOT NULL
);

-- The one row tells which NODE_KEY this database's nodes were made with.
CREATE TABLE installation (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    node_key_check bytea NOT NULL
);

CREATE TABLE backups (
    taken_at timestamptz PRIMARY KEY,
    lake text  -- the lake's metadata file that it names: the lake keeps what that one needs
);

-- What a backup cannot know: whether anything was sent between it and its restore. While that
-- span lies within a campaign's cooldown, the campaign writes to nobody.
CREATE TABLE restores (
    restored_at timestamptz PRIMARY KEY,
    backup_at timestamptz NOT NULL,
    nothing_sent_since boolean NOT NULL
);

CREATE TABLE runs (
    run_id uuid PRIMARY KEY,
    correlation_id uuid NOT NULL,
    stage text NOT NULL,
    status text NOT NULL CHECK (status IN ('started', 'done', 'failed')),
    "now" timestamptz NOT NULL,
    started_at timestamptz NOT NULL,
    finished_at timestamptz,
    lag_s double precision,  -- none: what a person starts by hand waits for nobody
    figures jsonb,
    error text
);
CREATE INDEX runs_by_stage ON runs (stage, started_at DESC);  -- status, the demo's summary
CREATE INDEX runs_by_correlation ON runs (correlation_id);     -- explain: what ran in one go

-- How long the oldest of what a stage reads may have waited for it: since its last good run began,
-- or since the installation was made.
CREATE FUNCTION stage_lag_s(asked_stage text, begun timestamptz) RETURNS double precision LANGUAGE sql STABLE AS $$
    SELECT greatest(0, trunc(extract(epoch FROM begun - coalesce(
        (SELECT max(started_at) FROM runs WHERE stage = asked_stage AND status = 'done' AND started_at < begun),
        (SELECT min(opened_at) FROM eras), begun)), 3))
$$;

-- Events of lineage that the disk of their queue had no room for, until they are delivered.
CREATE TABLE lineage_kept (
    kept_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    target text NOT NULL,
    line text NOT NULL
);

CREATE TABLE watermarks (
    stage text PRIMARY KEY,
    era int NOT NULL,
    seen pg_snapshot NOT NULL
);

-- The history seals the digest and not the values beside it, so that erasing these breaks no chain;
-- without the salt, which goes with them, nobody can guess from the digest what they were.
CREATE TABLE audit (
    audit_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    actor text NOT NULL,
    action text NOT NULL,
    object text NOT NULL,
    origin text,  -- from where: an address; none: this machine's terminal
    details jsonb DEFAULT '{}',
    salt bytea,
    digest bytea NOT NULL
);
CREATE INDEX audit_by_actor ON audit (actor, audit_id);    -- the console's audit screen
CREATE INDEX audit_by_action ON audit (action, audit_id);  -- the same

CREATE FUNCTION audit_digest(salt bytea, origin text, details jsonb) RETURNS bytea LANGUAGE sql STABLE AS $$
    SELECT sha256(salt || convert_to(ROW(origin, details)::text, 'UTF8'))
$$;
CREATE FUNCTION salt_audit() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    NEW.salt := uuid_send(gen_random_uuid());
    NEW.digest := audit_digest(NEW.salt, NEW.origin, NEW.details);
    RETURN NEW;
END $$;
-- Erased values are gone with their salt, all of them.
CREATE FUNCTION audit_is_genuine(entry audit) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN entry.salt IS NULL THEN entry.details IS NULL AND entry.origin IS NULL
           ELSE entry.digest = audit_digest(entry.salt, entry.origin, entry.details) END
$$;
CREATE TRIGGER salt_audit BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION salt_audit();

CREATE TABLE simulations (
    name text PRIMARY KEY,
    epoch timestamptz NOT NULL,
    seed int NOT NULL
);

GRANT SELECT ON backups TO horizon_worker;
GRANT SELECT ON eras, restores, runs, watermarks TO horizon_edge, horizon_worker, horizon_console, horizon_reader;
GRANT INSERT, UPDATE ON runs, watermarks TO horizon_worker;
GRANT SELECT, INSERT ON simulations TO horizon_worker;
GRANT SELECT, INSERT, DELETE ON lineage_kept TO horizon_worker;
GRANT INSERT ON audit TO horizon_worker, horizon_console;
GRANT SELECT ON audit TO horizon_console;
