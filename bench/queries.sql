-- name: plan_people
-- People for [delivery.plan]: one user node each, every tenth a second one; four traits; an answer
-- to the question of consent; some suppressed, paused, without an address, or with another's.
WITH made AS (
    INSERT INTO profiles (created_at) SELECT %(now)s FROM generate_series(1, %(people)s) RETURNING profile_id
)
INSERT INTO nodes (node, kind, value, profile_id, first_seen)
SELECT md5('n' || profile_id)::uuid, 'user_id', 'user-' || profile_id, profile_id, %(now)s - interval '31 days'
FROM made
UNION ALL
SELECT md5('b' || profile_id)::uuid, 'anonymous_id', 'browser-' || profile_id, profile_id, %(now)s - interval '9 days'
FROM made WHERE profile_id %% 10 = 0;

-- name: plan_traits
INSERT INTO traits (node, name, value, value_node, time, trusted, event_id)
SELECT n.node, said.name, said.value, said.value_node, %(now)s - interval '25 days', true, md5('e' || n.profile_id)::uuid
FROM nodes n, LATERAL (VALUES
    ('email', to_jsonb('user-' || n.profile_id - (n.profile_id %% 100 = 1)::int || '@mail-' || n.profile_id %% 40 || '.example'),
     md5('a' || n.profile_id - (n.profile_id %% 100 = 1)::int)::uuid),
    ('first_name', to_jsonb('Name ' || n.profile_id), NULL),
    ('city', to_jsonb('City ' || n.profile_id %% 500), NULL),
    ('plan', '"free"', NULL)
) said (name, value, value_node)
WHERE n.kind = 'user_id' AND NOT (said.name = 'email' AND n.profile_id %% 100 = 2)
ORDER BY n.node;  -- as record_traits leaves them: never in the order of profiles

-- name: plan_consents
INSERT INTO consents (node, address_hash, purpose, channel, granted, time, way, event_id)
SELECT t.node, t.value_node, asked.purpose, 'email', n.profile_id %% 50 <> 3, %(now)s - interval '25 days', 'identify', t.event_id
FROM traits t JOIN nodes n USING (node), (VALUES ('marketing'), ('tracking')) asked (purpose)
WHERE t.name = 'email' AND n.profile_id %% 20 <> 4 AND (asked.purpose = 'marketing' OR n.profile_id %% 2 = 0)
ORDER BY t.event_id;

-- name: plan_suppressions
INSERT INTO suppressions (address_hash, purpose, reason, created_at)
SELECT md5('a' || profile_id)::uuid, CASE profile_id %% 3 WHEN 0 THEN '*' ELSE 'marketing' END, 'unsubscribed', %(now)s
FROM profiles WHERE profile_id %% 50 = 5;

-- name: plan_preferences
INSERT INTO preferences (address_hash, channel, every_days, paused_until, time, way)
SELECT md5('a' || profile_id)::uuid, 'email', 14, CASE profile_id %% 3 WHEN 0 THEN %(now)s + interval '9 days' END,
       %(now)s - interval '20 days', 'page'
FROM profiles WHERE profile_id %% 100 = 6;

-- name: plan_domains
INSERT INTO suppressed_domains (domain, reason, created_at) VALUES ('mail-39.example', 'null_mx', %(now)s);

-- name: plan_score_run
INSERT INTO score_runs (correlation_id, "now", window_days, high, medium) VALUES (gen_random_uuid(), %(now)s, 14, 0.7, 0.5)
RETURNING score_run;

-- name: plan_scores
INSERT INTO scores_1 (score_run, profile_id, last_activity, silent_s, activities, score, tier, ahead)
SELECT 1, profile_id, %(now)s - interval '30 hours', 108000, 1 + profile_id %% 40, 0.09, 'low', false FROM profiles;

