"""What a channel reports after the sending: written once, in whatever order it comes."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import permutations
from typing import Any
from uuid import UUID, uuid4

import pytest

from horizon.delivery.feedback import Kind, record_feedback
from horizon.events.nodes import node_of
from horizon.postgres.database import Connection

NOON = datetime(2026, 6, 15, 12, 0, tzinfo=UTC)
NODE = node_of(b"k" * 32, "user_id", "ann")
ADDRESS = node_of(b"k" * 32, "email", "ann@example.com")


def mail(tx: Connection, status: str = "sent", **changes: Any) -> UUID:
    values = {
        "id": uuid4(), "status": status, "node": NODE, "address": ADDRESS, "campaign": "miss_you",
        **changes,
    }  # fmt: skip
    tx.execute(
        "INSERT INTO messages (message_id, campaign, node, profile_id, occasion, to_addr, "
        "address_hash, domain, template, template_digest, status, answer, correlation_id, "
        "planned_at, finished_at) VALUES (%(id)s, %(campaign)s, %(node)s, 1, %(id)s::text, "
        "'ann@example.com', %(address)s, 'example.com', 't', 'd', %(status)s, '250 taken', "
        "gen_random_uuid(), now(), now())",
        values,
    )
    found: UUID = values["id"]
    return found


def state(tx: Connection, message_id: UUID) -> tuple[str, str | None, str | None]:
    row = tx.execute(
        "SELECT status, reason, answer FROM messages WHERE message_id = %s", [message_id]
    ).fetchone()
    assert row is not None
    return row.status, row.reason, row.answer


def suppressed(tx: Connection) -> list[tuple[UUID, str, str]]:
    found = tx.execute("SELECT address_hash, purpose, reason FROM suppressions").fetchall()
    return [(row.address_hash, row.purpose, row.reason) for row in found]


def events(tx: Connection) -> list[str]:
    return [row.name for row in tx.execute("SELECT name FROM events ORDER BY name")]


def test_delivered_is_an_event_and_no_more(worker: Connection) -> None:
    message_id = mail(worker)
    assert record_feedback(worker, message_id, "delivered", NOON) == "recorded"
    assert state(worker, message_id) == ("delivered", None, "250 taken")
    assert suppressed(worker) == []
    row = worker.execute("SELECT * FROM events").fetchone()
    assert row is not None
    assert (row.name, row.activity, row.trusted, row.nodes, row.time) == (
        "Message Delivered", False, True, [NODE], NOON,
    )  # fmt: skip
    assert json.loads(row.properties) == {"message_id": str(message_id), "campaign_id": "miss_you"}


def test_a_complaint_suppresses_the_address_for_everything(worker: Connection) -> None:
    message_id = mail(worker, "delivered")
    assert record_feedback(worker, message_id, "complained", NOON) == "recorded"
    assert state(worker, message_id)[0] == "complained"
    assert suppressed(worker) == [(ADDRESS, "*", "complaint")]
    refused = worker.execute(
        "SELECT reason FROM refusal(1, %s, 'example.com', 'marketing', 'email', %s)",
        [ADDRESS, NOON],
    ).fetchone()
    assert refused is not None
    assert refused.reason == "complaint"


@pytest.mark.parametrize(
    ("answer", "invalid", "reason", "suppression"),
    [
        ("550 5.1.1 no <ann@example.com> here", True, "address_invalid", [(ADDRESS, "*", "hard_bounce")]),
        ("550 5.7.1 Message rejected due to local policy", False, "blocked", []),
        ("552 5.2.2 mailbox full", False, "returned", []),
        ("", False, "returned", []),
    ],
)  # fmt: skip
def test_only_an_address_that_is_none_is_suppressed(
    worker: Connection, answer: str, invalid: bool, reason: str, suppression: list[Any]
) -> None:
    message_id = mail(worker)
    done = record_feedback(
        worker, message_id, "bounced", NOON, answer=answer, address_invalid=invalid
    )
    assert done == "recorded"
    status, why, said = state(worker, message_id)
    assert (status, why) == ("bounced", reason)
    assert "@" not in str(said)
    assert suppressed(worker) == suppression
    assert events(worker) == ["Message Bounced"]


@pytest.mark.parametrize("kind", ["delivered", "bounced", "complained"])
def test_a_report_that_comes_again_changes_nothing(worker: Connection, kind: Kind) -> None:
    message_id = mail(worker)
    assert record_feedback(worker, message_id, kind, NOON, address_invalid=True) == "recorded"
    before = state(worker, message_id), events(worker)
    worker.execute("DELETE FROM suppressions")  # the person agreed again meanwhile
    assert record_feedback(worker, message_id, kind, NOON, address_invalid=True) == "known"
    assert (state(worker, message_id), events(worker)) == before
    assert suppressed(worker) == []


@pytest.mark.parametrize("order", list(permutations(("delivered", "bounced", "complained"))))
def test_reports_come_in_any_order_and_the_worst_stands(
    worker: Connection, order: tuple[Kind, ...]
) -> None:
    message_id = mail(worker)
    for kind in order:
        record_feedback(worker, message_id, kind, NOON, address_invalid=True)
    assert state(worker, message_id)[0] == "complained"
    assert [one[0] for one in suppressed(worker)] == [ADDRESS]
    assert "Message Complained" in events(worker)


def test_an_unknown_message_becomes_known_and_its_alert_notified(worker: Connection) -> None:
    alert = worker.execute(
        "INSERT INTO alerts (rule, node, profile_id, score, tier, threshold, status, created_at, "
        "quiet_until, correlation_id) VALUES ('r', %s, 1, 1, 'high', 0.7, 'NEW', now(), now(), "
        "gen_random_uuid()) RETURNING alert_id", [NODE]
    ).fetchone()  # fmt: skip
    assert alert is not None
    message_id = mail(worker, "unknown")
    worker.execute("SET ROLE NONE")  # whose alert it is, the worker may not change
    worker.execute(
        "UPDATE messages SET alert_id = %s, reason = 'connection_broke'", [alert.alert_id]
    )
    worker.execute("SET ROLE horizon_worker")
    assert record_feedback(worker, message_id, "delivered", NOON) == "recorded"
    assert state(worker, message_id)[:2] == ("delivered", None)
    row = worker.execute("SELECT status, notified_at FROM alerts").fetchone()
    assert row is not None
    assert (row.status, row.notified_at) == ("NOTIFIED", NOON)


@pytest.mark.parametrize(
    ("status", "said"),
    [("planned", "early"), ("skipped", "known"), ("cancelled", "known"), ("bounced", "known")],
)
def test_what_did_not_leave_is_not_delivered(worker: Connection, status: str, said: str) -> None:
    message_id = mail(worker, status)
    assert record_feedback(worker, message_id, "delivered", NOON) == said
    assert state(worker, message_id)[0] == status
    assert events(worker) == []


def test_there_is_no_such_message(worker: Connection) -> None:
    assert record_feedback(worker, uuid4(), "delivered", NOON) == "no_message"


def test_the_operator_s_own_mail_is_no_event(worker: Connection) -> None:
    message_id = mail(worker, campaign="demo", node=None)
    assert record_feedback(worker, message_id, "delivered", NOON) == "recorded"
    assert events(worker) == []
