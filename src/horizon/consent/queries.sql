-- name: purposes
SELECT purpose, purpose_title(purpose, 'en') AS title, purpose_title(purpose, 'de') AS title_de, position
FROM purposes ORDER BY position, purpose;

-- name: add_purpose
-- Titles that are given replace those that were; the others stay.
INSERT INTO purposes AS old (purpose, titles) VALUES (%(purpose)s, %(titles)s::jsonb)
ON CONFLICT (purpose) DO UPDATE SET titles = old.titles || excluded.titles
RETURNING xmax = 0 AS is_new;

-- name: people
-- Whom these nodes belong to, or who has the address, each with the address that would be written to.
SELECT found.profile_id, names.user_id, email.address_hash, email.domain
FROM (
    SELECT n.profile_id FROM nodes n WHERE n.node = ANY(%(nodes)s::uuid[])
    UNION
    SELECT n.profile_id FROM traits t JOIN nodes n USING (node) WHERE t.value_node = %(address)s::uuid
) found
JOIN LATERAL (SELECT p.user_id FROM profile_names p WHERE p.profile_id = found.profile_id) names ON true
LEFT JOIN LATERAL (
    SELECT t.value_node AS address_hash, lower(split_part(btrim(t.value #>> '{}', E' \t\r\n'), '@', 2)) AS domain
    FROM profile_traits t WHERE t.profile_id = found.profile_id AND t.name = 'email'
) email ON true
ORDER BY found.profile_id;

-- name: state
-- What may be done at an address, for each purpose and channel that there is or was ever asked
-- about. profile is NULL for an address that belongs to nobody yet.
WITH said AS (
    SELECT c.* FROM current_consents c
    WHERE c.subject = ANY(ARRAY(SELECT n.node FROM nodes n WHERE n.profile_id = %(profile)s::bigint) || %(address)s::uuid)
), asked AS (
    SELECT purpose, 'email' AS channel FROM purposes UNION SELECT purpose, channel FROM said
)
SELECT a.purpose, a.channel,
       CASE r.reason WHEN 'no_consent' THEN 'none' ELSE coalesce(r.reason, 'granted') END AS state,
       (SELECT max(s.time) FROM said s WHERE (s.purpose, s.channel) = (a.purpose, a.channel)) AS since
FROM asked a
LEFT JOIN LATERAL (
    SELECT reason FROM refusal(%(profile)s::bigint, %(address)s::uuid, %(domain)s::text, a.purpose, a.channel, %(now)s)
) r ON true
ORDER BY a.purpose, a.channel;

-- name: history
-- Every record about these people and this address, the oldest first.
SELECT c.time, c.purpose, c.channel, CASE WHEN c.granted THEN 'yes' ELSE 'no' END AS said, c.way, c.actor, c.wording
FROM consents c
WHERE c.address_hash = %(address)s::uuid
   OR c.node IN (SELECT n.node FROM nodes n WHERE n.profile_id = ANY(%(profiles)s::bigint[]))
   OR c.node = %(address)s::uuid
ORDER BY c.time, c.consent_id;

-- name: set_consent
-- For everybody who has the address; for the address alone where nobody has. A yes also for those of
-- their other nodes whose last word is a no: it is about the whole person.
INSERT INTO consents (node, address_hash, purpose, channel, granted, time, way, wording, actor)
SELECT coalesce(owner.node, %(address)s), %(address)s, %(purpose)s, %(channel)s, %(granted)s, %(now)s,
       'manual', %(wording)s, %(actor)s
FROM (SELECT) one
LEFT JOIN (
    SELECT DISTINCT other.node
    FROM traits t JOIN nodes n ON n.node = t.node AND n.live
    JOIN LATERAL (SELECT p.value_node FROM profile_traits p
                  WHERE p.profile_id = n.profile_id AND p.name = 'email') email ON email.value_node = t.value_node
    JOIN LATERAL (SELECT p.node FROM profile_names p WHERE p.profile_id = n.profile_id) names ON true
    JOIN nodes other ON other.profile_id = n.profile_id
    WHERE t.value_node = %(address)s AND t.name = 'email'
      AND (other.node = names.node OR %(granted)s AND (
            SELECT NOT c.granted FROM consents c
            WHERE c.node = other.node AND c.purpose = %(purpose)s AND c.channel = %(channel)s
            ORDER BY c.time DESC, c.granted LIMIT 1))
) owner ON true;

-- name: suppressions
SELECT address_hash::text AS address_or_domain, purpose, reason, created_at FROM suppressions
WHERE (%(address)s::uuid IS NULL AND %(domain)s::text IS NULL) OR address_hash = %(address)s::uuid
UNION ALL
SELECT domain, '*', reason, created_at FROM suppressed_domains
WHERE (%(address)s::uuid IS NULL AND %(domain)s::text IS NULL) OR domain = %(domain)s::text
ORDER BY created_at DESC, address_or_domain LIMIT %(most)s;

-- name: forget_unsubscription
-- The operator's word takes the place of an unsubscription, which an opt-in would lift.
DELETE FROM suppressions
WHERE address_hash = %(address)s AND purpose = %(purpose)s AND reason = 'unsubscribed';

-- name: suppress
INSERT INTO suppressions (address_hash, purpose, reason, created_at)
VALUES (%(address)s, %(purpose)s, 'manual', %(now)s) ON CONFLICT DO NOTHING;

-- name: forget_null_mx
-- The operator's word takes the place of the domain's own, which its next answer may lift.
DELETE FROM suppressed_domains WHERE domain = %(domain)s AND reason = 'null_mx';

-- name: suppress_domain
INSERT INTO suppressed_domains (domain, reason, created_at)
VALUES (%(domain)s, 'manual', %(now)s) ON CONFLICT DO NOTHING;

-- name: lift
DELETE FROM suppressions WHERE address_hash = %(address)s AND purpose = %(purpose)s;

-- name: lift_domain
DELETE FROM suppressed_domains WHERE domain = %(domain)s;

-- name: ask
-- The operator asks an address to confirm. Planning decides whether the mail goes out.
INSERT INTO opt_ins (node, address_hash, to_addr, purpose, channel, wording, language, asked_at)
VALUES (%(address)s, %(address)s, %(to_addr)s, %(purpose)s, 'email',
        opt_in_wording(%(purpose)s, %(language)s), %(language)s, %(now)s);

-- name: import_consents
-- A batch of imported records, those that are known already left out. Sorted, so that two imports
-- never wait for each other in a circle.
WITH written AS (
    INSERT INTO consents (node, address_hash, purpose, channel, granted, time, way, wording, actor, event_id)
    SELECT r.address, r.address, r.purpose, r.channel, r.granted, r.time, 'import', r.wording, %(actor)s, r.event_id
    FROM unnest(%(addresses)s::uuid[], %(purposes)s::text[], %(channels)s::text[], %(granted)s::boolean[],
                %(times)s::timestamptz[], %(wordings)s::text[], %(event_ids)s::uuid[])
        AS r (address, purpose, channel, granted, time, wording, event_id)
    ORDER BY r.event_id, r.purpose, r.channel
    ON CONFLICT (event_id, purpose, channel) DO NOTHING
    RETURNING granted
)
SELECT count(*) FILTER (WHERE granted)::int AS granted, count(*) FILTER (WHERE NOT granted)::int AS refused
FROM written;

-- name: import_suppressions
-- Whoever came back since they unsubscribed there stays: an old export is no new wish.
INSERT INTO suppressions (address_hash, purpose, reason, created_at)
SELECT r.address, r.purpose, r.reason, r.time
FROM unnest(%(addresses)s::uuid[], %(purposes)s::text[], %(reasons)s::text[], %(times)s::timestamptz[])
    AS r (address, purpose, reason, time)
WHERE r.reason <> 'unsubscribed' OR NOT EXISTS (
    SELECT FROM consents c
    WHERE c.address_hash = r.address AND c.purpose = r.purpose AND c.granted AND c.time > r.time)
ORDER BY 1, 2
ON CONFLICT DO NOTHING;