-- name: waiting_mails
-- People with a mail each that waits. They agreed to these purposes; every so manieth says no.
WITH people AS (
    INSERT INTO profiles (created_at) SELECT %(now)s FROM generate_series(1, %(size)s)
    RETURNING profile_id
), known AS (
    INSERT INTO nodes (node, kind, value, profile_id, first_seen)
    SELECT md5('n' || profile_id)::uuid, 'user_id', 'user-' || profile_id, profile_id, %(now)s
    FROM people
), said AS (
    INSERT INTO consents (node, address_hash, purpose, channel, granted, time, way)
    SELECT md5('n' || profile_id)::uuid, md5('a' || profile_id)::uuid, purpose, 'email',
           coalesce(profile_id %% %(no_every)s::int <> 0, true), %(now)s, 'identify'
    FROM people, unnest(%(purposes)s::text[]) purposes (purpose)
), planned AS (
    INSERT INTO messages (campaign, node, profile_id, occasion, to_addr, address_hash, domain,
        tier, variables, template, template_digest, status, correlation_id, planned_at)
    SELECT 'good_activity', md5('n' || profile_id)::uuid, profile_id, 'day:one',
        'user-' || profile_id || '@example.com', md5('a' || profile_id)::uuid, 'example.com',
        'low', jsonb_build_object('first_name', 'Name' || profile_id, 'tier', 'low',
            'activity_count', 3, 'days_silent', 2, 'last_seen', '2026-05-05', 'score_percent', 12),
        %(template)s, %(digest)s, 'planned', %(run)s, %(now)s
    FROM people RETURNING message_id
)
INSERT INTO outbox (message_id, campaign, due_at)
SELECT message_id, 'good_activity', %(now)s FROM planned;

-- name: make_days
SELECT ensure_partitions(%(first_day)s::date, %(last_day)s::date);

-- name: fill_events
-- What the store holds before [ingest.growth]: events of 500 bytes over some days, the last ones today.
INSERT INTO events (event_id, source_id, message_id, type, name, user_id, nodes, original_timestamp, time,
                    received_at, trusted, activity, properties, context, era)
SELECT gen_random_uuid(), 2, 'm' || n, 'track', 'Product Viewed', 'user-' || n, ARRAY[gen_random_uuid()], at, at, at,
       true, true, repeat('x', 330), '{"library":{"name":"analytics-python","version":"2.4.0"}}', 1
FROM generate_series(1, %(events)s) n,
LATERAL (SELECT %(now)s - (%(events)s - n)::float8 / %(events)s * %(days)s * interval '1 day' AS at) t;

-- name: fill_ids
INSERT INTO event_ids (hour, digest)
SELECT date_trunc('hour', %(now)s - (%(ids)s - n)::float8 / %(ids)s * %(days)s * interval '1 day'), gen_random_uuid()
FROM generate_series(1, %(ids)s) n;

-- name: copy_profile_nodes
COPY nodes (node, kind, value, profile_id, first_seen) FROM STDIN

-- name: make_month
SELECT ensure_partitions((%(now)s::timestamptz - interval '30 days')::date, %(now)s::date)

-- name: profile_rows
INSERT INTO profiles (profile_id, created_at) OVERRIDING SYSTEM VALUE
SELECT profile_id, %(now)s - interval '30 days' FROM nodes WHERE kind = 'user_id';

-- name: profile_trait_rows
INSERT INTO traits (node, name, value, time, trusted, event_id)
SELECT n.node, said.name, said.value, %(now)s - interval '25 days', true, md5('e' || n.profile_id)::uuid
FROM nodes n, LATERAL (VALUES
    ('email', to_jsonb('user-' || n.profile_id || '@mail.example')), ('first_name', to_jsonb('Name ' || n.profile_id)),
    ('city', to_jsonb('City ' || n.profile_id %% 500)), ('plan', '"free"'), ('orders', to_jsonb(n.profile_id %% 9))
) said (name, value)
WHERE n.kind = 'user_id' ORDER BY n.node;

-- name: profile_event_rows
-- Over thirty days, two of each three with the user id, one with the cookie alone.
INSERT INTO events (event_id, source_id, message_id, type, name, user_id, anonymous_id, nodes, time, received_at,
                    trusted, activity, properties, era)
SELECT gen_random_uuid(), 1, n.profile_id || '-' || i, 'track', 'Product Viewed',
       CASE n.kind WHEN 'user_id' THEN n.value END, 'c' || n.profile_id - 1, ARRAY[n.node], t, t, true, true,
       '{"product_id":"p-' || i || '","sku":"G-32","category":"Games","name":"Monopoly: 3rd Edition","price":18.99}', 1
FROM generate_series(1, 3) i, nodes n,
     LATERAL (SELECT %(now)s - (n.profile_id * 7 + i * 11) %% 30 * interval '1 day' AS t) at
WHERE (i = 3) = (n.kind = 'anonymous_id')
ORDER BY i, n.node;

