-- name: last_runs
-- Of each stage its last run, and its last good one among the newest 10,000.
SELECT s.stage,
       extract(epoch FROM last.started_at)::float8 AS started,
       (last.status <> 'done')::int AS unfinished,
       extract(epoch FROM good.started_at)::float8 AS good_started
FROM unnest(%(stages)s::text[]) s (stage)
CROSS JOIN LATERAL (
    SELECT r.started_at, r.status FROM runs r WHERE r.stage = s.stage ORDER BY r.started_at DESC LIMIT 1
) last
LEFT JOIN LATERAL (
    SELECT recent.started_at FROM (
        SELECT r.started_at, r.status FROM runs r WHERE r.stage = s.stage ORDER BY r.started_at DESC LIMIT 10000
    ) recent WHERE recent.status = 'done' ORDER BY recent.started_at DESC LIMIT 1
) good ON true;

-- name: watermarks
-- Of the stages that read windows of events; identity has none before its first run.
SELECT stage, coalesce(w.era, 0) AS era, coalesce(w.seen::text, '1:1:') AS seen,
       (SELECT max(era) FROM eras) AS era_now
FROM (VALUES ('identity')) known (stage) LEFT JOIN watermarks w USING (stage);

-- name: unread
-- What a stage has not read yet: how many events, at most so many are counted, and since when the
-- first of them waits. Asked a stage at a time: with the watermark as a value the windows of
-- events_between are ranges of an index.
SELECT count(*)::int AS events, extract(epoch FROM %(clock)s - min(received_at))::float8 AS behind
FROM (
    SELECT received_at FROM events_between(%(era_now)s, pg_current_snapshot(), %(era)s, %(seen)s::pg_snapshot)
    LIMIT %(most)s
) counted;

-- name: outbox
-- By campaign and state: planned (its time has not come), due, claimed, sending, held (by a
-- breaker). The table holds only what is on its way; 500,000 rows take 0.1 s.
SELECT campaign,
       CASE WHEN due_at = 'infinity' THEN 'held' WHEN state <> 'planned' THEN state
            WHEN due_at <= %(clock)s THEN 'due' ELSE 'planned' END AS state,
       count(*)::int AS messages
FROM outbox GROUP BY 1, 2;

-- name: oldest_due
-- Since when the message waits that has waited longest, of those that may leave. By the index.
SELECT c.campaign, extract(epoch FROM %(clock)s - first.due_at)::float8 AS waits
FROM campaigns c CROSS JOIN LATERAL (
    SELECT o.due_at FROM outbox o WHERE o.campaign = c.campaign AND o.due_at <= %(clock)s
    ORDER BY o.due_at LIMIT 1
) first
WHERE c.status = 'active';

-- name: breakers
SELECT campaign, reason, count(*)::int AS domains FROM breakers WHERE closed_at IS NULL GROUP BY 1, 2;

-- name: campaigns
SELECT status, count(*)::int AS campaigns FROM campaigns GROUP BY 1;

-- name: opt_ins
-- By the partial index of those that wait.
SELECT count(*)::int AS waiting FROM (SELECT FROM opt_ins WHERE decided_at IS NULL LIMIT %(most)s) counted;

-- name: connections
-- Sessions of this database by the role that opened them.
SELECT coalesce(nullif(application_name, ''), 'other') AS role, count(*)::int AS sessions
FROM pg_stat_activity WHERE datname = current_database()
  AND application_name IN ('horizon', 'horizon_edge', 'horizon_worker', 'horizon_console', 'horizon_reader')
GROUP BY 1;

-- name: server
SELECT current_setting('max_connections')::int AS sessions,
       (SELECT sum(numbackends)::int FROM pg_stat_database) AS used;

-- name: message_states
-- Reads the whole table; an index on the state would cost every send an index write.
SELECT campaign, status, count(*)::int AS messages FROM messages GROUP BY 1, 2;

-- name: suppressions
SELECT reason, count(*)::int AS addresses FROM suppressions GROUP BY 1;

-- name: alerts
SELECT status, count(*)::int AS alerts FROM alerts WHERE status <> 'RESOLVED' GROUP BY 1;

-- name: size
SELECT pg_database_size(current_database()) AS bytes;

-- name: forwards
-- Of each forward how far it is behind, at most so many events are counted, and what it did.
SELECT f.name AS forward, coalesce(extract(epoch FROM %(clock)s - w.oldest), 0)::float8 AS behind, w.events,
       s.sent, s.refused, (f.state = 'on' AND f.error IS NULL)::int AS well
FROM forwards f
JOIN forward_spans s ON s.forward_id = f.forward_id AND NOT s.again
CROSS JOIN LATERAL forward_lag(f.forward_id, %(most)s) w;
