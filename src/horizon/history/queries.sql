-- name: pin_forms
-- What is hashed is text: its form is this one, whatever the session's or the server's settings.
SELECT count(set_config(setting, form, true)) AS settings
FROM (VALUES ('timezone', 'UTC'), ('datestyle', 'ISO, YMD'), ('extra_float_digits', '1'), ('bytea_output', 'hex'))
     pinned (setting, form);

-- name: cut
SELECT * FROM history_cut();

-- name: snapshot
-- Its own statement, after the cut: what is drawn later is not in it.
SELECT pg_current_snapshot()::text AS seen;

-- name: look_from
SELECT pass_id, message_id, alert_id, consent_id, audit_id FROM history_from();

-- name: last_seal
SELECT batch, hash FROM history_seals ORDER BY batch DESC LIMIT 1;

-- name: add_entries
-- Everything that came or changed since the last pass, in one order, in batches. A row that was
-- written by a transaction of before and committed since is found like any other: by not being
-- in the history. An alert's states are an entry each. (SELECT true ... LIMIT 1) and LATERAL ...
-- LIMIT 1 stay look-ups by index: messages and history only ever grow and are never read whole.
WITH events_told AS (  -- what a provider reported later, of messages that were over
    SELECT DISTINCT substring(e.message_id FROM '[0-9a-f-]{36}$')::uuid AS message_id
    FROM events_between(%(era)s, %(until)s, %(seen_era)s, %(seen)s) e
    WHERE e.name IN ('Message Delivered', 'Message Bounced', 'Message Complained')
      AND e.source_id = (SELECT s.source_id FROM sources s WHERE s.name = 'horizon')
      AND e.message_id ~ ':[0-9a-f-]{36}$'
), changed AS (
    SELECT m.message_id, NULL AS known FROM messages m
    WHERE m.message_id > %(message_from)s
      AND (SELECT true FROM history h WHERE h.message_id = m.message_id LIMIT 1) IS NULL
    UNION ALL
    SELECT o.message_id, o.state FROM history_open_messages o
    WHERE NOT EXISTS (SELECT FROM outbox x WHERE x.message_id = o.message_id)
    UNION ALL
    SELECT t.message_id, sealed.state FROM events_told t
    CROSS JOIN LATERAL (  -- with a LIMIT the planner would walk the whole history backwards
        SELECT (array_agg(h.state ORDER BY h.batch DESC, h.place DESC))[1] AS state FROM history h
        WHERE h.message_id = t.message_id HAVING count(*) > 0) sealed
    WHERE NOT EXISTS (SELECT FROM history_open_messages o WHERE o.message_id = t.message_id)
), changed_alerts AS (
    SELECT a.alert_id, NULL AS known FROM alerts a
    WHERE a.alert_id > %(alert_from)s
      AND (SELECT true FROM history h WHERE h.thing = 'alert' AND h.number = a.alert_id LIMIT 1) IS NULL
    UNION ALL
    SELECT o.alert_id, o.state FROM history_open_alerts o
), came AS (
    SELECT 'message' AS thing, c.message_id, NULL::bigint AS number, m.state, 0 AS step, m.at, m.digest
    FROM changed c
    CROSS JOIN LATERAL (
        SELECT m.status AS state, coalesce(m.finished_at, m.planned_at) AS at,
               message_digest(m, m.status <> ALL(%(open)s)) AS digest
        FROM messages m WHERE m.message_id = c.message_id LIMIT 1) m
    WHERE m.state IS DISTINCT FROM c.known
    UNION ALL
    SELECT 'alert', NULL, c.alert_id, s.state, s.step, s.at, a.digest
    FROM changed_alerts c
    CROSS JOIN LATERAL (
        SELECT a.created_at, a.notified_at, a.resolved_at, alert_digest(a) AS digest
        FROM alerts a WHERE a.alert_id = c.alert_id LIMIT 1) a
    CROSS JOIN LATERAL (VALUES ('NEW', 1, a.created_at), ('NOTIFIED', 2, a.notified_at), ('RESOLVED', 3, a.resolved_at))
        s (state, step, at)
    WHERE s.at IS NOT NULL AND s.step > CASE c.known WHEN 'NEW' THEN 1 WHEN 'NOTIFIED' THEN 2 ELSE 0 END
    UNION ALL
    SELECT 'consent', NULL, c.consent_id, CASE WHEN c.granted THEN 'granted' ELSE 'refused' END, 0, c.time,
           consent_digest(c)
    FROM consents c
    WHERE c.consent_id > %(consent_from)s
      AND (SELECT true FROM history h WHERE h.thing = 'consent' AND h.number = c.consent_id LIMIT 1) IS NULL
    UNION ALL
    SELECT 'audit', NULL, a.audit_id, 'written', 0, a.at, a.digest
    FROM audit_digests(%(audit_from)s) a
    WHERE (SELECT true FROM history h WHERE h.thing = 'audit' AND h.number = a.audit_id LIMIT 1) IS NULL
), numbered AS (
    SELECT c.*, row_number() OVER (ORDER BY thing, message_id, number, step) - 1 AS nth FROM came c
)
INSERT INTO history (batch, place, thing, message_id, number, state, at, digest)
SELECT %(last_batch)s + 1 + nth / %(size)s, nth %% %(size)s + 1, thing, message_id, number, state, at, digest
FROM numbered;

