"""A sender at work: what it tells when something breaks, and when it stops to look up."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg
import pytest

from horizon.delivery import breaker, lane
from horizon.delivery.channels.smtp.transport import SmtpTransport
from horizon.delivery.lane import Common, Lane
from horizon.delivery.limits import DomainLimits, parse_limits
from horizon.delivery.outbox import Outbox, connect
from horizon.delivery.pace import Pace
from horizon.pipeline import outgoing, stages
from horizon.postgres.database import Role, closing_connection
from tests.servers.smtp_recorder import SmtpRecorder
from tests.world import DAY, World, chunks_of

SLOW = {"action": "slow", "seconds": 0.02}  # so that a group is one message


def _users(count: int) -> list[str]:
    return [f"u{number}" for number in range(count)]


def test_a_sender_that_is_blocked_opens_the_breaker_and_stops(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker, "LEAST_ATTEMPTS", 10)
    blocked = {"at": "rcpt", "answer": "550 5.7.1 blocked by policy", **SLOW}
    with SmtpRecorder(tmp_path, [{"match": "example.com", **blocked}]) as recorder:
        world = world.sending(recorder.port, SMTP_CONNECTIONS=1)
        world.planned(*_users(60))
        outgoing.send(world.horizon)
        ended = Counter(world.states().values())
        assert ended["failed"] + ended["planned"] == 60
        assert 10 <= ended["failed"] < 30
        outgoing.send(world.horizon)  # and nobody tries again
        assert Counter(world.states().values())["failed"] == ended["failed"]
    with world.horizon.database.transaction(Role.WORKER) as tx:
        (held,) = breaker.open_breakers(tx)
    assert (held["domain"], held["reason"], held["messages"]) == (
        "example.com", "blocks", ended["planned"],
    )  # fmt: skip
    lines = [json.loads(line) for line in world.horizon.settings.log_path.read_text().splitlines()]
    opened = [line["domain"] for line in lines if line["message"] == "breaker_opened"]
    assert opened == ["example.com"]


def test_at_a_slow_server_consent_is_asked_again_within_a_group(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane, "ASK_AGAIN_S", 0.5)
    slow = {"at": "content", "action": "slow", "seconds": 0.15}
    with SmtpRecorder(tmp_path, [slow]) as recorder:
        world = world.sending(recorder.port, SMTP_CONNECTIONS=1)
        world.planned(*_users(20))
        # With a rate a group leaves at once: ten of 50 a second.
        sending = threading.Thread(target=lambda: outgoing.send(world.horizon, rate=50))
        sending.start()
        recorder.wait_for(1)
        world.rows(
            "INSERT INTO suppressions SELECT address_hash, '*', 'manual', now() FROM messages"
            " RETURNING 1"
        )
        sending.join()
        received = len(recorder.messages())
    assert received <= 6
    states = Counter(world.states().values())
    assert states == {"sent": received, "skipped": 20 - received}


def test_what_a_slow_server_took_too_long_for_leaves_in_the_same_run(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane, "ASK_AGAIN_S", 0.3)
    slow = {"at": "content", "action": "slow", "seconds": 0.15}
    with SmtpRecorder(tmp_path, [slow]) as recorder:
        world = world.sending(recorder.port, SMTP_CONNECTIONS=1)
        world.planned(*_users(8))
        outgoing.send(world.horizon, rate=50)  # one group
        assert len(recorder.messages()) == 8
    assert set(world.states().values()) == {"sent"}


def _fails_at_turn(monkeypatch: pytest.MonkeyPatch, number: int, fail: Any) -> None:
    """The sender's so manieth step meets an error; those after it do not."""
    turn, turns = Outbox.turn, []

    def failing(self: Outbox, results: Any, message_ids: Any) -> Any:
        turns.append(1)
        if len(turns) == number:
            fail(self)
        return turn(self, results, message_ids)

    monkeypatch.setattr(Outbox, "turn", failing)


def _a_deadlock(_: Outbox) -> None:
    raise psycopg.errors.DeadlockDetected("deadlock detected")


def _a_lost_connection(outbox: Outbox) -> None:
    outbox.connection.pgconn.finish()
    raise psycopg.OperationalError("server closed the connection unexpectedly")


