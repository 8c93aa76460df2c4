CREATE TABLE campaigns (
    campaign text PRIMARY KEY,
    audience text NOT NULL CHECK (audience IN ('alerts', 'engaged', 'operator')),
    template text NOT NULL,
    channel text NOT NULL,
    purpose text NOT NULL,         -- consent is asked for this purpose
    every_days double precision,   -- at most once in so many days a person; none: once an alert
    -- paused: nothing is decided or sent until it is resumed; stopped: what waited was cancelled
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'paused', 'stopped'))
);
INSERT INTO campaigns VALUES
    ('miss_you', 'alerts', 'miss_you', 'email', 'marketing', NULL),
    ('good_activity', 'engaged', 'good_activity', 'email', 'marketing', 30),
    -- the operator's own mail in place of people's: nobody's consent is needed for it
    ('demo', 'operator', 'demo_alert', 'email', 'operator', NULL);

CREATE TABLE messages (
    message_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    campaign text NOT NULL REFERENCES campaigns,
    step int NOT NULL DEFAULT 1,
    node uuid,                   -- none in demo mode's aggregated mail
    profile_id bigint NOT NULL,  -- as known when deciding; 0: nobody, demo mode's aggregated mail
    occasion text NOT NULL,
    alert_id bigint REFERENCES alerts,
    to_addr text,                -- erasure takes it away, the hash stays
    address_hash uuid,
    tier text,
    variables jsonb,             -- what the template says of the person
    template text NOT NULL,
    template_digest text NOT NULL,
    status text NOT NULL CHECK (status IN (
        'planned', 'claimed', 'sending', 'sent', 'delivered', 'bounced', 'complained',
        'skipped', 'failed', 'cancelled', 'unknown')),
    reason text,
    consent_id bigint,           -- the record that allowed it
    correlation_id uuid NOT NULL,
    planned_at timestamptz NOT NULL,
    attempts int NOT NULL DEFAULT 0,
    retry_at timestamptz,
    claim uuid,
    lease_until timestamptz,
    claimed_at timestamptz,
    sending_at timestamptz,
    finished_at timestamptz,
    answer text,
    UNIQUE (campaign, step, profile_id, occasion)
);
CREATE INDEX messages_to_send ON messages (planned_at, message_id) WHERE status IN ('planned', 'claimed', 'sending');
CREATE INDEX messages_by_person ON messages (campaign, profile_id, planned_at DESC);  -- every_days
CREATE INDEX messages_by_alert ON messages (alert_id);

-- Who was reached by what: for the profile as known when sending and for the address, so that
-- neither a merge nor a shared address makes two mails of one.
CREATE TABLE reached (
    campaign text NOT NULL,
    step int NOT NULL,
    occasion text NOT NULL,
    key text NOT NULL,
    message_id uuid NOT NULL,
    PRIMARY KEY (campaign, step, occasion, key)
);

CREATE VIEW notifications_log AS
SELECT m.message_id, m.campaign AS campaign_id, m.alert_id, m.profile_id, n.user_id, m.to_addr,
       m.status, m.reason, m.answer, m.attempts, m.planned_at, m.sending_at,
       CASE WHEN m.status IN ('sent', 'delivered', 'bounced', 'complained') THEN m.finished_at END AS sent_at,
       m.correlation_id
FROM messages m LEFT JOIN profile_names n USING (profile_id);

GRANT SELECT ON campaigns, messages, reached, notifications_log TO horizon_worker, horizon_console, horizon_reader;
GRANT INSERT, UPDATE ON messages, reached TO horizon_worker;
GRANT UPDATE (status) ON campaigns TO horizon_worker;
-- What an unsubscribe link needs: whom its message went to.
GRANT SELECT (message_id, campaign, node, address_hash) ON messages TO horizon_edge;
GRANT SELECT (campaign, purpose, channel) ON campaigns TO horizon_edge;

-- What demo mode's mails say of an alert.
CREATE FUNCTION open_alert(a alerts) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object(
        'profile', 'p' || a.profile_id, 'tier', a.tier, 'score', round(a.score::numeric, 4),
        'user_id', (SELECT user_id FROM profile_names n WHERE n.profile_id = a.profile_id),
        'days_silent', coalesce(floor(extract(epoch FROM a.created_at - a.last_activity) / 86400)::int, 0),
        'created', to_char(a.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'))
$$;
