"""Pause, resume, stop, rehearse, settle."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from uuid import uuid4

import pytest

from horizon import clock
from horizon.campaigns import stage as campaigns
from horizon.delivery.outbox import Outbox, settle
from horizon.errors import UsageError
from horizon.pipeline import outgoing, stages
from horizon.postgres.database import Role, closing_connection
from tests.servers.smtp_recorder import SmtpRecorder
from tests.world import DAY, World, chunks_of


def _set(world: World, status: str) -> int:
    with world.horizon.database.transaction(Role.WORKER) as tx:
        return campaigns.set_status(tx, "miss_you", status, clock.now())


def test_paused_nothing_leaves_and_resumed_all_does(world: World, tmp_path: Path) -> None:
    with SmtpRecorder(tmp_path) as recorder:
        world = world.sending(recorder.port)
        world.planned("ann", "bob")
        _set(world, "paused")
        outgoing.send(world.horizon)
        assert recorder.messages() == []
        assert set(world.states().values()) == {"planned"}
        _set(world, "active")
        outgoing.send(world.horizon)
        assert len(recorder.messages()) == 2


def test_paused_while_it_is_sent(world: World, tmp_path: Path) -> None:
    """What was claimed before the pause does not leave after it, and is not lost."""
    with SmtpRecorder(tmp_path, [{"at": "content", "action": "slow", "seconds": 0.1}]) as recorder:
        world = world.sending(recorder.port, SMTP_CONNECTIONS=1)
        world.planned(*(f"u{number}" for number in range(20)))
        sending = threading.Thread(target=lambda: outgoing.send(world.horizon))
        sending.start()
        recorder.wait_for(2)
        _set(world, "paused")
        sending.join()
        left = len(recorder.messages())
        assert 2 <= left < 20
        states = list(world.states().values())
        assert (states.count("sent"), states.count("planned")) == (left, 20 - left)
        _set(world, "active")
        outgoing.send(world.horizon)
        received = [message["rcpt"][0] for message in recorder.messages()]
    assert len(received) == len(set(received)) == 20


def test_stopped_what_waited_is_cancelled_and_nothing_is_planned(world: World) -> None:
    world.planned("ann", "bob")
    assert _set(world, "stopped") == 2
    world.person("cid", 13 * DAY)
    world.score()
    world.alert()
    with world.horizon.database.transaction(Role.WORKER) as tx:
        assert campaigns.active(tx) == ["confirm_consent", "good_activity"]
    assert set(world.states().values()) == {"cancelled"}


def test_an_unknown_campaign_is_named(world: World) -> None:
    with (
        world.horizon.database.transaction(Role.WORKER) as tx,
        pytest.raises(UsageError, match="miss_yuo"),
    ):
        campaigns.set_status(tx, "miss_yuo", "paused", clock.now())


def test_a_rehearsal_tells_everybody_s_verdict_and_writes_nothing(world: World) -> None:
    world.person("yes", 13 * DAY)
    world.person("no", 13 * DAY, consent=False)
    world.score()
    world.alert()
    lines = world.horizon.settings.log_path.read_text()
    runs = world.rows("SELECT * FROM runs")
    decisions = stages.rehearse_campaign(world.horizon, "miss_you", world.now).decisions
    told = {one["user_id"]: (one["status"], one["reason"]) for one in decisions}
    assert told == {"yes": ("planned", None), "no": ("skipped", "refused")}
    assert world.rows("SELECT FROM messages") == []
    assert world.rows("SELECT * FROM runs") == runs
    assert world.horizon.settings.log_path.read_text() == lines


@pytest.mark.parametrize(("status", "alert"), [("sent", "NOTIFIED"), ("failed", "NEW")])
def test_an_unknown_message_is_settled_once(world: World, status: str, alert: str) -> None:
    world.planned("ann")
    with closing_connection(
        world.horizon.database.connect(Role.WORKER, autocommit=True)
    ) as connection:
        outbox = Outbox(connection, 0.2)
        (message_id,) = outbox.claim()
        assert not settle(connection, message_id, status)
        outbox.turn([], [message_id])
        threading.Event().wait(0.3)
        outbox.expire()
        assert settle(connection, message_id, status)
        assert not settle(connection, message_id, "sent")
        assert not settle(connection, uuid4(), "sent")
    assert world.states() == {"ann": status}
    assert [row.status for row in world.rows("SELECT status FROM alerts")] == [alert]
    events = len(world.rows("SELECT FROM events WHERE name = 'Message Sent'"))
    assert events == (1 if status == "sent" else 0)


def test_a_rate_is_kept_over_all_connections(world: World, tmp_path: Path) -> None:
    with SmtpRecorder(tmp_path) as recorder:
        world = world.sending(recorder.port)
        world.planned(*(f"u{number}" for number in range(21)))
        started = time.monotonic()
        outgoing.send(world.horizon, rate=20)
        took_s = time.monotonic() - started
        assert len(recorder.messages()) == 21
    assert 1.0 <= took_s < 4


def test_a_campaign_that_is_stopped_while_it_is_planned_mails_nobody_afterwards(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunks_of(monkeypatch, 1)
    with SmtpRecorder(tmp_path) as recorder:
        world = world.sending(recorder.port)
        for user in ("ann", "bob", "cat"):
            world.person(user, 13 * DAY)
        world.score()
        world.alert()

        def stop(planned: int) -> None:
            if planned == 1:
                with world.horizon.database.transaction(Role.WORKER) as tx:
                    campaigns.set_status(tx, "miss_you", "stopped", world.now)

        stages.plan_campaign(world.horizon, "miss_you", world.now, on_planned=stop)
        assert [row.status for row in world.rows("SELECT status FROM messages")] == ["cancelled"]
        with world.horizon.database.transaction(Role.WORKER) as tx:
            campaigns.set_status(tx, "miss_you", "active", world.now)
        outgoing.send(world.horizon)
        assert recorder.messages() == []
