CREATE TABLE campaigns (
    campaign text PRIMARY KEY,
    audience text NOT NULL CHECK (audience IN ('alerts', 'engaged', 'operator', 'opt_in')),
    template text NOT NULL,
    channel text NOT NULL,
    purpose text NOT NULL,         -- consent is asked for this purpose
    every_days double precision,   -- at most once in so many days a person; none: once an alert
    target text,                   -- where a channel without addresses of people sends: a webhook's URL
    -- paused: nothing is decided or sent until it is resumed; stopped: what waited was cancelled;
    -- removed: it is not shown any more, and what its mails' links need of it is still there
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'paused', 'stopped', 'removed'))
);

-- Append-only: what each campaign was, from when on. Whoever edits one does not rewrite why somebody
-- was written to.
CREATE TABLE campaign_versions (
    campaign text NOT NULL,  -- it may be gone
    version int NOT NULL,
    audience text NOT NULL,
    template text NOT NULL,
    channel text NOT NULL,
    purpose text NOT NULL,
    every_days double precision,
    target text,
    since timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (campaign, version)
);
CREATE FUNCTION keep_campaign_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND (to_jsonb(NEW) - 'status') = (to_jsonb(OLD) - 'status') THEN
        RETURN NULL;
    END IF;
    INSERT INTO campaign_versions (campaign, version, audience, template, channel, purpose, every_days, target)
    SELECT NEW.campaign, coalesce(max(version), 0) + 1, NEW.audience, NEW.template, NEW.channel, NEW.purpose,
           NEW.every_days, NEW.target
    FROM campaign_versions WHERE campaign = NEW.campaign;
    RETURN NULL;
END $$;
CREATE TRIGGER campaign_version AFTER INSERT OR UPDATE OF audience, template, channel, purpose, every_days, target
    ON campaigns FOR EACH ROW EXECUTE FUNCTION keep_campaign_version();

INSERT INTO campaigns (campaign, audience, template, channel, purpose, every_days) VALUES
    ('miss_you', 'alerts', 'miss_you', 'email', 'marketing', NULL),
    ('good_activity', 'engaged', 'good_activity', 'email', 'marketing', 30),
    -- asks the owner of an address; that mail needs no consent, it is how one is given
    ('confirm_consent', 'opt_in', 'confirm_consent', 'email', 'confirmation', 1),
    -- the operator's own mail in place of people's: nobody's consent is needed for it
    ('demo', 'operator', 'demo_alert', 'email', 'operator', NULL);

-- Append-only: with which version, and on which scores, a run planned a campaign: a row a run, where a
-- column of messages would be one a message.
CREATE TABLE campaign_runs (
    correlation_id uuid NOT NULL,
    campaign text NOT NULL,
    version int NOT NULL,
    score_run int,  -- none: nobody had been scored
    run_id uuid NOT NULL,
    PRIMARY KEY (correlation_id, campaign)
);

-- Ids in the order of time (RFC 9562, version 7): rows that are written together are then found
-- together, planning 500,000 takes 1 s less, and what is new is found by its id alone. PostgreSQL has
-- them from 18 on; before, a random one gets the milliseconds, which takes 1 us more.
DO $$ BEGIN
    EXECUTE format('CREATE FUNCTION new_message_id() RETURNS uuid LANGUAGE sql VOLATILE AS %L',
        CASE WHEN to_regprocedure('pg_catalog.uuidv7()') IS NOT NULL THEN 'SELECT uuidv7()' ELSE
        'SELECT encode(set_byte(overlay(uuid_send(gen_random_uuid()) PLACING substring(
            int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6),
            6, 112 + (random() * 15)::int), ''hex'')::uuid' END);
END $$;

