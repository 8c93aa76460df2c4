-- name: add
INSERT INTO forwards (name, url, source_id, allow_private, created_at)
VALUES (%(name)s, %(url)s, %(source_id)s, %(allow_private)s, %(clock)s)
ON CONFLICT (name) DO NOTHING
RETURNING forward_id;

-- name: put_key
INSERT INTO forward_keys (forward_id, box) VALUES (%(forward_id)s, %(box)s)
ON CONFLICT (forward_id) DO UPDATE SET box = excluded.box;

-- name: add_live
-- From now on: what is under way now and commits later is not seen here, so it is sent. From a time
-- on: all that was received since, in one line with what comes.
INSERT INTO forward_spans (forward_id, again, from_at, to_at, began_era, began, era, seen, asked_at)
SELECT %(forward_id)s, false, coalesce(%(from_at)s::timestamptz, '-infinity'), 'infinity',
       b.era, b.seen, b.era, b.seen, %(clock)s
FROM (SELECT max(era) AS era, pg_current_snapshot() AS seen FROM eras HAVING %(from_at)s::timestamptz IS NULL
      UNION ALL
      SELECT 0, '1:1:' WHERE %(from_at)s::timestamptz IS NOT NULL) b;

-- name: add_replay
-- All that is committed now and was received in that time, from its first on.
INSERT INTO forward_spans (forward_id, again, from_at, to_at, began_era, began, era, seen, until_era, until, asked_at)
SELECT forward_id, true, %(from_at)s, %(to_at)s, 0, '1:1:', 0, '1:1:', (SELECT max(era) FROM eras), pg_current_snapshot(), %(clock)s
FROM forwards WHERE name = %(name)s
RETURNING span_id;

-- name: change
UPDATE forwards SET url = coalesce(%(url)s, url), allow_private = coalesce(%(allow_private)s, allow_private),
    state = CASE WHEN state = 'paused' THEN state ELSE 'on' END,
    error = NULL, error_since = NULL, attempt = 0, next_try_at = NULL
WHERE name = %(name)s
RETURNING forward_id, url;

-- name: remove
DELETE FROM forwards WHERE name = %(name)s;

-- name: set_state
UPDATE forwards SET state = %(state)s, error = NULL, error_since = NULL, attempt = 0, next_try_at = NULL
WHERE name = %(name)s;

-- name: stop
-- By itself, and only one that is at work: a person who paused it meanwhile has the last word.
UPDATE forwards SET state = %(state)s, error = %(error)s, error_since = %(clock)s, attempt = 0, next_try_at = NULL
WHERE forward_id = %(forward_id)s AND state = 'on';

-- name: at_work
SELECT f.forward_id, f.name, f.url, f.source_id, f.allow_private, k.box
FROM forwards f JOIN forward_keys k USING (forward_id) WHERE f.state = 'on' ORDER BY f.forward_id;

-- name: any
SELECT EXISTS (SELECT FROM forwards) AS found;

-- name: lock
-- One process a forward, on whichever machine; it ends with the connection.
SELECT pg_try_advisory_lock(hashtext('horizon.forward'), %(forward_id)s) AS locked;

-- name: spans
-- The live one first, then the replays in the order in which they were asked for.
SELECT span_id, again, from_at::text, to_at::text, era, seen::text, until_era, until::text, at_era, at_tx::text,
       at_received::text, at_time::text, at_event::text
FROM forward_spans WHERE forward_id = %(forward_id)s AND finished_at IS NULL ORDER BY again, span_id;

-- name: sources
-- Without one that was chosen those that send over HTTP: neither files of the past nor what Horizon
-- itself has to tell.
SELECT source_id FROM sources
WHERE CASE WHEN %(source_id)s::int IS NULL THEN kind IN ('public', 'server') ELSE source_id = %(source_id)s END;

-- name: present
SELECT (SELECT max(era) FROM eras) AS era, pg_current_snapshot()::text AS until;

-- name: page
-- What follows at_* in a window. In the order of the index events_by_tx, a partition at a time
-- merged, so a page costs its own rows and not the window's.
SELECT e.era, e.tx::text AS tx, e.received_at, e.time, e.event_id, e.message_id, e.type, e.name, e.user_id,
       e.anonymous_id, e.previous_id, e.group_id, e.properties, e.traits, e.context
FROM events_between(%(until_era)s, %(until)s::pg_snapshot, %(era)s, %(seen)s::pg_snapshot) e
WHERE (e.era, e.tx) >= (%(at_era)s, %(at_tx)s::xid8)
  AND (e.era, e.tx, e.received_at, e.time, e.event_id)
      > (%(at_era)s, %(at_tx)s::xid8, %(at_received)s::timestamptz, %(at_time)s::timestamptz, %(at_event)s::uuid)
  AND e.received_at >= %(from_at)s::timestamptz AND e.received_at < %(to_at)s::timestamptz
  AND e.source_id = ANY(%(sources)s::int[])
ORDER BY e.era, e.tx, e.received_at, e.time, e.event_id
LIMIT %(most)s;

-- name: covered
-- Whether all that a replay's window holds was sent once: then what waited for it is sent.
SELECT NOT EXISTS (
    SELECT FROM events_between(%(until_era)s, %(until)s::pg_snapshot, %(era)s, %(seen)s::pg_snapshot) e
    WHERE e.received_at >= %(from_at)s::timestamptz AND e.received_at < %(to_at)s::timestamptz
      AND e.source_id = ANY(%(sources)s::int[])
) AS covered;

