"""What each role may do, and what nobody may."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from horizon.postgres.database import Connection, Database, Role

EDGE, WORKER, CONSOLE, READER = Role.EDGE, Role.WORKER, Role.CONSOLE, Role.READER

# Select, Insert, Update, Delete on each table and view. What is not named here nobody may touch.
GRANTS = {
    #                  edge  worker console reader
    "alerts":           ("", "SI", "S", "S"),
    "audit":            ("", "I", "SI", ""),
    "backups":          ("", "S", "", ""),
    "breakers":         ("", "SIU", "S", "S"),
    "campaign_runs":    ("", "SI", "S", "S"),
    "campaign_versions": ("", "S", "S", "S"),
    "campaigns":        ("", "S", "S", "S"),
    "click_targets":    ("S", "SI", "S", "S"),
    "consents":         ("I", "SI", "S", "S"),
    "current_consents": ("", "S", "S", "S"),
    "current_scores":   ("", "S", "S", "S"),
    "cuts":             ("", "SIU", "SIU", "S"),
    "domains":          ("", "SIU", "S", "S"),
    "edges":            ("", "SIU", "SIU", "S"),
    "eras":             ("S", "S", "S", "S"),
    "erased_nodes":     ("S", "SI", "S", ""),
    "event_ids":        ("SI", "SI", "", ""),
    "events":           ("I", "SI", "S", "S"),
    "file_progress":    ("", "SIU", "S", "S"),
    "forward_days":     ("", "SIU", "S", "S"),
    "forward_keys":     ("", "S", "", ""),
    "forward_refused":  ("", "SIUD", "S", "S"),
    "forward_spans":    ("", "S", "S", "S"),
    "forwards":         ("", "S", "S", "S"),
    "group_traits":     ("", "SIU", "S", "S"),
    "history":          ("", "SI", "S", "S"),
    "history_open_alerts": ("", "SIUD", "", ""),
    "history_open_messages": ("", "SIUD", "", ""),
    "history_passes":   ("", "SID", "", ""),
    "history_seals":    ("", "SI", "S", "S"),
    "iceberg_namespace_properties": ("", "SIUD", "S", "S"),
    "iceberg_tables":   ("", "SIUD", "S", "S"),
    "identity_rules":   ("", "SI", "SI", "S"),
    "lake_days":        ("", "SIUD", "S", "S"),
    "message_responses": ("", "S", "S", "S"),
    "lineage_kept":     ("", "SID", "", ""),
    "memberships":      ("", "SIU", "S", "S"),
    "messages":         ("", "SI", "S", "S"),
    "nodes":            ("", "SIU", "S", "S"),
    "notifications_log": ("", "S", "S", "S"),
    "opt_ins":          ("", "SIU", "S", "S"),
    "outbox":           ("", "SIUD", "S", "S"),
    "preferences":      ("SI", "SI", "S", "S"),
    "profile_names":    ("", "S", "S", "S"),
    "profile_traits":   ("", "S", "S", "S"),
    "profiles":         ("", "SIU", "S", "S"),
    "purposes":         ("S", "SIU", "S", "S"),
    "read_tokens":      ("", "SI", "SI", "S"),
    "reached":          ("", "SIU", "S", "S"),
    "refused_traits":   ("", "SIU", "S", "S"),
    "rejected_events":  ("I", "SI", "S", "S"),
    "responses":        ("I", "S", "S", "S"),
    "restores":         ("S", "S", "S", "S"),
    "runs":             ("S", "SIU", "S", "S"),
    "score_runs":       ("", "SIU", "S", "S"),
    "scores":           ("", "S", "S", "S"),
    "simulations":      ("", "SI", "", ""),
    "source_keys":      ("S", "SIUD", "SIUD", ""),
    "source_secrets":   ("S", "SIUD", "", ""),
    "sources":          ("S", "SIU", "SIU", ""),
    "suppressed_domains": ("", "SID", "S", "S"),
    "suppressions":     ("SI", "SID", "S", "S"),
    "traits":           ("", "SIU", "S", "S"),
    "users":            ("", "S", "S", "S"),
    "watermarks":       ("S", "SIU", "S", "S"),
    "procrastinate_events":          ("", "SIUD", "", ""),
    "procrastinate_jobs":            ("", "SIUD", "", ""),
    "procrastinate_periodic_defers": ("", "SIUD", "", ""),
    "procrastinate_workers":         ("", "SIUD", "", ""),
}  # fmt: skip

FOUND = """
SELECT c.relname AS name, r.rolname AS role, string_agg(left(p, 1), '' ORDER BY p.number) AS may
FROM pg_class c, pg_roles r,
     unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER'])
         WITH ORDINALITY AS p (p, number)
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND r.rolname IN ('horizon_edge', 'horizon_worker', 'horizon_console', 'horizon_reader')
  AND has_table_privilege(r.oid, c.oid, p)