-- Each planned send, decided and written once; what came of it is added when it is over. Without
-- foreign keys: planning takes campaign and alert from their rows, which are never deleted, and
-- asking again for each message took 2 s of 500,000.
CREATE TABLE messages (
    message_id uuid PRIMARY KEY DEFAULT new_message_id(),
    campaign text NOT NULL,
    step int NOT NULL DEFAULT 1,
    node uuid,                   -- none in demo mode's aggregated mail
    profile_id bigint NOT NULL,  -- as known when deciding; 0: nobody, demo mode's aggregated mail
    occasion text NOT NULL,
    alert_id bigint,
    to_addr text,                -- erasure takes it away, the hash stays
    address_hash uuid,
    domain text,                 -- of the address, in lower case
    tier text,
    variables jsonb,             -- what the template says of the person
    template text NOT NULL,
    template_digest text NOT NULL,
    -- planned as long as its row in the outbox stands; that one tells how far it is
    status text NOT NULL CHECK (status IN (
        'planned', 'sent', 'delivered', 'bounced', 'complained', 'skipped', 'failed', 'cancelled',
        'unknown')),
    reason text,
    consent_id bigint,           -- the record that allowed it
    correlation_id uuid NOT NULL,
    planned_at timestamptz NOT NULL,
    attempts int NOT NULL DEFAULT 0,
    claim uuid,                  -- who sent it, or tried to
    claimed_at timestamptz,
    sending_at timestamptz,
    finished_at timestamptz,
    answer text,
    UNIQUE (profile_id, campaign, step, occasion)  -- what tells most first: compared once a level
)
-- Room for the final version of each row beside its first one, so that no index has to know of it.
WITH (fillfactor = 50);
CREATE INDEX messages_by_node ON messages (node);                         -- every_days
CREATE INDEX messages_by_address ON messages (address_hash, planned_at);  -- less often, one an address
CREATE INDEX messages_by_alert ON messages (alert_id) WHERE alert_id IS NOT NULL;

-- What waits or is under way: a narrow row a message, so that claiming and sending rewrite 100
-- bytes and not the message. It goes when the message is over, in the transaction that says so.
CREATE TABLE outbox (
    message_id uuid PRIMARY KEY,  -- a message's; a foreign key would ask again for each
    campaign text NOT NULL,
    state text NOT NULL DEFAULT 'planned' CHECK (state IN ('planned', 'claimed', 'sending')),
    -- planned: not before this; claimed and sending: the lease's end; infinity: held by the breaker
    due_at timestamptz NOT NULL,
    claim uuid,
    attempts int NOT NULL DEFAULT 0,
    claimed_at timestamptz,
    sending_at timestamptz,
    answer text  -- the provider's, where it asked for patience
);
CREATE INDEX outbox_due ON outbox (campaign, due_at);

-- Who was reached by what: for the profile as known when sending and for the address, so that
-- neither a merge nor a shared address makes two mails of one. Campaign '*' is the place of an
-- address that wants mail less often, whatever the campaign.
CREATE TABLE reached (
    campaign text NOT NULL,
    step int NOT NULL,
    occasion text NOT NULL,
    key uuid NOT NULL,  -- the address's node, or the profile's id as profile_key() has it
    message_id uuid NOT NULL,
    PRIMARY KEY (key, campaign, step, occasion)  -- what tells most first: compared once a level
);