-- name: profile_message_rows
INSERT INTO messages (campaign, node, profile_id, occasion, template, template_digest, status, correlation_id, planned_at)
SELECT 'miss_you', node, profile_id, 'day:x', 'miss_you', '', 'sent', gen_random_uuid(), %(now)s - interval '5 days'
FROM nodes WHERE kind = 'user_id' AND profile_id %% 10 = 0;

-- name: profile_node
SELECT node, profile_id, dead FROM nodes WHERE node = %(node)s

-- name: fill_identity
-- People's identifiers: a user id, for every second one an address, an anonymous id each, and of a
-- tenth more a few people have many, by a power law. Of 100 anonymous ids one is shared: events of
-- four people name it. What is blocked stays in its column.
INSERT INTO events (event_id, source_id, message_id, type, name, user_id, anonymous_id, email, nodes, time, received_at,
                    trusted, activity, properties, era)
SELECT md5('e' || i)::uuid, 2, 'm' || i, 'track', 'Product Viewed', CASE WHEN known THEN 'u' || person
           WHEN i %% 997 = 0 THEN 'null' END,
       CASE WHEN cookied THEN 'a' || cookie END, CASE WHEN mailed THEN 'e' || person || '@example.com' END,
       array_remove(ARRAY[CASE WHEN known THEN md5('u' || person)::uuid END,
                          CASE WHEN mailed THEN md5('e' || person)::uuid END,
                          CASE WHEN cookied THEN md5('a' || cookie)::uuid END], NULL),
       at, at, true, true, %(properties)s, 1
FROM (
    SELECT i, at, person, cookie, known, known AND i %% 2 = 0 AND person %% 2 = 0 AS mailed,
           NOT known OR i %% 3 <> 0 AS cookied
    FROM (
        SELECT i, %(now)s - (%(events)s - i) * interval '0.2 second' AS at,
               -- the cookie's owner, and for a shared one now and then somebody else
               (CASE WHEN c < %(people)s THEN c
                     ELSE (pow((c - %(people)s)::float8 / (%(cookies)s - %(people)s), 3) * %(people)s)::int END
                + CASE WHEN c %% 100 = 0 THEN (i %% 4) * 7 ELSE 0 END) %% %(people)s AS person,
               c AS cookie, i %% 10 < 7 AS known
        FROM generate_series(%(first)s::bigint, %(last)s::bigint) i,
             LATERAL (SELECT (i * 7919) %% %(cookies)s AS c) cookies
    ) seen
) told

-- name: freshen
-- Of a batch every so many events a known person comes with an anonymous id that is new.
UPDATE events SET nodes = ARRAY[nodes[1], md5('fresh' || event_id)::uuid], email = NULL,
                  anonymous_id = 'fresh' || event_id
WHERE message_id IN (SELECT 'm' || i FROM generate_series(%(first)s::bigint, %(last)s::bigint, %(apart)s::int) i)
  AND user_id IS NOT NULL AND user_id <> 'null'

-- name: fill_lake
-- Events of 500 bytes in the hot store, of half a million people; what happened is of so many days.
INSERT INTO events (event_id, source_id, message_id, type, name, user_id, anonymous_id, nodes, original_timestamp, time,
                    received_at, trusted, activity, properties, context, era)
SELECT md5(%(name)s || i)::uuid, 1, 'm-' || md5(%(name)s || i), 'track',
       (ARRAY['Product Viewed', 'Order Completed', 'Cart Viewed', 'Opened'])[1 + i %% 4], 'user-' || p, 'anon-' || p,
       ARRAY[md5('n' || p)::uuid, md5('a' || p)::uuid], at, at, %(received_at)s, true, true,
       '{"price":' || (i %% 1000) / 10.0 || ',"currency":"EUR","sku":"' || md5('s' || i %% 5000) || '","note":"'
           || md5('x' || i) || md5('y' || i) || repeat('lorem ipsum ', 3) || '"}',
       '{"page":{"url":"https://shop.example/p/' || i %% 5000 || '"},"library":{"name":"analytics.js"}}', 1
FROM generate_series(1, %(events)s::bigint) i, LATERAL (SELECT i * 7919 %% 500000 AS p) person,
     LATERAL (SELECT %(received_at)s - (i %% %(days)s) * interval '1 day' AS at) happened;
