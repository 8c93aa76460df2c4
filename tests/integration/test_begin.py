"""What is asked at the last moment, when a message is marked ``sending``: the answer of the planning
may be hours old."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from horizon.delivery.outbox import Outbox, connect
from horizon.delivery.ports import Claimed
from horizon.pipeline import outgoing
from horizon.postgres.database import Role, closing_connection
from tests.servers.smtp_recorder import SmtpRecorder
from tests.world import DAY, World


@contextmanager
def _outbox(world: World) -> Iterator[Outbox]:
    with closing_connection(connect(world.horizon.database)) as connection:
        yield Outbox(connection, 60)


def _begun(world: World) -> tuple[list[Claimed], list[str | None]]:
    """Who may be written to, and why not whoever may not."""
    with _outbox(world) as outbox:
        begun, refused = outbox.turn([], outbox.claim())
        return begun, [verdict.reason for _, verdict in refused]


def _open_breaker(world: World, domain: str) -> None:
    world.rows(
        "INSERT INTO breakers (campaign, domain, reason, opened_at)"
        " VALUES ('miss_you', %s, 'blocks', now()) RETURNING 1",
        domain,
    )


@pytest.mark.parametrize(("domain", "leaves"), [("*", 0), ("example.com", 0), ("other.org", 1)])
def test_a_breaker_that_opened_since_the_claim_holds_what_is_claimed(
    world: World, domain: str, leaves: int
) -> None:
    world.planned("ann")
    with _outbox(world) as outbox:
        message_ids = outbox.claim()
        _open_breaker(world, domain)
        begun, refused = outbox.turn([], message_ids)
    assert (len(begun), refused) == (leaves, [])


SAID = """INSERT INTO consents (node, address_hash, purpose, channel, granted, time, way)
SELECT node, address_hash, 'tracking', 'email', %s, now() - %s * interval '1 hour', 'manual'
FROM messages RETURNING 1"""
SUPPRESSED = """INSERT INTO suppressions (address_hash, purpose, reason, created_at)
SELECT address_hash, %s, 'unsubscribed', now() FROM messages RETURNING 1"""


def test_links_are_plain_for_who_says_no_to_tracking_between_plan_and_send(world: World) -> None:
    world.planned("ann")
    world.rows(SAID, True, 9)
    world.rows(SAID, False, 1)
    ((message,), _) = _begun(world)
    assert not message.tracked


def test_links_are_plain_for_who_unsubscribes_from_tracking_between_plan_and_send(
    world: World,
) -> None:
    world.planned("ann")
    world.rows(SAID, True, 9)
    world.rows(SUPPRESSED, "tracking")
    ((message,), _) = _begun(world)
    assert not message.tracked


def test_links_are_tracked_for_who_said_yes_last(world: World) -> None:
    world.planned("ann")
    world.rows(SAID, False, 9)
    world.rows(SAID, True, 1)
    ((message,), _) = _begun(world)
    assert message.tracked


SUPPRESSED_DOMAIN = """INSERT INTO suppressed_domains (domain, reason, created_at)
VALUES (%s, 'manual', now()) RETURNING 1"""

OPT_IN = {
    "everything": (SUPPRESSED.replace("unsubscribed", "manual"), ["*"], ["manual"]),
    "what it asks about": (
        SUPPRESSED.replace("unsubscribed", "complaint"), ["marketing"], ["complaint"]),
    "its domain": (SUPPRESSED_DOMAIN, ["example.com"], ["domain_manual"]),
    "another purpose": (SUPPRESSED.replace("unsubscribed", "manual"), ["tracking"], []),
    "what its owner may take back": (SUPPRESSED, ["marketing"], []),
}  # fmt: skip


@pytest.mark.parametrize("what", OPT_IN)
def test_nobody_is_asked_to_confirm_at_an_address_that_was_suppressed_since(
    world: World, what: str
) -> None:
    wish = world.identify("x", DAY / 24, email="ann@example.com", consent=True)
    world.put({**wish, "userId": None, "anonymousId": "browser-1"}, kind="public")
    world.identify_all()
    assert world.plan("confirm_consent").figures["planned"] == 1
    query, values, reasons = OPT_IN[what]
    world.rows(query, *values)
    begun, refused = _begun(world)
    assert refused == reasons
    assert len(begun) == 1 - len(reasons)


@pytest.mark.parametrize("connections", [1, 2])
def test_of_two_rows_with_one_address_one_is_sent(
    world: World, tmp_path: Path, connections: int
) -> None:
    """Two people, one address and one occasion, as two planners at the same moment leave them."""
    world.planned("ann", "bob")
    world.rows(
        "UPDATE messages m SET occasion = 'same', address_hash = one.address_hash, to_addr = one.to_addr"
        " FROM (SELECT * FROM messages LIMIT 1) one RETURNING 1"
    )
    with SmtpRecorder(tmp_path) as recorder:
        outgoing.send(world.sending(recorder.port, SMTP_CONNECTIONS=connections).horizon)
        assert len(recorder.messages()) == 1
    rows = world.rows("SELECT status, reason FROM messages ORDER BY status")
    assert [tuple(row) for row in rows] == [("sent", None), ("skipped", "already_reached")]


def test_who_was_reached_is_asked_of_one_state_of_the_graph(world: World) -> None:
    """A merge that is under way is waited for; two senders do not wait for each other."""
    world.planned("ann")
    with (
        _outbox(world) as outbox,
        _outbox(world) as other,
        world.horizon.database.connect(Role.WORKER) as merge,
    ):
        outbox.connection.execute("SET lock_timeout = '100ms'")
        message_ids = outbox.claim()
        merge.execute("SELECT pg_advisory_xact_lock(hashtext('horizon.identity'))")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            outbox.turn([], message_ids)
        merge.rollback()
        with other.connection.transaction():
            assert other.turn([], []) == ([], [])
            other._begin([])
            assert len(outbox.turn([], message_ids)[0]) == 1


def _twice_planned(world: World) -> None:
    """Two campaigns wrote to Ann before she said that one mail in 30 days is enough."""
    world.person("ann", 1 * DAY)
    world.score()
    world.rows(
        "INSERT INTO campaigns (campaign, audience, template, channel, purpose, every_days)"
        " VALUES ('second', 'engaged', 'good_activity', 'email', 'marketing', 30) RETURNING 1"
    )
    for campaign in ("good_activity", "second"):
        assert world.plan(campaign).figures["planned"] == 1
    _prefer(world, 30)


def _prefer(world: World, every_days: int | None) -> None:
    world.rows(
        "INSERT INTO preferences (address_hash, channel, every_days, time, way)"
        " SELECT DISTINCT address_hash, 'email', %s::int, now(), 'page' FROM messages RETURNING 1",
        every_days,
    )


def _verdicts(world: World) -> list[tuple[Any, ...]]:
    query = "SELECT status, reason FROM notifications_log ORDER BY status DESC, reason"
    return [tuple(row) for row in world.rows(query)]


@pytest.mark.parametrize("connections", [1, 2])
def test_less_often_holds_for_two_campaigns_that_were_planned_before_either_was_sent(
    world: World, tmp_path: Path, connections: int
) -> None:
    _twice_planned(world)
    with SmtpRecorder(tmp_path) as recorder:
        sending = world.sending(recorder.port, SMTP_CONNECTIONS=connections)
        outgoing.send(sending.horizon, now=world.now)
        assert len(recorder.messages()) == 1
    assert _verdicts(world) == [("skipped", "less_often"), ("sent", None)]


def test_less_often_holds_while_the_first_is_being_sent_by_another(world: World) -> None:
    _twice_planned(world)
    with _outbox(world) as one, _outbox(world) as two:
        first, second = one.claim(1), two.claim()
        assert (len(first), len(second)) == (1, 1)
        assert len(one.turn([], first)[0]) == 1
        begun, refused = two.turn([], second)
    assert (begun, [verdict.reason for _, verdict in refused]) == ([], ["less_often"])


def test_what_failed_keeps_nobody_s_place(world: World) -> None:
    """The first is refused by the server for good: then the second may leave."""
    _twice_planned(world)
    with _outbox(world) as outbox:
        outbox.turn([], outbox.claim(1))
        world.rows(
            "WITH gone AS (DELETE FROM outbox WHERE state = 'sending' RETURNING message_id)"
            " UPDATE messages SET status = 'failed' WHERE message_id IN (SELECT * FROM gone) RETURNING 1"
        )
        begun, refused = outbox.turn([], outbox.claim())
    assert (len(begun), refused) == (1, [])


def test_who_wants_all_again_gets_all(world: World) -> None:
    _twice_planned(world)
    _prefer(world, None)
    begun, refused = _begun(world)
    assert (len(begun), refused) == (2, [])