-- name: close_messages
-- What is over is not looked at again; what is reported later is an event.
DELETE FROM history_open_messages o USING history h
WHERE h.batch > %(last_batch)s AND h.message_id = o.message_id;

-- name: open_messages
INSERT INTO history_open_messages (message_id, state)
SELECT h.message_id, h.state FROM history h
WHERE h.batch > %(last_batch)s AND h.message_id IS NOT NULL AND h.state = ANY(%(open)s);

-- name: close_alerts
DELETE FROM history_open_alerts o USING history h
WHERE h.batch > %(last_batch)s AND h.thing = 'alert' AND h.number = o.alert_id;

-- name: open_alerts
INSERT INTO history_open_alerts (alert_id, state)
SELECT number, CASE WHEN bool_or(state = 'NOTIFIED') THEN 'NOTIFIED' ELSE 'NEW' END FROM history
WHERE batch > %(last_batch)s AND thing = 'alert' GROUP BY number HAVING NOT bool_or(state = 'RESOLVED');

-- name: bodies
SELECT batch, count(*)::int AS entries,
       sha256(convert_to(string_agg(ROW(place, thing, message_id, number, state, at, digest)::text, E'\n' ORDER BY place),
                         'UTF8')) AS body
FROM history WHERE batch > %(last_batch)s GROUP BY batch ORDER BY batch;

-- name: add_seals
INSERT INTO history_seals (batch, entries, previous, body, hash, sealed_at, run_id)
SELECT s.batch, s.entries, s.previous, s.body, s.hash, %(clock)s, %(run_id)s
FROM unnest(%(batches)s::int[], %(entries)s::int[], %(previous)s::bytea[], %(bodies)s::bytea[], %(hashes)s::bytea[])
    AS s (batch, entries, previous, body, hash);

-- name: add_pass
INSERT INTO history_passes (era, seen, message_id, alert_id, consent_id, audit_id)
VALUES (%(era)s, %(snapshot)s::pg_snapshot, %(message_id)s, %(alert_id)s, %(consent_id)s, %(audit_id)s);

-- name: forget_passes
DELETE FROM history_passes WHERE pass_id < %(pass_id)s;

-- verify

-- name: seals
SELECT batch, entries, previous, body, hash, sealed_at FROM history_seals ORDER BY batch;

-- name: gaps
-- Which places are missing in a batch.
SELECT g.place FROM generate_series(1, %(entries)s::int) g (place)
WHERE NOT EXISTS (SELECT FROM history h WHERE h.batch = %(batch)s AND h.place = g.place) ORDER BY 1 LIMIT %(most)s;

-- name: differing_messages
-- Messages that are not what was sealed last. A report that came since is no difference: its
-- event is not sealed yet either.
SELECT l.batch, l.place, 'message' AS thing, l.message_id::text AS id,
       CASE WHEN m.message_id IS NULL THEN 'is gone'
            WHEN l.digest = message_digest(m, l.state <> ALL(%(open)s)) THEN 'its end was never sealed'
            WHEN l.state <> m.status AND l.state <> ALL(%(open)s) THEN 'was ' || l.state || ' and is ' || m.status
            ELSE 'is not what was sealed as ' || l.state END AS what
FROM (
    SELECT DISTINCT ON (h.message_id) h.message_id, h.batch, h.place, h.state, h.at, h.digest FROM history h
    WHERE h.message_id IS NOT NULL ORDER BY h.message_id, h.batch DESC, h.place DESC
) l
LEFT JOIN messages m USING (message_id)
WHERE m.message_id IS NULL
   OR (l.digest <> message_digest(m, l.state <> ALL(%(open)s)) AND (l.state = ANY(%(open)s) OR NOT EXISTS (
        SELECT FROM events e, watermarks w
        WHERE e.nodes[1] = ANY(ARRAY[m.node, m.address_hash])
          AND e.message_id = ANY(ARRAY['delivered:' || m.message_id, 'bounced:' || m.message_id, 'complained:' || m.message_id])
          AND w.stage = 'seal' AND (e.era > w.era OR (e.era = w.era AND NOT pg_visible_in_snapshot(e.tx, w.seen))))))
   OR (l.state = ANY(%(open)s) AND NOT EXISTS (
        SELECT FROM history_open_messages o WHERE o.message_id = l.message_id AND o.state = l.state))
