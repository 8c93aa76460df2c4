-- What each node and each address last said to each question: of two answers of the same time the
-- refusal. Whether somebody may be written to, refusal() alone decides.
CREATE VIEW current_consents AS
SELECT DISTINCT ON (subject, purpose, channel) subject, purpose, channel, granted, time, way, wording, actor
FROM (  -- two branches, so that a look-up of one subject uses both indexes
    SELECT node AS subject, c.* FROM consents c
    UNION ALL
    SELECT address_hash, c.* FROM consents c WHERE address_hash <> node
) said
ORDER BY subject, purpose, channel, time DESC, granted, consent_id DESC;

-- A yes that holds for the whole person, for it is the address's owner or the operator who says it: it
-- is written for each of the person's other nodes whose last word is a no.
CREATE FUNCTION lift_refusals(
    about uuid, address uuid, asked_purpose text, asked_channel text, at timestamptz, by_way text, words text,
    by_whom text
) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    INSERT INTO consents (node, address_hash, purpose, channel, granted, time, way, wording, actor)
    SELECT other.node, address, asked_purpose, asked_channel, true, at, by_way, words, by_whom
    FROM nodes n JOIN nodes other USING (profile_id), LATERAL (
        SELECT c.granted FROM consents c
        WHERE c.node = other.node AND c.purpose = asked_purpose AND c.channel = asked_channel
        ORDER BY c.time DESC, c.granted LIMIT 1) latest
    WHERE n.node = about AND other.node <> about AND NOT latest.granted
$$;
REVOKE EXECUTE ON FUNCTION lift_refusals(uuid, uuid, text, text, timestamptz, text, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lift_refusals(uuid, uuid, text, text, timestamptz, text, text, text)
    TO horizon_edge, horizon_worker;

-- What a purpose is called: the operator's title, else the shipped one's, else its name.
CREATE FUNCTION purpose_title(asked text, wanted_language text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT coalesce(
        (SELECT coalesce(p.titles ->> wanted_language, p.titles ->> 'en') FROM purposes p WHERE p.purpose = asked),
        CASE wanted_language || ' ' || asked
            WHEN 'de marketing' THEN 'Neuigkeiten und Angebote'
            WHEN 'en marketing' THEN 'News and offers'
            WHEN 'de tracking' THEN 'Auswertung von Öffnungen und Klicks'
            WHEN 'en tracking' THEN 'Measuring opens and clicks'
        END,
        asked)
$$;

-- The sentence that is agreed to. It is ours and the operator's: what a browser sends would reach
-- strangers' mailboxes in our name.
CREATE FUNCTION opt_in_wording(asked text, wanted_language text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE wanted_language
        WHEN 'de' THEN 'Ich möchte per E-Mail erhalten: ' || purpose_title(asked, 'de')
            || '. Ich kann das jederzeit widerrufen.'
        ELSE 'I agree to receive by e-mail: ' || purpose_title(asked, 'en')
            || '. I can withdraw this at any time.'
    END
$$;

-- What the page behind a confirmation link needs, and whom its answer is about: the profile that a
-- trusted source gave this address, else the address alone. Never whom the form named: anybody can
-- write another one's user id beside an address of his own. The edge may read neither opt_ins nor
-- traits, so this runs as its owner.
CREATE FUNCTION asked_opt_in(asked uuid, at timestamptz) RETURNS TABLE (
    node uuid, address_hash uuid, purpose text, channel text, wording text, language text, state text
) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT coalesce(
               (SELECT names.node FROM traits t JOIN nodes n ON n.node = t.node AND n.live
                JOIN LATERAL (SELECT p.value_node FROM profile_traits p
                              WHERE p.profile_id = n.profile_id AND p.name = 'email') email
                    ON email.value_node = o.address_hash
                JOIN LATERAL (SELECT p.node FROM profile_names p WHERE p.profile_id = n.profile_id) names ON true
                WHERE t.name = 'email' AND t.value_node = o.address_hash
                ORDER BY names.node <> o.node, n.profile_id LIMIT 1),
               o.address_hash),
           o.address_hash, o.purpose, o.channel, o.wording, o.language,
           CASE WHEN o.confirmed_at IS NOT NULL THEN 'confirmed'
                WHEN o.asked_at <= at - interval '30 days' THEN 'expired' ELSE 'open' END
    FROM opt_ins o WHERE o.opt_in_id = asked
$$;
CREATE INDEX traits_by_address ON traits (value_node) WHERE value_node IS NOT NULL;

-- Writes the yes down, once, and lifts what this same purpose was unsubscribed by; a bounce, a
-- complaint and the operator's word stay. Says whether it was this call that confirmed.
CREATE FUNCTION confirm_opt_in(asked uuid, at timestamptz, event uuid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    o opt_ins;
    about uuid := (SELECT a.node FROM asked_opt_in(asked, at) a);
BEGIN
    UPDATE opt_ins SET confirmed_at = at
    WHERE opt_in_id = asked AND confirmed_at IS NULL AND asked_at > at - interval '30 days'
    RETURNING * INTO o;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO consents (node, address_hash, purpose, channel, granted, time, way, wording, event_id)
    VALUES (about, o.address_hash, o.purpose, o.channel, true, at, 'opt_in', o.wording, event);
    PERFORM lift_refusals(about, o.address_hash, o.purpose, o.channel, at, 'opt_in', o.wording, 'person');
    DELETE FROM suppressions s
    WHERE s.address_hash = o.address_hash AND s.purpose = o.purpose AND s.reason = 'unsubscribed';
    RETURN true;
END $$;
REVOKE EXECUTE ON FUNCTION asked_opt_in(uuid, timestamptz), confirm_opt_in(uuid, timestamptz, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION asked_opt_in(uuid, timestamptz), confirm_opt_in(uuid, timestamptz, uuid)
    TO horizon_edge;

GRANT SELECT ON current_consents TO horizon_worker, horizon_console, horizon_reader;