CREATE FUNCTION profile_key(profile bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT lpad(to_hex(profile), 32, '0')::uuid
$$;

-- Whether one can write to it: RFC 5321's plain form, in letters of any script (RFC 6531). Not a
-- quoted local part, a comment, an address literal or a domain of one label, though the RFC has
-- them: from a form they are mistakes or attempts. Nor what cannot be seen or turns the direction
-- of writing. One expression for the form, since 500,000 addresses take 0.3 s by it and 1 s by four.
CREATE FUNCTION is_address(address text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT address ~ '^[^\u0001- "(),.:;<>@[-\]]+(\.[^\u0001- "(),.:;<>@[-\]]+)*@([^\u0001-/:-@[-^`{-~]+(-+[^\u0001-/:-@[-^`{-~]+)*\.)+(?![0-9])[^\u0001-/:-@[-^`{-~]+(-+[^\u0001-/:-@[-^`{-~]+)*$'
       AND address !~ '[\u007f-\u00a0\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff]'
       AND octet_length(address) <= 254
       AND (octet_length(address) <= 64
            OR octet_length(split_part(address, '@', 1)) <= 64 AND address !~ '@(.*\.)?[^.@]{64}')
$$;

-- Where a link in a mail leads: a click can go nowhere but to one of these, and they never change.
CREATE TABLE click_targets (
    target_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- A btree takes no more than 2,700 bytes: a longer link stays as it is in the mail, untracked.
    url text NOT NULL UNIQUE CHECK (url ~* '^https?://' AND octet_length(url) <= 2000)
);

-- Append-only: opens and clicks of people who agreed to be counted.
CREATE TABLE responses (
    response_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    message_id uuid NOT NULL,
    campaign text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('open', 'click')),
    target_id bigint,
    -- by what one knows at once that no person did it; NULL: see message_responses
    machine text CHECK (machine IN ('head', 'agent', 'prefetch')),
    time timestamptz NOT NULL,
    event_id uuid NOT NULL UNIQUE,  -- a group that is written again after a break counts once
    CHECK ((target_id IS NOT NULL) = (kind = 'click'))
);
CREATE INDEX responses_by_message ON responses (message_id);
CREATE INDEX responses_by_campaign ON responses (campaign);  -- its report

-- Who answered, a person (machine NULL) or a machine. A scanner that looks like a browser is known
-- by its haste, and only afterwards: somebody who reads does not open all the links of a mail
-- within 2 seconds. How many links a mail has is not stored. So a response is of a burst where a
-- stretch of 2 seconds that holds it holds three different targets, or two where no third one was
-- ever clicked in that mail. An open in such a stretch is the scanner's too; the same link twice is
-- a double click, and a mail with one link has no bursts. Filters by campaign and message are
-- pushed below the windows.
CREATE VIEW message_responses AS
SELECT response_id, message_id, campaign, kind, target_id,
       coalesce(machine, CASE WHEN bool_or(near >= 3 OR (near = 2 AND (
               SELECT count(DISTINCT t) FROM unnest(all_targets) t) = 2)) OVER (
           PARTITION BY campaign, message_id ORDER BY time
           RANGE BETWEEN interval '2 seconds' PRECEDING AND CURRENT ROW) THEN 'burst' END) AS machine,
       time, event_id
FROM (
    SELECT r.*, CASE WHEN cardinality(r.next_targets) > 1  -- most stand alone
               THEN (SELECT count(DISTINCT t) FROM unnest(r.next_targets) t) ELSE 0 END AS near
    FROM (
        SELECT r.*, array_agg(target_id) OVER (
                   PARTITION BY campaign, message_id ORDER BY time
                   RANGE BETWEEN CURRENT ROW AND interval '2 seconds' FOLLOWING) AS next_targets,
               array_agg(target_id) OVER (PARTITION BY campaign, message_id) AS all_targets
        FROM responses r
    ) r
) counted;

-- What the breaker holds back: a campaign at one domain, or at all of them ('*').
CREATE TABLE breakers (
    campaign text NOT NULL REFERENCES campaigns,
    domain text NOT NULL,
    reason text NOT NULL CHECK (reason IN ('complaints', 'blocks')),
    opened_at timestamptz NOT NULL,
    closed_at timestamptz,  -- by a person; what was counted before does not open it again
    PRIMARY KEY (campaign, domain)
);

CREATE VIEW notifications_log AS
SELECT m.message_id, m.campaign AS campaign_id, m.alert_id, coalesce(own.profile_id, m.profile_id) AS profile_id, n.user_id, m.to_addr,
       coalesce(o.state, m.status) AS status, m.reason, coalesce(m.answer, o.answer) AS answer,
       coalesce(o.attempts, m.attempts) AS attempts, m.planned_at,
       coalesce(o.sending_at, m.sending_at) AS sending_at,
       CASE WHEN m.status IN ('sent', 'delivered', 'bounced', 'complained') THEN m.finished_at END AS sent_at,
       m.correlation_id
FROM messages m LEFT JOIN outbox o USING (message_id)
LEFT JOIN nodes own ON own.node = m.node
LEFT JOIN LATERAL (SELECT p.user_id FROM profile_names p
                   WHERE p.profile_id = coalesce(own.profile_id, m.profile_id)) n ON true;

-- What was said about one purpose of one channel, for refusal(): no_consent, refused, or NULL for a yes.
-- Of several records the strictest holds: the latest of each of the profile's nodes and the latest
-- of the address must all be a yes, a no being later than a yes of the same time; an answer that
-- names no address is about the one its person has. So of two people that became one the stricter
-- answer holds, and a yes of one of their identifiers takes back no other's no: the yes of the address's
-- owner and the operator's do, since they are written for each that said no (lift_refusals). A yes
-- given after as_of does not exist yet; a no counts whenever it came.
CREATE FUNCTION consent_refusal(
    profile bigint, address uuid, asked_purpose text, asked_channel text, as_of timestamptz
) RETURNS TABLE (reason text) LANGUAGE sql STABLE ROWS 1 AS $$
    SELECT CASE WHEN count(*) = 0 THEN 'no_consent' WHEN NOT bool_and(said.granted) THEN 'refused' END
     FROM (
        SELECT latest.granted FROM nodes n, LATERAL (
            SELECT c.granted FROM consents c
            WHERE c.node = n.node AND c.purpose = asked_purpose AND c.channel = asked_channel
              AND (c.time <= as_of OR NOT c.granted)
            ORDER BY c.time DESC, c.granted LIMIT 1
        ) latest
        WHERE n.profile_id = profile
        UNION ALL
        (SELECT of_address.granted FROM (
            (SELECT c.granted, c.time FROM consents c
             WHERE c.address_hash = address AND c.purpose = asked_purpose
               AND c.channel = asked_channel AND (c.time <= as_of OR NOT c.granted)
             ORDER BY c.time DESC, c.granted LIMIT 1)
            UNION ALL
            SELECT named_none.* FROM nodes n, LATERAL (
                SELECT c.granted, c.time FROM consents c
                WHERE c.node = n.node AND c.address_hash IS NULL AND c.purpose = asked_purpose
                  AND c.channel = asked_channel AND (c.time <= as_of OR NOT c.granted)
                ORDER BY c.time DESC, c.granted LIMIT 1
            ) named_none
            WHERE n.profile_id = profile
         ) of_address ORDER BY time DESC, granted LIMIT 1)
     ) said
$$;

-- Why this profile may not be written to at this address, or NULL where it may. The one place
-- that decides it: planning asks, and sending asks again.
-- A table of one row, since that is inlined into the query that asks: as a scalar it took 1.2 ms a
-- call. LATERAL and LIMIT keep it to index look-ups, also before the first ANALYZE: with a join
-- 20,000 people took 7 minutes, so they take 1 s.
CREATE FUNCTION refusal(
    profile bigint, address uuid, address_domain text, asked_purpose text, asked_channel text, as_of timestamptz
) RETURNS TABLE (reason text) LANGUAGE sql STABLE ROWS 1 AS $$
    SELECT coalesce(
        (SELECT s.reason FROM suppressions s
         WHERE s.address_hash = address AND s.purpose IN ('*', asked_purpose)
         ORDER BY s.purpose LIMIT 1),
        -- Of a channel without addresses the person is suppressed: by whichever node it was then.
        (SELECT s.reason FROM nodes a, nodes n, suppressions s
         WHERE a.node = address AND a.kind NOT IN ('email', 'phone') AND n.profile_id = profile
           AND n.kind NOT IN ('email', 'phone') AND s.address_hash = n.node AND s.purpose IN ('*', asked_purpose)
         ORDER BY s.purpose LIMIT 1),
        (SELECT 'domain_' || d.reason FROM suppressed_domains d WHERE d.domain = address_domain),
        (SELECT c.reason FROM consent_refusal(profile, address, asked_purpose, asked_channel, as_of) c),
        (SELECT CASE
            WHEN wish.paused_until > as_of THEN 'paused'
            WHEN EXISTS (
                SELECT FROM messages m JOIN campaigns c USING (campaign)
                WHERE m.address_hash = address AND m.planned_at > as_of - wish.every_days * interval '1 day'
                  AND m.status IN ('sent', 'delivered', 'unknown') AND c.audience NOT IN ('operator', 'opt_in'))
            THEN 'less_often' END
         FROM (
            SELECT p.paused_until, p.every_days FROM preferences p
            WHERE p.address_hash = address AND p.channel = asked_channel
            ORDER BY p.time DESC, p.preference_id DESC LIMIT 1
         ) wish))
$$;

-- The address as its owner knows it again and nobody else does: a***@e***.com. The edge may not
-- read addresses. NULL where there is none any more.
CREATE FUNCTION masked_address(asked_message uuid) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT parts[1] || '***@' || parts[2] || '***' || coalesce(substring(to_addr FROM '\.[^.@]+$'), '')
    FROM (SELECT to_addr, regexp_match(to_addr, '^(.).*@(.)[^@]*$') AS parts
          FROM messages WHERE message_id = asked_message) one
$$;

-- What holds for the owner of a message's address, purpose by purpose, as refusal() decides it:
-- granted (NULL: nothing was ever said), and whether it is stopped by more than the owner's own no.
CREATE FUNCTION consent_states(asked_message uuid, as_of timestamptz)
RETURNS TABLE (purpose text, granted boolean, stopped boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT listed.purpose,
           CASE WHEN no.reason IS NULL OR no.reason IN ('paused', 'less_often') THEN true
                WHEN no.reason <> 'no_consent' THEN false END,
           EXISTS (SELECT FROM suppressions s WHERE s.address_hash = m.address_hash
                   AND (s.purpose = '*' OR s.purpose = listed.purpose AND s.reason <> 'unsubscribed'))
           OR EXISTS (SELECT FROM suppressed_domains d WHERE d.domain = m.domain)
    FROM messages m
    JOIN campaigns c USING (campaign)
    LEFT JOIN nodes n ON n.node = m.node
    CROSS JOIN LATERAL (SELECT p.purpose FROM purposes p UNION SELECT c.purpose) listed
    LEFT JOIN LATERAL refusal(n.profile_id, m.address_hash, m.domain, listed.purpose, c.channel, as_of) no ON true
    WHERE m.message_id = asked_message
$$;
REVOKE EXECUTE ON FUNCTION masked_address(uuid), consent_states(uuid, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION masked_address(uuid), consent_states(uuid, timestamptz) TO horizon_edge;

-- Which of these messages' opens and clicks may be counted, as of the times they were fetched: the
-- person agrees to purpose tracking, by refusal()'s rule. That somebody wants to hear less often is
-- no answer to that. A message that was fetched 1,000 times tells nothing more of its person, and a
-- link that is fetched in a loop fills no table. The edge may not read consents, so it runs as its
-- owner; what is not allowed has no row.
CREATE FUNCTION may_track(asked uuid[], as_of timestamptz[])
RETURNS TABLE (number bigint, node uuid, campaign text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT a.number, coalesce(m.node, m.address_hash), m.campaign
    FROM unnest(asked, as_of) WITH ORDINALITY a (message_id, fetched_at, number)
    JOIN messages m USING (message_id)
    JOIN campaigns c USING (campaign)
    LEFT JOIN nodes n ON n.node = m.node
    CROSS JOIN LATERAL refusal(
        coalesce(n.profile_id, m.profile_id), m.address_hash, m.domain, 'tracking', c.channel, a.fetched_at) refused
    WHERE coalesce(refused.reason IN ('paused', 'less_often'), true)
      AND coalesce(m.node, m.address_hash) IS NOT NULL
      AND (SELECT count(*) FROM (
            SELECT FROM responses r WHERE r.message_id = m.message_id LIMIT 1000) r) < 1000
$$;
REVOKE EXECUTE ON FUNCTION may_track(uuid[], timestamptz[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION may_track(uuid[], timestamptz[]) TO horizon_edge;

GRANT SELECT ON campaigns, campaign_versions, campaign_runs, messages, outbox, reached, click_targets, responses, message_responses, breakers,
    notifications_log
    TO horizon_worker, horizon_console, horizon_reader;
-- What was decided stays as it was decided; what comes of it is written beside it.
GRANT INSERT, UPDATE (status, reason, template_digest, attempts, claim, claimed_at, sending_at, finished_at, answer)
    ON messages TO horizon_worker;
GRANT INSERT, UPDATE ON reached TO horizon_worker;
GRANT INSERT, UPDATE, DELETE ON outbox TO horizon_worker;
GRANT INSERT, UPDATE ON breakers TO horizon_worker;
GRANT INSERT ON click_targets, campaign_runs TO horizon_worker;
GRANT UPDATE (status) ON campaigns TO horizon_worker;
-- What the links in mails need: whom a message went to, and where a click leads.
GRANT SELECT (message_id, campaign, node, address_hash) ON messages TO horizon_edge;
GRANT SELECT (campaign, purpose, channel) ON campaigns TO horizon_edge;
GRANT SELECT ON click_targets TO horizon_edge;
GRANT INSERT ON responses TO horizon_edge;

-- What demo mode's mails say of an alert.
CREATE FUNCTION open_alert(a alerts) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object(
        'profile', 'p' || a.profile_id, 'tier', a.tier, 'score', round(a.score::numeric, 4),
        'user_id', (SELECT user_id FROM profile_names n WHERE n.profile_id =
                    coalesce((SELECT k.profile_id FROM nodes k WHERE k.node = a.node), a.profile_id)),
        'days_silent', coalesce(floor(extract(epoch FROM a.created_at - a.last_activity) / 86400)::int, 0),
        'created', to_char(a.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'))
$$;