GROUP BY 1, 2
"""


def test_grants_are_those_of_the_table(module_database: Database) -> None:
    declared = {
        (name, str(role)): may
        for name, all_may in GRANTS.items()
        for role, may in zip((EDGE, WORKER, CONSOLE, READER), all_may, strict=True)
        if may
    }
    with module_database.transaction(Role.OWNER) as tx:
        # Partitions are reached through their parents alone, but for a run's own scores.
        tx.execute("SELECT ensure_partitions('2026-01-01', '2026-01-02')")
        found = {(row.name, row.role): row.may for row in tx.execute(FOUND)}
        tx.rollback()
    assert found == declared


# Single columns: what an unsubscribe link needs, pausing a campaign, how a forward goes, and what
# comes of an alert or a message; what was decided stays.
COLUMN_GRANTS = {
    **{("alerts", column): "horizon_worker=w"
       for column in ("status", "quiet_until", "notified_at", "resolved_at")},
    **{("messages", column): "horizon_worker=w"
       for column in ("status", "reason", "template_digest", "attempts", "claim", "claimed_at",
                      "sending_at", "finished_at", "answer")},
    **{("forwards", column): "horizon_worker=w"
       for column in ("state", "error", "error_since", "attempt", "next_try_at", "last_sent_at")},
    **{("forward_spans", column): "horizon_worker=w"
       for column in ("era", "seen", "until_era", "until", "at_era", "at_tx", "at_received",
                      "at_time", "at_event", "sent", "refused", "looped", "finished_at")},
    **{("sources", column): "horizon_reader=r" for column in ("source_id", "name", "kind")},
    ("campaigns", "campaign"): "horizon_edge=r",
    ("campaigns", "channel"): "horizon_edge=r",
    ("campaigns", "purpose"): "horizon_edge=r",
    ("campaigns", "status"): "horizon_worker=w",
    ("messages", "address_hash"): "horizon_edge=r",
    ("read_tokens", "last_used_at"): "horizon_reader=w",
    ("read_tokens", "revoked_at"): "horizon_worker=w,horizon_console=w",
    ("source_keys", "last_used_at"): "horizon_edge=w",
    **{("rejected_events", column): "horizon_worker=w,horizon_console=w"
       for column in ("code", "message", "replayed_at", "event_id")},
    ("messages", "campaign"): "horizon_edge=r",
    ("messages", "message_id"): "horizon_edge=r",
    ("messages", "node"): "horizon_edge=r",
}  # fmt: skip


def test_grants_on_columns_are_those_of_the_table(module_database: Database) -> None:
    with module_database.transaction(Role.OWNER) as tx:
        rows = tx.execute(
            "SELECT c.relname, attname, array_to_string(attacl, ',') AS acl FROM pg_attribute "
            "JOIN pg_class c ON c.oid = attrelid WHERE attacl IS NOT NULL "
            "AND c.relnamespace = 'public'::regnamespace"
        ).fetchall()
    found = {(row.relname, row.attname): row.acl.replace("/horizon_owner", "") for row in rows}
    assert found == COLUMN_GRANTS


EVENT = """INSERT INTO events (event_id, source_id, message_id, type, nodes, time, received_at,
    trusted, activity, era)
