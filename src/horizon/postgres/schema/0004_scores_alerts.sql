CREATE TABLE score_runs (
    score_run int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    correlation_id uuid NOT NULL,
    "now" timestamptz NOT NULL,
    window_days double precision NOT NULL,
    high double precision NOT NULL,
    medium double precision NOT NULL,
    active boolean NOT NULL DEFAULT false
);
CREATE UNIQUE INDEX score_runs_one_active ON score_runs (active) WHERE active;

-- A partition a run: a new table with its key is written in a sixth of the time of an upsert.
CREATE TABLE scores (
    score_run int NOT NULL,
    profile_id bigint NOT NULL,
    last_activity timestamptz,  -- none: nothing but identify calls; silence counts from first_seen
    silent_s double precision NOT NULL,
    activities int NOT NULL,    -- within the window
    score double precision NOT NULL CHECK (score BETWEEN 0 AND 1),
    tier text NOT NULL CHECK (tier IN ('high', 'medium', 'low')),
    ahead boolean NOT NULL      -- the last activity lies in the future
) PARTITION BY LIST (score_run);

-- The worker may not make tables, so these run as their owner.
CREATE FUNCTION open_score_run(run int) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    EXECUTE format('CREATE TABLE scores_%s (LIKE scores INCLUDING ALL)', run);
    EXECUTE format('GRANT INSERT ON scores_%s TO horizon_worker', run);
END $$;

-- Gives the finished run its key and its place, makes it the one that counts, and drops all but
-- the newest three, so that a reader of the run before is not disturbed.
CREATE FUNCTION close_score_run(run int) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    old int;
BEGIN
    EXECUTE format('ALTER TABLE scores_%s ADD PRIMARY KEY (profile_id), ADD CHECK (score_run = %s)', run, run);
    EXECUTE format('ANALYZE scores_%s', run);
    EXECUTE format('ALTER TABLE scores ATTACH PARTITION scores_%s FOR VALUES IN (%s)', run, run);
    UPDATE score_runs SET active = false WHERE active;
    UPDATE score_runs SET active = true WHERE score_run = run;
    FOR old IN
        SELECT score_run FROM score_runs
        WHERE score_run < run AND to_regclass('scores_' || score_run) IS NOT NULL
        ORDER BY score_run DESC OFFSET 2
    LOOP
        BEGIN
            SET LOCAL lock_timeout = '200ms';
            EXECUTE format('DROP TABLE scores_%s', old);
        EXCEPTION WHEN lock_not_available THEN
            EXIT;  -- somebody reads; the next run drops it
        END;
    END LOOP;
    RESET lock_timeout;
END $$;
REVOKE EXECUTE ON FUNCTION open_score_run(int), close_score_run(int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION open_score_run(int), close_score_run(int) TO horizon_worker;

CREATE VIEW current_scores AS
SELECT names.user_id, s.profile_id, s.score, s.tier, s.last_activity, s.silent_s, s.activities,
       s.ahead, r."now", r.window_days
FROM scores s
JOIN score_runs r ON r.score_run = s.score_run
JOIN LATERAL (SELECT p.user_id FROM profile_names p WHERE p.profile_id = s.profile_id) names ON true
WHERE s.score_run = (SELECT score_run FROM score_runs WHERE active);

CREATE TABLE alerts (
    alert_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rule text NOT NULL,
    node uuid NOT NULL,
    profile_id bigint NOT NULL,  -- as known when it was made
    score double precision NOT NULL,
    tier text NOT NULL,
    threshold double precision NOT NULL,
    status text NOT NULL DEFAULT 'NEW' CHECK (status IN ('NEW', 'NOTIFIED', 'RESOLVED')),
    -- What the score was made of: scores of old runs are dropped, and later events change nothing here.
    last_activity timestamptz,
    silent_s double precision,
    activities int,              -- within the window
    score_run int,               -- whose "now" and window these are of
    created_at timestamptz NOT NULL,
    quiet_until timestamptz NOT NULL,  -- the cooldown's end
    notified_at timestamptz,
    resolved_at timestamptz,
    correlation_id uuid NOT NULL,
    -- Two alerters at once, with any thresholds, make one alert: the database says so. By the node, since
    -- the profile's id may be another person's by now.
    CONSTRAINT one_alert_a_cooldown EXCLUDE USING gist
        (node WITH =, rule WITH =, tstzrange(created_at, quiet_until) WITH &&)
);
CREATE INDEX alerts_by_node ON alerts (node);  -- whose it is now
CREATE INDEX alerts_open ON alerts (profile_id) WHERE status <> 'RESOLVED';  -- resolving, planning

GRANT SELECT ON score_runs, scores, current_scores, alerts TO horizon_worker, horizon_console, horizon_reader;
GRANT INSERT, UPDATE ON score_runs TO horizon_worker;
-- What was found stays as it was found.
GRANT INSERT, UPDATE (status, quiet_until, notified_at, resolved_at) ON alerts TO horizon_worker;
