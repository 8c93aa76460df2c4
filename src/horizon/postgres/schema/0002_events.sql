CREATE TABLE sources (
    source_id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    -- public: its key is readable, so it is not believed; server: its key is secret;
    -- file: the operator's own files; internal: what Horizon itself writes
    kind text NOT NULL CHECK (kind IN ('public', 'server', 'file', 'internal')),
    enabled boolean NOT NULL DEFAULT true,
    origins text[] NOT NULL DEFAULT '{}',  -- of the web pages that may send; none: all may
    rate double precision CHECK (rate > 0),  -- events a second, all collectors of a home together; none: no limit
    burst double precision CHECK (burst >= 1),  -- events at once; none: what comes in ten seconds
    created_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO sources (name, kind) VALUES ('horizon', 'internal');

-- A source's key, and while it is changed the one before: that one's end is set. An ended one stays
-- until the next change, so that its sender is told what happened.
CREATE TABLE source_keys (
    key_sha256 bytea PRIMARY KEY,
    source_id int NOT NULL REFERENCES sources,
    hint text NOT NULL,  -- its first characters, to tell the two apart
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    last_used_at timestamptz  -- within some seconds
);
CREATE UNIQUE INDEX source_keys_new ON source_keys (source_id) WHERE expires_at IS NULL;
CREATE UNIQUE INDEX source_keys_old ON source_keys (source_id) WHERE expires_at IS NOT NULL;

-- What a site's own server signs its users' ids with, and while it is changed the one before. It has
-- to be known to be checked with, so it is encrypted: the key is in HORIZON_HOME/keys.
CREATE TABLE source_secrets (
    secret_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source_id int NOT NULL REFERENCES sources,
    box bytea NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz
);
CREATE UNIQUE INDEX source_secrets_new ON source_secrets (source_id) WHERE expires_at IS NULL;
CREATE UNIQUE INDEX source_secrets_old ON source_secrets (source_id) WHERE expires_at IS NOT NULL;

-- Ids of what came in, in a table of their own: events are partitioned by the day they were
-- received, and a copy may come after midnight. Days around now have partitions; what is far from
-- its receipt (no timestamp, an old file) lies with what came in the same thirty days, see events/homes.py.
CREATE TABLE event_ids (
    hour timestamptz NOT NULL,  -- of the original timestamp, or the first day of those thirty and some microseconds
    digest uuid NOT NULL,       -- of source and messageId
    PRIMARY KEY (hour, digest)
) PARTITION BY RANGE (hour);
CREATE TABLE event_ids_default PARTITION OF event_ids DEFAULT;

CREATE TABLE events (
    event_id uuid NOT NULL,
    source_id int NOT NULL,
    message_id text NOT NULL,
    type text NOT NULL CHECK (type IN ('track', 'page', 'screen', 'identify', 'group', 'alias')),
    name text,
    user_id text,
    anonymous_id text,
    email text,        -- an identify call's, from a source that may assert one
    previous_id text,
    group_id text,
    nodes uuid[] NOT NULL CHECK (cardinality(nodes) > 0),  -- strongest identifier first
    -- [["kind", "value"], ...], one for each of nodes; none: they are those of user_id, email and
    -- anonymous_id, as far as these are there and not blocked
    identifiers text,
    original_timestamp timestamptz,
    time timestamptz NOT NULL,  -- the client's, its clock's error taken out
    received_at timestamptz NOT NULL,
    time_flag text CHECK (time_flag IN ('unreadable', 'far_ahead')),
    trusted boolean NOT NULL,
    activity boolean NOT NULL,  -- caused by the person: decided once, in events/model.py
    properties text,
    traits text,
    context text,
    consent text,      -- {"PURPOSE.CHANNEL": true}
    era int NOT NULL,
    tx xid8 NOT NULL DEFAULT pg_current_xact_id()
) PARTITION BY RANGE (received_at);
CREATE TABLE events_default PARTITION OF events DEFAULT;
CREATE INDEX events_by_tx ON events (era, tx);       -- the windows of stages
-- A profile's page, explain. The second node: whose an event is where its first one is dead.
CREATE INDEX events_by_node ON events ((nodes[1]), (nodes[2]));

-- With all that its reader was given, so that it can be read again after something was mended.
CREATE TABLE rejected_events (
    rejected_id bigint GENERATED ALWAYS AS IDENTITY,
    source_id int NOT NULL,
    received_at timestamptz NOT NULL,
    position bigint NOT NULL,  -- in its request, or the line in its file
    code text NOT NULL,        -- of the last reading
    message text NOT NULL,
    body text NOT NULL,
    cut boolean NOT NULL,      -- the body was longer
    call text,                 -- its type where the address named it
    sent_at timestamptz,       -- its batch's
    context text,              -- its batch's
    replayed_at timestamptz DEFAULT NULL,  -- when it became an event
    event_id uuid DEFAULT NULL,
    PRIMARY KEY (rejected_id, received_at)
) PARTITION BY RANGE (received_at);
CREATE TABLE rejected_events_default PARTITION OF rejected_events DEFAULT;
CREATE INDEX rejected_events_by_source ON rejected_events (source_id, received_at);  -- list, replay, ingest

-- Whom nobody may bring back: events of such a node from before its erasure are refused.
CREATE TABLE erased_nodes (
    node uuid PRIMARY KEY,
    erased_at timestamptz NOT NULL,
    tx xid8 NOT NULL DEFAULT pg_current_xact_id()
);
CREATE INDEX erased_nodes_by_tx ON erased_nodes (tx);  -- the edge reads what is new

-- The rows of a window: committed after the snapshot seen (of its era) was taken and before the
-- snapshot until (of the current era). Sequence values and times are not in commit order, so a
-- reader that remembers the highest one would miss what commits late. Inlined by the planner.
CREATE FUNCTION events_between(era_now int, until pg_snapshot, era_seen int, seen pg_snapshot)
RETURNS SETOF events LANGUAGE sql STABLE AS $$
    SELECT * FROM events e
    WHERE (e.era = era_now AND era_seen = era_now AND e.tx >= pg_snapshot_xmin(seen)
           AND NOT pg_visible_in_snapshot(e.tx, seen) AND pg_visible_in_snapshot(e.tx, until))
       OR (e.era = era_now AND era_seen < era_now AND pg_visible_in_snapshot(e.tx, until))
       OR (e.era > era_seen AND e.era < era_now)
       OR (e.era = era_seen AND era_seen < era_now AND NOT pg_visible_in_snapshot(e.tx, seen))
$$;

-- A user id or an anonymous id; NULL where it identifies nobody, so that it is no node of its event.
-- The same values as events/blocked.py.
CREATE FUNCTION unblocked(value text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN btrim(value, '0-') <> '' AND (length(value) > 17 OR lower(value COLLATE "C") NOT IN (
        'null', 'nil', 'none', 'nan', 'undefined', 'unknown', 'anonymous', 'anon', 'guest', 'visitor',
        'user', 'userid', 'user_id', 'distinctid', 'distinct_id', 'anonymousid', 'anonymous_id', 'id',
        'email', 'true', 'false', 'n/a', 'na', '(null)', '<null>', '(none)', '(not set)', 'not set',
        '[object object]', '{}', '[]', 'not_authenticated', 'not authenticated', 'invalid', '-1',
        '-1.0', '0.0')) THEN value END
$$;

-- The kinds of an event's nodes where identifiers is NULL: those of the columns that are there and not
-- blocked. Of what Horizon writes itself, which may be of an address alone, none.
CREATE FUNCTION plain_kinds(user_id text, email text, anonymous_id text)
RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    SELECT array_remove(ARRAY[CASE WHEN unblocked(user_id) IS NOT NULL THEN 'user_id' END,
                              CASE WHEN email IS NOT NULL THEN 'email' END,
                              CASE WHEN unblocked(anonymous_id) IS NOT NULL THEN 'anonymous_id' END], NULL)
$$;

-- An event's identifiers with their nodes, strongest first.
CREATE FUNCTION identifiers_of(
    nodes uuid[], identifiers text, user_id text, email text, anonymous_id text
) RETURNS TABLE (place int, node uuid, kind text, value text) LANGUAGE sql IMMUTABLE ROWS 3 AS $$
    SELECT one.place::int, nodes[one.place], one.pair ->> 0, one.pair ->> 1
    FROM jsonb_array_elements(identifiers::jsonb) WITH ORDINALITY AS one (pair, place)
    UNION ALL
    SELECT plain.place::int, nodes[plain.place], plain.kind,
           CASE plain.kind WHEN 'user_id' THEN user_id WHEN 'email' THEN email ELSE anonymous_id END
    FROM unnest(plain_kinds(user_id, email, anonymous_id)) WITH ORDINALITY AS plain (kind, place)
    WHERE identifiers IS NULL
$$;

-- The node of an event's identifier of this kind; of several the first, which is that of the column
-- where the event has one. A value that stands in its column as a claim alone has no node.
CREATE FUNCTION node_of_kind(
    wanted text, nodes uuid[], identifiers text, user_id text, email text, anonymous_id text
) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT nodes[CASE WHEN identifiers IS NULL
                 THEN array_position(plain_kinds(user_id, email, anonymous_id), wanted)
                 ELSE (SELECT min(one.place)::int
                       FROM jsonb_array_elements(identifiers::jsonb) WITH ORDINALITY AS one (pair, place)
                       WHERE one.pair ->> 0 = wanted) END]
$$;

-- Makes the partitions that events of these days need. The edge may not make tables, so it runs
-- as its owner. Ids that wait in the default partition move to the new one. ids_alone: of event_ids,
-- so that nobody who reads events waits.
CREATE FUNCTION ensure_partitions(first_day date, last_day date, ids_alone boolean DEFAULT false) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    day date;
    part text;
    parent text;
    key text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('horizon.ensure_partitions'));
    FOREACH parent IN ARRAY ARRAY['events', 'event_ids', 'rejected_events'] LOOP
        CONTINUE WHEN ids_alone AND parent <> 'event_ids';
        key := CASE parent WHEN 'event_ids' THEN 'hour' ELSE 'received_at' END;
        FOR day IN SELECT d::date FROM generate_series(first_day::timestamp, last_day, '1 day') d LOOP
            part := parent || '_' || to_char(day, 'YYYYMMDD');
            -- Not to_regclass: what it remembers is from before the wait for the lock.
            CONTINUE WHEN EXISTS (SELECT FROM pg_class WHERE relname = part AND relnamespace = 'public'::regnamespace);
            -- A row that another writer adds to the default after the move would fail the ATTACH.
            EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', parent || '_default');
            -- An identity of its own is refused from PostgreSQL 17 on: it takes its parent's.
            EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL EXCLUDING IDENTITY)', part, parent);
            EXECUTE format(
                'WITH moved AS (DELETE FROM %I WHERE %I >= %L AND %I < %L RETURNING *) INSERT INTO %I SELECT * FROM moved',
                parent || '_default', key, day || ' 00:00+00', key, day + 1 || ' 00:00+00', part);
            EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                parent, part, day || ' 00:00+00', day + 1 || ' 00:00+00');
        END LOOP;
    END LOOP;