ORDER BY 1, 2 LIMIT %(most)s;

-- name: differing_alerts
-- An alert's states go forward only, and those that were sealed keep their times.
SELECT h.batch, h.place, 'alert' AS thing, h.number::text AS id,
       CASE WHEN a.alert_id IS NULL THEN 'is gone'
            WHEN h.digest <> alert_digest(a) THEN 'is not what was sealed as ' || h.state
            WHEN h.state <> 'RESOLVED' AND o.alert_id IS NULL AND over.batch IS NULL THEN 'its end was never sealed'
            ELSE 'was ' || h.state || ' at ' || h.at || ' and is ' || a.status END AS what
FROM history h
LEFT JOIN alerts a ON a.alert_id = h.number
LEFT JOIN history_open_alerts o ON o.alert_id = h.number
LEFT JOIN history over ON over.thing = 'alert' AND over.number = h.number AND over.state = 'RESOLVED'
WHERE h.thing = 'alert' AND (
    a.alert_id IS NULL OR h.digest <> alert_digest(a)
    OR (h.state <> 'RESOLVED' AND o.alert_id IS NULL AND over.batch IS NULL)
    OR h.at IS DISTINCT FROM CASE h.state WHEN 'NEW' THEN a.created_at WHEN 'NOTIFIED' THEN a.notified_at ELSE a.resolved_at END
    OR array_position(ARRAY['NEW', 'NOTIFIED', 'RESOLVED'], a.status) < array_position(ARRAY['NEW', 'NOTIFIED', 'RESOLVED'], h.state))
ORDER BY 1, 2 LIMIT %(most)s;

-- name: differing_consents
SELECT h.batch, h.place, 'consent' AS thing, h.number::text AS id,
       CASE WHEN c.consent_id IS NULL THEN 'is gone' ELSE 'is not what was sealed as ' || h.state END AS what
FROM history h LEFT JOIN consents c ON c.consent_id = h.number
WHERE h.thing = 'consent' AND (c.consent_id IS NULL OR h.digest <> consent_digest(c)
    OR h.at <> c.time OR (h.state = 'granted') <> c.granted)
ORDER BY 1, 2 LIMIT %(most)s;

-- name: differing_audit
SELECT h.batch, h.place, 'audit' AS thing, h.number::text AS id,
       CASE WHEN a.audit_id IS NULL THEN 'is gone' ELSE 'is not what was sealed' END AS what
FROM history h LEFT JOIN audit_digests('-9223372036854775808'::bigint) a ON a.audit_id = h.number
WHERE h.thing = 'audit' AND (a.audit_id IS NULL OR h.digest <> a.digest OR h.at <> a.at OR NOT a.genuine)
ORDER BY 1, 2 LIMIT %(most)s;

-- name: never_sealed
-- What a pass should have met: it has an id that was drawn before the place from which the next
-- one looks on, and is not in the history. Slipped in later, or a clock was set back by minutes.
SELECT 'message' AS thing, m.message_id::text AS id FROM messages m, history_from() f
WHERE m.message_id <= f.message_id AND NOT EXISTS (SELECT FROM history h WHERE h.message_id = m.message_id)
UNION ALL
SELECT 'alert', a.alert_id::text FROM alerts a, history_from() f
WHERE a.alert_id <= f.alert_id AND NOT EXISTS (SELECT FROM history h WHERE h.thing = 'alert' AND h.number = a.alert_id)
UNION ALL
SELECT 'consent', c.consent_id::text FROM consents c, history_from() f
WHERE c.consent_id <= f.consent_id
  AND NOT EXISTS (SELECT FROM history h WHERE h.thing = 'consent' AND h.number = c.consent_id)
UNION ALL
SELECT 'audit', a.audit_id::text FROM audit_digests('-9223372036854775808'::bigint) a, history_from() f
WHERE a.audit_id <= f.audit_id AND NOT EXISTS (SELECT FROM history h WHERE h.thing = 'audit' AND h.number = a.audit_id)
ORDER BY 1, 2 LIMIT %(most)s;