-- name: move
UPDATE forward_spans SET era = %(era)s, seen = %(seen)s, until_era = %(until_era)s, until = %(until)s,
    at_era = %(at_era)s, at_tx = %(at_tx)s, at_received = %(at_received)s, at_time = %(at_time)s,
    at_event = %(at_event)s, sent = sent + %(sent)s, refused = refused + %(refused)s, looped = looped + %(looped)s,
    finished_at = %(finished_at)s
WHERE span_id = %(span_id)s;

-- name: note_refused
INSERT INTO forward_refused (forward_id, event_id, received_at, status, answer, noted_at)
SELECT %(forward_id)s, r.event_id, r.received_at, r.status, r.answer, %(clock)s
FROM unnest(%(event_ids)s::uuid[], %(received)s::timestamptz[], %(statuses)s::int[], %(answers)s::text[])
    r (event_id, received_at, status, answer)
ON CONFLICT (forward_id, event_id) DO UPDATE
SET status = excluded.status, answer = excluded.answer, noted_at = excluded.noted_at;

-- name: note_days
INSERT INTO forward_days (forward_id, day, type, sent, refused, looped, sent_again)
SELECT %(forward_id)s, d.day, d.type, d.sent, d.refused, d.looped, d.sent_again
FROM unnest(%(days)s::date[], %(types)s::text[], %(sent)s::bigint[], %(refused)s::bigint[], %(looped)s::bigint[],
            %(sent_again)s::bigint[]) d (day, type, sent, refused, looped, sent_again)
ON CONFLICT (forward_id, day, type) DO UPDATE
SET sent = forward_days.sent + excluded.sent, refused = forward_days.refused + excluded.refused,
    looped = forward_days.looped + excluded.looped, sent_again = forward_days.sent_again + excluded.sent_again;

-- name: note_health
UPDATE forwards SET error = %(error)s, error_since = CASE WHEN %(error)s::text IS NULL THEN NULL
                                                        ELSE coalesce(error_since, %(clock)s) END,
    attempt = %(attempt)s, next_try_at = %(next_try_at)s,
    last_sent_at = coalesce(%(last_sent_at)s, last_sent_at)
WHERE forward_id = %(forward_id)s AND state = 'on';

-- name: forget_refused
DELETE FROM forward_refused WHERE noted_at < %(clock)s - interval '30 days';

-- name: list
SELECT f.name, f.url, s.name AS source, f.state, f.created_at
FROM forwards f LEFT JOIN sources s USING (source_id) ORDER BY f.forward_id;

-- name: standings
SELECT f.name, f.state, extract(epoch FROM %(clock)s - w.oldest)::float8 AS lag_s, w.events AS lag_events,
       l.sent, l.refused, l.looped, coalesce(r.sent, 0)::bigint AS sent_again, coalesce(r.replays, 0)::int AS replays,
       f.last_sent_at, f.error, f.error_since, f.attempt, f.next_try_at
FROM forwards f
JOIN forward_spans l ON l.forward_id = f.forward_id AND NOT l.again
CROSS JOIN LATERAL forward_lag(f.forward_id, %(most)s) w
LEFT JOIN LATERAL (
    SELECT sum(sent) AS sent, count(*) FILTER (WHERE finished_at IS NULL) AS replays
    FROM forward_spans WHERE forward_id = f.forward_id AND again
) r ON true
ORDER BY f.forward_id;

-- name: refused
SELECT r.event_id, e.message_id, e.type, r.received_at, r.status, r.answer, r.noted_at
FROM forward_refused r JOIN forwards f USING (forward_id)
LEFT JOIN LATERAL (
    SELECT message_id, type FROM events
    WHERE events.received_at = r.received_at AND events.event_id = r.event_id LIMIT 1
) e ON true
WHERE f.name = %(name)s ORDER BY r.noted_at DESC, r.event_id LIMIT %(most)s;

-- name: compare
-- Of the days from first_day to last_day what was accepted here and is to be sent, counted anew, and what
-- came of it. What was there before the forward is no part of it.
SELECT coalesce(a.day, d.day) AS day, coalesce(a.type, d.type) AS type, coalesce(a.accepted, 0)::bigint AS accepted,
       coalesce(d.sent, 0)::bigint AS sent, coalesce(d.refused, 0)::bigint AS refused,
       coalesce(d.looped, 0)::bigint AS looped, coalesce(d.sent_again, 0)::bigint AS sent_again
FROM (
    SELECT (e.received_at AT TIME ZONE 'UTC')::date AS day, e.type, count(*) AS accepted
    FROM forwards f
    JOIN forward_spans l ON l.forward_id = f.forward_id AND NOT l.again
    JOIN events e ON e.received_at >= l.from_at
                 AND (e.era > l.began_era OR (e.era = l.began_era AND NOT pg_visible_in_snapshot(e.tx, l.began)))
    WHERE f.name = %(name)s AND e.received_at >= %(first_day)s::timestamp AT TIME ZONE 'UTC'
      AND e.received_at < (%(last_day)s::timestamp + interval '1 day') AT TIME ZONE 'UTC'
      AND e.source_id = ANY(%(sources)s::int[])
    GROUP BY 1, 2
) a
FULL JOIN (
    SELECT d.day, d.type, d.sent, d.refused, d.looped, d.sent_again
    FROM forward_days d JOIN forwards f USING (forward_id)
    WHERE f.name = %(name)s AND d.day BETWEEN %(first_day)s::date AND %(last_day)s::date
) d ON d.day = a.day AND d.type = a.type
ORDER BY 1, 2;

-- name: find
SELECT forward_id, name, url, source_id, state, allow_private FROM forwards WHERE name = %(name)s;