END $$;
REVOKE EXECUTE ON FUNCTION ensure_partitions(date, date, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ensure_partitions(date, date, boolean) TO horizon_edge, horizon_worker;

-- The days that a table has partitions of.
CREATE FUNCTION day_partitions(parent text) RETURNS SETOF date LANGUAGE sql STABLE AS $$
    SELECT to_date(right(part.relname, 8), 'YYYYMMDD')
    FROM pg_inherits i JOIN pg_class part ON part.oid = i.inhrelid
    WHERE i.inhparent = to_regclass('public.' || parent) AND part.relname ~ ('^' || parent || '_[0-9]{8}$')
$$;

-- Drops the partitions of the days before first_day, and tells which. Only of what has its time, and
-- of ids never those of the last sixty days of the server's clock: a --now that is far ahead must
-- not forget them.
CREATE FUNCTION drop_days(parent text, first_day date) RETURNS SETOF date
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    day date;
BEGIN
    IF parent NOT IN ('rejected_events', 'event_ids') THEN
        RAISE insufficient_privilege USING MESSAGE = parent || ' has no days that may be dropped';
    END IF;
    IF parent = 'event_ids' THEN
        first_day := least(first_day, (clock_timestamp() AT TIME ZONE 'UTC')::date - 60);
    ELSE  -- the few that came while there was no partition for their day
        EXECUTE format('DELETE FROM %I WHERE received_at < %L', parent || '_default', first_day || ' 00:00+00');
    END IF;
    FOR day IN SELECT d FROM day_partitions(parent) d WHERE d < first_day ORDER BY d LOOP
        EXECUTE format('DROP TABLE %I', parent || '_' || to_char(day, 'YYYYMMDD'));
        RETURN NEXT day;
    END LOOP;
END $$;
REVOKE EXECUTE ON FUNCTION drop_days(text, date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION drop_days(text, date) TO horizon_worker;

GRANT SELECT ON sources TO horizon_edge, horizon_worker, horizon_console;
GRANT INSERT, UPDATE ON sources TO horizon_worker, horizon_console;
GRANT SELECT ON source_keys TO horizon_edge, horizon_worker, horizon_console;
GRANT UPDATE (last_used_at) ON source_keys TO horizon_edge;
GRANT INSERT, UPDATE, DELETE ON source_keys TO horizon_worker, horizon_console;
GRANT SELECT ON source_secrets TO horizon_edge, horizon_worker;
GRANT INSERT, UPDATE, DELETE ON source_secrets TO horizon_worker;
GRANT SELECT ON erased_nodes TO horizon_edge, horizon_worker, horizon_console;
GRANT INSERT ON erased_nodes TO horizon_worker;
GRANT SELECT, INSERT ON event_ids TO horizon_edge, horizon_worker;
GRANT INSERT ON events, rejected_events TO horizon_edge, horizon_worker;
GRANT UPDATE (code, message, replayed_at, event_id) ON rejected_events TO horizon_worker, horizon_console;
GRANT SELECT ON events, rejected_events TO horizon_worker, horizon_console, horizon_reader;
