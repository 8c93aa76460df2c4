-- name: server_settings
SELECT name, setting, unit FROM pg_settings
WHERE name IN ('shared_buffers', 'max_wal_size', 'fsync', 'full_page_writes', 'synchronous_commit', 'autovacuum',
               'max_connections', 'transaction_read_only');

-- name: long_transactions
-- Sessions of this database whose transaction began so long ago: they hold up VACUUM, and where
-- they hold locks the stages.
SELECT pid, coalesce(nullif(application_name, ''), 'unnamed') AS program, state,
       extract(epoch FROM %(clock)s - xact_start)::float8 AS open_s
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
  AND xact_start < %(clock)s - %(longest_s)s * interval '1 second'
ORDER BY xact_start LIMIT 3;

-- name: sessions
SELECT sum(numbackends)::int AS used FROM pg_stat_database;

-- name: newest_run
SELECT max(newest.started_at) AS at
FROM unnest(%(stages)s::text[]) s (stage) CROSS JOIN LATERAL (
    SELECT started_at FROM runs WHERE runs.stage = s.stage ORDER BY started_at DESC LIMIT 1
) newest;

-- name: ledger
SELECT name, sha256 FROM migrations;

-- name: keys_check
SELECT node_key_check FROM installation;

-- name: size
SELECT pg_database_size(current_database()) AS bytes;

-- name: failing_forwards
SELECT name, state, error FROM forwards WHERE error IS NOT NULL ORDER BY name;

-- name: hubs
SELECT count(*) AS hubs FROM nodes WHERE dead = 'hub';

-- name: refused
-- How many ties each thing refuses, and how many there are.
SELECT refused_by, count(*) AS refused, sum(count(*)) OVER () AS edges FROM edges
GROUP BY refused_by ORDER BY refused DESC, refused_by;

-- name: without_secret
-- Public sources that nobody can sign an identity for.
SELECT s.name FROM sources s
WHERE s.kind = 'public' AND s.enabled AND NOT EXISTS (SELECT FROM source_secrets k WHERE k.source_id = s.source_id)
ORDER BY s.name;

-- name: last_verify
SELECT status FROM runs WHERE stage = 'verify' ORDER BY started_at DESC LIMIT 1;
