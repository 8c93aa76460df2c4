-- The history of messages, alerts, consents and the audit: what each was, in the order in which it
-- was sealed. Filled set-based after the fact by the seal stage, so that planning and sending write
-- nothing for it. Append-only for every role but the owner: INSERT alone is granted.
CREATE TABLE history (
    batch int NOT NULL,
    place int NOT NULL,  -- in its batch, from 1
    thing text NOT NULL CHECK (thing IN ('message', 'alert', 'consent', 'audit')),
    message_id uuid,
    number bigint,       -- an alert's, a consent's or an audit row's id
    state text NOT NULL,
    at timestamptz NOT NULL,  -- since when
    digest bytea NOT NULL,    -- SHA-256 of the row's columns that erasure leaves alone
    PRIMARY KEY (batch, place),
    CHECK ((thing = 'message') = (message_id IS NOT NULL) AND (thing = 'message') = (number IS NULL))
);
CREATE INDEX history_by_message ON history (message_id) WHERE message_id IS NOT NULL;
CREATE INDEX history_by_number ON history (thing, number) WHERE number IS NOT NULL;

-- The chain: a seal a batch, each over the one before it. Who changes an entry changes all that follow.
CREATE TABLE history_seals (
    batch int PRIMARY KEY,
    entries int NOT NULL,
    previous bytea NOT NULL,  -- the hash of the batch before; of the first one 32 zeros
    body bytea NOT NULL,      -- SHA-256 of the batch's entries
    hash bytea NOT NULL UNIQUE,
    sealed_at timestamptz NOT NULL,
    run_id uuid NOT NULL
);

-- What the seal stage remembers, no part of the chain. A pass: the snapshot that it saw, and the ids
-- that nobody had drawn yet before that snapshot was taken.
CREATE TABLE history_passes (
    pass_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    era int NOT NULL,
    seen pg_snapshot NOT NULL,
    message_id uuid NOT NULL,
    alert_id bigint NOT NULL,
    consent_id bigint NOT NULL,
    audit_id bigint NOT NULL
);
-- What was sealed and was not over: looked at again by each pass.
CREATE TABLE history_open_messages (
    message_id uuid PRIMARY KEY,
    state text NOT NULL
);
CREATE TABLE history_open_alerts (
    alert_id bigint PRIMARY KEY,
    state text NOT NULL
);

-- Nobody draws a lower message id later: a minute is left for clocks that are set back.
CREATE FUNCTION history_cut() RETURNS TABLE (message_id uuid, alert_id bigint, consent_id bigint, audit_id bigint)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT (lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint - 60000), 12, '0')
               || '70008000000000000000')::uuid,
           coalesce(pg_sequence_last_value('alerts_alert_id_seq'), 0),
           coalesce(pg_sequence_last_value('consents_consent_id_seq'), 0),
           coalesce(pg_sequence_last_value('audit_audit_id_seq'), 0)
$$;

-- From where on a pass looks for what no pass has sealed. What the last one did not see was written
-- by transactions that were under way then or began later. Those have their id from after a pass
-- that saw all before it ended, and drew their rows' ids later still. One pass earlier is taken: a
-- row's id may be drawn a moment before its transaction's. Nothing: look at everything.
CREATE FUNCTION history_from() RETURNS SETOF history_passes LANGUAGE sql STABLE AS $$
    SELECT p.* FROM history_passes p
    WHERE p.pass_id < (
        SELECT k.pass_id FROM history_passes k, (SELECT * FROM history_passes ORDER BY pass_id DESC LIMIT 1) last
        WHERE k.era = last.era AND pg_snapshot_xmax(k.seen) <= pg_snapshot_xmin(last.seen)
        ORDER BY k.pass_id DESC LIMIT 1)
    ORDER BY p.pass_id DESC LIMIT 1
$$;

-- What is hashed of each row: only columns that erasure keeps, so never an address, a name or a
-- content (test_history.py compares with privacy/catalogue.toml). A message that is not over, and the
-- operator's own, is hashed as it was decided; one that is over with what came of it.
CREATE FUNCTION message_digest(m messages, is_over boolean) RETURNS bytea LANGUAGE sql STABLE AS $$
    SELECT sha256(convert_to(
        ROW(m.message_id, m.campaign, m.step, m.profile_id, m.occasion, m.alert_id, m.address_hash, m.domain, m.tier,
            m.template, m.consent_id, m.correlation_id, m.planned_at)::text
        || CASE WHEN is_over AND m.campaign <> 'demo' THEN
            ROW(m.status, m.reason, m.template_digest, m.attempts, m.claimed_at, m.sending_at, m.finished_at)::text
           ELSE '' END, 'UTF8'))
$$;
CREATE FUNCTION alert_digest(a alerts) RETURNS bytea LANGUAGE sql STABLE AS $$
    SELECT sha256(convert_to(
        ROW(a.alert_id, a.rule, a.profile_id, a.score, a.tier, a.threshold, a.last_activity, a.silent_s, a.activities,
            a.score_run, a.created_at, a.correlation_id)::text, 'UTF8'))
$$;
CREATE FUNCTION consent_digest(c consents) RETURNS bytea LANGUAGE sql STABLE AS $$
    SELECT sha256(convert_to(
        ROW(c.consent_id, c.address_hash, c.purpose, c.channel, c.granted, c.time, c.way, c.wording, c.actor)::text,
        'UTF8'))
$$;
-- The worker may not read the audit: of its rows it learns the digest, and whether the values beside
-- it are still those that it was made of.
CREATE FUNCTION audit_digests(later_than bigint)
RETURNS TABLE (audit_id bigint, at timestamptz, digest bytea, genuine boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT a.audit_id, a.at,
           sha256(convert_to(ROW(a.audit_id, a.at, a.actor, a.action, a.object, encode(a.digest, 'hex'))::text,
                             'UTF8')),
           audit_is_genuine(a)
    FROM audit a WHERE a.audit_id > later_than
$$;
REVOKE EXECUTE ON FUNCTION history_cut(), audit_digests(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION history_cut(), audit_digests(bigint) TO horizon_worker;

GRANT SELECT ON history, history_seals TO horizon_worker, horizon_console, horizon_reader;
GRANT INSERT ON history, history_seals TO horizon_worker;
GRANT SELECT, INSERT, DELETE ON history_passes TO horizon_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON history_open_messages, history_open_alerts TO horizon_worker;