@pytest.mark.parametrize("fail", [_a_deadlock, _a_lost_connection])
def test_what_has_left_is_told_whatever_the_database_says(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fail: Any
) -> None:
    """The second step would record the first mail. Nothing waits for a lease to run out."""
    with SmtpRecorder(tmp_path) as recorder:
        world = world.sending(recorder.port, SMTP_CONNECTIONS=1)
        world.planned("ann", "bob", "cid")
        _fails_at_turn(monkeypatch, 2, fail)
        with pytest.raises(psycopg.Error):
            outgoing.send(world.horizon)
        left = len(recorder.messages())
        assert Counter(world.states().values()) == {"sent": left, "planned": 3 - left}
        assert 0 < left < 3
        assert world.rows("SELECT FROM outbox WHERE claim IS NOT NULL") == []
        outgoing.send(world.horizon)
        assert len(recorder.messages()) == 3
    assert set(world.states().values()) == {"sent"}


def test_a_campaign_that_is_still_planned_is_waited_for(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunks_of(monkeypatch, 1)
    with SmtpRecorder(tmp_path) as recorder:
        world = world.sending(recorder.port)
        for user in _users(3):
            world.person(user, 13 * DAY)
        world.score()
        world.alert()
        planned, sent = stages.run_campaign(
            world.horizon, "miss_you", stop=threading.Event(), now=world.now,
            on_planned=lambda _: time.sleep(0.3),  # the sender has nothing to do meanwhile
        )  # fmt: skip
        assert planned.figures["planned"] == len(recorder.messages()) == 3
    assert sent.counts == {("miss_you", "sent"): 3}


def _sent_within(world: World, seconds: float) -> bool:
    """Whether a sender comes to its end by itself."""
    stop = threading.Event()
    failed: list[BaseException] = []

    def send() -> None:
        try:
            outgoing.send(world.horizon, stop=stop)
        except BaseException as exc:
            failed.append(exc)

    sending = threading.Thread(target=send)
    sending.start()
    sending.join(seconds)
    ended = not sending.is_alive()
    stop.set()
    sending.join()
    assert [type(one) for one in failed] in ([], [MemoryError])
    return ended


def test_a_domain_that_hung_is_free_again_for_the_other_connections(
    world: World, tmp_path: Path
) -> None:
    hang = {"at": "rcpt", "match": "u0@", "action": "hang"}
    with SmtpRecorder(tmp_path, [hang]) as recorder:
        world = world.sending(
            recorder.port, SMTP_CONNECTIONS=2, SMTP_TIMEOUT_S=1, SMTP_DOMAIN_LIMITS="*=:1"
        )
        world.planned(*_users(12))
        assert _sent_within(world, 10)
        assert len(recorder.messages()) == 11
    assert world.states()["u0"] == "planned"


def test_a_domain_whose_lane_broke_is_free_again_for_the_other_connections(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that had the domain ends with an error; the other does the rest."""
    send, broken = SmtpTransport.send, []

    def send_or_break(self: SmtpTransport, parcels: Any) -> Any:
        if not broken:
            broken.append(1)
            raise MemoryError
        return send(self, parcels)

    monkeypatch.setattr(SmtpTransport, "send", send_or_break)
    with SmtpRecorder(tmp_path) as recorder:
        world = world.sending(
            recorder.port, SMTP_CONNECTIONS=2, SMTP_DOMAIN_LIMITS="example.com=:1"
        )
        world.planned(*_users(12))
        assert _sent_within(world, 10)
        assert len(recorder.messages()) == 12
    assert broken


def test_a_domain_whose_mails_have_left_is_free_while_the_lane_does_others(world: World) -> None:
    assert world.planned(*_users(10), "last@other.org") == 11
    world.rows(
        "UPDATE outbox o SET due_at = due_at + interval '1 minute' FROM messages m"
        " WHERE m.message_id = o.message_id AND m.domain = 'other.org' RETURNING 1"
    )
    limits = DomainLimits(parse_limits("*=:1"))
    common = Common(threading.Event(), Pace(None), lambda _: None, limits=limits)
    with closing_connection(connect(world.horizon.database)) as connection:
        outbox = Outbox(connection, 60)
        one = Lane(outbox, lambda: outbox, _NoChannel(), common, connections=1)
        for _ in range(10):
            one._next_group()
        assert limits.take("example.com", set()) > 0
        one._next_group()
        assert limits.take("example.com", set()) == 0
        assert limits.take("other.org", set()) > 0


class _NoChannel:
    """For what a lane does before it has a transport."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"nobody asked for {name}")