VALUES (gen_random_uuid(), 1, 'm', 'track',
    ARRAY[gen_random_uuid()], now(), now(), true, true, 1)"""
CONSENT = """INSERT INTO consents (node, purpose, channel, granted, time, way)
VALUES (gen_random_uuid(), 'marketing', 'email', false, now(), 'page')"""
AUDIT = "INSERT INTO audit (actor, action, object) VALUES ('cli:a', 'source:added', 'shop')"
RESPONSE = """INSERT INTO responses (message_id, campaign, kind, time, event_id)
VALUES (gen_random_uuid(), 'miss_you', 'open', now(), gen_random_uuid()) ON CONFLICT DO NOTHING"""
MAY_TRACK = "SELECT * FROM may_track(ARRAY[gen_random_uuid()], ARRAY[now()])"
MESSAGE_TARGET = "SELECT message_id, campaign, node, address_hash FROM messages"

MASKED_ADDRESS = "SELECT masked_address(gen_random_uuid())"
CONSENT_STATES = "SELECT * FROM consent_states(gen_random_uuid(), now())"
LIFT = "SELECT lift_unsubscribed(gen_random_uuid(), 'marketing')"
ASKED = "SELECT * FROM asked_opt_in(gen_random_uuid(), now())"
CONFIRM = "SELECT confirm_opt_in(gen_random_uuid(), now(), gen_random_uuid())"

MAY = [
    (WORKER, "SELECT drop_days('rejected_events', '2020-01-01')"),
    (WORKER, "SELECT drop_days('event_ids', '2020-01-01')"),
    (EDGE, EVENT),
    (EDGE, CONSENT),
    (EDGE, MESSAGE_TARGET),
    (EDGE, MASKED_ADDRESS),
    (EDGE, CONSENT_STATES),
    (EDGE, LIFT),
    (WORKER, LIFT),
    (EDGE, RESPONSE),
    (EDGE, MAY_TRACK),
    (EDGE, "SELECT ensure_partitions('2026-01-01', '2026-01-01')"),
    (EDGE, ASKED),
    (EDGE, CONFIRM),
    (WORKER, EVENT),
    (WORKER, CONSENT),
    (WORKER, AUDIT),
    (WORKER, "SELECT * FROM current_scores"),
    (WORKER, "SELECT open_score_run(1)"),
    (WORKER, "SELECT system_identifier FROM pg_control_system()"),
    (CONSOLE, AUDIT),
    (CONSOLE, "SELECT * FROM audit"),
    (READER, "SELECT user_id, score FROM current_scores ORDER BY score DESC LIMIT 5"),
    (READER, "SELECT * FROM users"),
    (READER, "SELECT * FROM notifications_log"),
]
MAY_NOT = [
    (EDGE, "SELECT * FROM events"),
    (EDGE, "SELECT * FROM read_tokens"),
    (READER, "UPDATE read_tokens SET revoked_at = NULL"),
    (READER, "UPDATE read_tokens SET scopes = '{events:read}'"),
    (WORKER, "UPDATE read_tokens SET scopes = '{events:read}'"),
    (EDGE, "SELECT * FROM traits"),
    (EDGE, "SELECT * FROM users"),
    (EDGE, "SELECT to_addr FROM messages"),
    (EDGE, "SELECT * FROM consents"),
    (EDGE, "UPDATE preferences SET every_days = 1"),
    (WORKER, MASKED_ADDRESS),
    (WORKER, CONSENT_STATES),
    (CONSOLE, LIFT),
    (READER, LIFT),
    (EDGE, "SELECT * FROM opt_ins"),
    (EDGE, "UPDATE opt_ins SET confirmed_at = now()"),
    (EDGE, "DELETE FROM suppressions"),
    (CONSOLE, "DELETE FROM suppressions"),
    (READER, "DELETE FROM suppressions"),
    *((role, "TRUNCATE suppressions") for role in (EDGE, WORKER, CONSOLE, READER)),
    *((role, statement) for role in (WORKER, CONSOLE, READER) for statement in (ASKED, CONFIRM)),
    (EDGE, "SELECT * FROM responses"),
    (EDGE, "INSERT INTO click_targets (url) VALUES ('https://elsewhere.example/')"),
    (WORKER, MAY_TRACK),
    (READER, MAY_TRACK),
    (EDGE, "UPDATE sources SET enabled = true"),
    (EDGE, "SELECT open_score_run(1)"),
    (EDGE, "CREATE TABLE mine (a int)"),
    (EDGE, "COPY events TO STDOUT"),
    (READER, EVENT),
    (READER, CONSENT),
    (READER, AUDIT),
    (READER, "SELECT * FROM audit"),
    *[
        (role, "SELECT drop_days('rejected_events', '2020-01-01')")
        for role in (EDGE, CONSOLE, READER)
    ],
    *[
        (WORKER, f"SELECT drop_days('{name}', '2020-01-01')")
        for name in ("events", "consents", "x")
    ],
    (READER, "SELECT key_sha256 FROM source_keys"),
    (EDGE, "UPDATE source_keys SET expires_at = NULL"),
    (READER, "SELECT ensure_partitions('2026-01-01', '2026-01-01')"),
    (READER, "SELECT close_score_run(1)"),
    (READER, "CREATE TABLE mine (a int)"),
    (CONSOLE, EVENT),
    (CONSOLE, "UPDATE messages SET status = 'planned'"),
    (WORKER, "SELECT * FROM audit"),
    (WORKER, "CREATE TABLE mine (a int)"),
    (WORKER, "DROP TABLE events"),
    (WORKER, "INSERT INTO campaigns VALUES ('x', 'alerts', 'x', 'email', 'marketing', NULL)"),
    (WORKER, "INSERT INTO migrations VALUES ('x', 'y')"),
]
# Kept as they came: only the owner rewrites them, for erasure and retention.
KEPT = ["audit", "events", "events_default", "consents", "rejected_events", "event_ids", "eras",
        "migrations", "responses", "click_targets", "messages", "alerts", "history", "history_seals",
        "campaign_runs", "campaign_versions"]  # fmt: skip
MAY_NOT += [
    (role, statement.format(name))
    for name in KEPT
    for role in (EDGE, WORKER, CONSOLE, READER)
    for statement in ("DELETE FROM {}", "TRUNCATE {}")
]
MAY_NOT += [
    (role, f"UPDATE {name} SET {column} = {column}")
    for name, column in {
        "audit": "actor", "events": "user_id", "consents": "granted", "rejected_events": "body",
        "suppressions": "reason", "responses": "machine", "click_targets": "url",
        "history": "state", "history_seals": "hash", "campaign_runs": "version",
        "campaign_versions": "template",
    }.items()
    for role in (EDGE, WORKER, CONSOLE, READER)
]  # fmt: skip


# What was decided, found or agreed: unchangeable in the rows themselves too.
MAY_NOT += [
    (role, f"UPDATE {name} SET {column} = {column}")
    for name, columns in {
        "messages": "message_id campaign step node profile_id occasion alert_id to_addr address_hash "
                    "domain tier variables template consent_id correlation_id planned_at",
        "alerts": "rule node profile_id score tier threshold last_activity silent_s "
                  "activities score_run created_at correlation_id",
    }.items()
    for column in columns.split()
    for role in (EDGE, WORKER, CONSOLE, READER)
]  # fmt: skip


@pytest.fixture(scope="module")
def connections(module_database: Database) -> Iterator[dict[Role, Connection]]:
    opened = {role: module_database.connect(role) for role in (EDGE, WORKER, CONSOLE, READER)}
    yield opened
    for connection in opened.values():
        connection.close()


@pytest.mark.parametrize(("role", "statement"), MAY)
def test_may(role: Role, statement: str, connections: dict[Role, Connection]) -> None:
    connections[role].execute(statement)
    connections[role].rollback()


@pytest.mark.parametrize(("role", "statement"), MAY_NOT)
def test_may_not(role: Role, statement: str, connections: dict[Role, Connection]) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        connections[role].execute(statement)
    connections[role].rollback()


def test_functions_that_run_as_their_owner_cannot_be_led_astray(
    module_database: Database,
) -> None:
    with module_database.transaction(Role.OWNER) as tx:
        found = tx.execute(
            "SELECT proname, proconfig, has_function_privilege('horizon_reader', oid, 'EXECUTE') "
            "AS readers FROM pg_proc WHERE prosecdef AND pronamespace = 'public'::regnamespace"
        ).fetchall()
    assert {row.proname for row in found} >= {"ensure_partitions", "open_score_run", "may_track"}
    for row in found:
        assert row.proconfig == ["search_path=public, pg_temp"], row.proname
        assert not row.readers, row.proname
