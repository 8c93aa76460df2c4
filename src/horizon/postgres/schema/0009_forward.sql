-- Where accepted events are sent on to. The owner alone makes one or changes where it leads: it
-- takes data out of the house. The worker notes how it goes.
CREATE TABLE forwards (
    forward_id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    url text NOT NULL,
    source_id int REFERENCES sources,  -- none: every source that sends over HTTP
    allow_private boolean NOT NULL,
    created_at timestamptz NOT NULL,
    -- key_refused, all_refused: it stopped by itself, and goes on when somebody mended it
    state text NOT NULL DEFAULT 'on' CHECK (state IN ('on', 'paused', 'key_refused', 'all_refused')),
    error text,
    error_since timestamptz,
    attempt int NOT NULL DEFAULT 0,
    next_try_at timestamptz,
    last_sent_at timestamptz
);

-- The receiver's write keys, encrypted with a key that lies in HORIZON_HOME/keys and so is not in a
-- backup's file (forward/secret.py). Apart from forwards, so that who may see those sees no key.
CREATE TABLE forward_keys (
    forward_id int PRIMARY KEY REFERENCES forwards ON DELETE CASCADE,
    box bytea NOT NULL
);

-- What is to be sent and how far it is: of each forward one span without an end, and one a replay.
-- Events go in the order of (era, tx, received_at, time, event_id), which is that of
-- commits as far as a person can tell: who waits for an answer before the next request has the next
-- transaction id. A window is what events_between gives of seen and until; in it all up to at_* is
-- done.
CREATE TABLE forward_spans (
    span_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    forward_id int NOT NULL REFERENCES forwards ON DELETE CASCADE,
    again boolean NOT NULL,
    from_at timestamptz NOT NULL,
    to_at timestamptz NOT NULL,
    began_era int NOT NULL,
    began pg_snapshot NOT NULL,  -- what this sees of began_era and before was there already, and is not sent
    era int NOT NULL,
    seen pg_snapshot NOT NULL,
    until_era int,
    until pg_snapshot,  -- none: the window is done, and the next one begins at seen
    at_era int NOT NULL DEFAULT 0,
    at_tx xid8 NOT NULL DEFAULT '0',
    at_received timestamptz NOT NULL DEFAULT '-infinity',
    at_time timestamptz NOT NULL DEFAULT '-infinity',
    at_event uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    sent bigint NOT NULL DEFAULT 0,
    refused bigint NOT NULL DEFAULT 0,
    looped bigint NOT NULL DEFAULT 0,  -- had been here before, so were not sent
    asked_at timestamptz NOT NULL,
    finished_at timestamptz
);
CREATE UNIQUE INDEX forward_spans_live ON forward_spans (forward_id) WHERE NOT again;
CREATE INDEX forward_spans_open ON forward_spans (forward_id) WHERE again AND finished_at IS NULL;

-- Events that the receiver will not have, with its answer; kept 30 days.
CREATE TABLE forward_refused (
    forward_id int NOT NULL REFERENCES forwards ON DELETE CASCADE,
    event_id uuid NOT NULL,
    received_at timestamptz NOT NULL,
    status int NOT NULL,
    answer text NOT NULL,
    noted_at timestamptz NOT NULL,
    PRIMARY KEY (forward_id, event_id)
);
CREATE INDEX forward_refused_by_time ON forward_refused (noted_at);  -- what is too old goes

-- What came of the events of a day, to compare with those accepted here.
CREATE TABLE forward_days (
    forward_id int NOT NULL REFERENCES forwards ON DELETE CASCADE,
    day date NOT NULL,  -- UTC, on which they were received
    type text NOT NULL,
    sent bigint NOT NULL,
    refused bigint NOT NULL,
    looped bigint NOT NULL,
    sent_again bigint NOT NULL,  -- by replays
    PRIMARY KEY (forward_id, day, type)
);

-- How many of a forward's events wait, at most so many are counted, and when the oldest of these was
-- received: its window's after at_*, and all after it. Planned anew each time, with the watermark as
-- a value: only then the windows of events_between are ranges of an index.
CREATE FUNCTION forward_lag(asked int, most int) RETURNS TABLE (events int, oldest timestamptz)
LANGUAGE plpgsql STABLE SET enable_seqscan = off AS $$
DECLARE
    wanted int[];
    span forward_spans;
BEGIN
    SELECT * INTO span FROM forward_spans WHERE forward_id = asked AND NOT again;
    SELECT array_agg(s.source_id) INTO wanted FROM sources s, forwards f
    WHERE f.forward_id = asked
      AND CASE WHEN f.source_id IS NULL THEN s.kind IN ('public', 'server') ELSE s.source_id = f.source_id END;
    RETURN QUERY EXECUTE '
        SELECT count(*)::int, min(received_at) FROM (
            SELECT received_at FROM events_between($1, pg_current_snapshot(), $2, $3)
            WHERE source_id = ANY($4) AND received_at >= $5 AND received_at < $6
              AND ($7 IS NULL OR (era, tx, received_at, time, event_id) > ($9, $10, $11, $12, $13)
                   OR (era = $8 AND NOT pg_visible_in_snapshot(tx, $7)))
            LIMIT $14) counted'
    USING (SELECT max(era) FROM eras), span.era, span.seen, wanted, span.from_at, span.to_at, span.until, span.until_era,
          span.at_era, span.at_tx, span.at_received, span.at_time, span.at_event, most;
END $$;

GRANT SELECT ON forwards, forward_spans, forward_refused, forward_days TO horizon_worker, horizon_console, horizon_reader;
GRANT SELECT (source_id, name, kind) ON sources TO horizon_reader;  -- what waits of which is a metric
GRANT SELECT ON forward_keys TO horizon_worker;
GRANT UPDATE (state, error, error_since, attempt, next_try_at, last_sent_at) ON forwards TO horizon_worker;
GRANT UPDATE (era, seen, until_era, until, at_era, at_tx, at_received, at_time, at_event, sent, refused, looped,
              finished_at) ON forward_spans TO horizon_worker;
GRANT INSERT, UPDATE, DELETE ON forward_refused TO horizon_worker;
GRANT INSERT, UPDATE ON forward_days TO horizon_worker;
