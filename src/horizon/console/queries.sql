-- name: end_links
-- One link a person at a time: the one that was sent to the wrong address opens nothing more.
UPDATE console.links SET used_at = %(now)s
WHERE person_id IS NOT DISTINCT FROM %(person_id)s AND used_at IS NULL;

-- name: add_link
INSERT INTO console.links (token_sha256, person_id, made_by, created_at, expires_at)
VALUES (%(token_sha256)s, %(person_id)s, %(made_by)s, %(now)s, %(expires_at)s);

-- name: find_link
-- Locked until its transaction is over, so that it opens once.
SELECT l.person_id, p.email, l.made_by
FROM console.links l LEFT JOIN console.people p USING (person_id)
WHERE l.token_sha256 = %(token_sha256)s AND l.used_at IS NULL AND l.expires_at > %(now)s
  AND coalesce(p.active, true)
FOR UPDATE OF l;

-- name: use_link
UPDATE console.links SET used_at = %(now)s WHERE token_sha256 = %(token_sha256)s;

-- name: has_owner
SELECT EXISTS (SELECT FROM console.people WHERE active AND 'owner' = ANY(roles) AND password LIKE 'argon2%%') AS found;

-- name: handled
-- How much each stage handled in the last hour, today, and a week ago until this time of the day.
-- A stage runs once a minute: a day is 1,440 rows, found by runs_by_stage.
SELECT s.stage,
       sum((r.figures ->> s.figure)::bigint) FILTER (WHERE r.started_at > %(hour)s)::bigint AS hour,
       sum((r.figures ->> s.figure)::bigint) FILTER (WHERE r.started_at >= %(midnight)s)::bigint AS today,
       sum((r.figures ->> s.figure)::bigint) FILTER (WHERE r.started_at < %(week_now)s)::bigint AS week_ago
FROM unnest(%(stages)s::text[], %(figures)s::text[]) s (stage, figure)
JOIN runs r ON r.stage = s.stage AND r.started_at <= %(clock)s
    AND (r.started_at >= least(%(midnight)s::timestamptz, %(hour)s::timestamptz)
         OR (r.started_at >= %(week)s AND r.started_at < %(week_now)s))
GROUP BY s.stage;

-- name: audit_page
-- By the primary key, or by an index of the audit's that begins with what is asked for.
SELECT audit_id, at, actor, action, object, origin, details, salt IS NULL AS erased
FROM audit
WHERE audit_id < %(before)s AND (%(actor)s::text IS NULL OR actor = %(actor)s)
  AND (%(action)s::text IS NULL OR action = %(action)s)
ORDER BY audit_id DESC LIMIT %(most)s;

-- name: anything
-- Whether an event has ever come: of that its person has a profile, once identity ran. By a key.
SELECT EXISTS (SELECT FROM profiles) OR EXISTS (SELECT FROM events) AS found;
