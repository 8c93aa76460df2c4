"""What a sender that slept, or lost its database, tells about the messages it had."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from horizon.delivery.outbox import Outbox, Result, connect, settle
from horizon.delivery.rules import Verdict
from horizon.pipeline import outgoing
from horizon.postgres.database import closing_connection
from tests.servers.smtp_recorder import SmtpRecorder
from tests.world import World


def test_a_sender_stopped_within_a_step_holds_up_nobody(world: World) -> None:
    """Its session is ended by the server, and what it had not committed is anybody's again."""
    world.planned("ann", "bob")
    with (
        closing_connection(connect(world.horizon.database)) as one,
        closing_connection(connect(world.horizon.database)) as two,
    ):
        two.execute("SET lock_timeout = '20s'")  # so that this fails, and does not hang
        shown = one.execute("SHOW idle_in_transaction_session_timeout").fetchone()
        assert shown == ("5s",)
        one.execute("SET idle_in_transaction_session_timeout = '1s'")  # as true, and sooner
        stopped, awake = Outbox(one, 0.2), Outbox(two, 60)
        first, _ = stopped.claim()
        stopped.turn([], [first])
        threading.Event().wait(0.3)
        ended = psycopg.errors.IdleInTransactionSessionTimeout
        with pytest.raises(ended), one.transaction():  # as if stopped within it
            one.execute("SELECT FROM outbox FOR UPDATE")
            assert awake.expire() == []  # at once: a locked row is somebody's work
            begun = time.monotonic()
            while not (expired := awake.expire()) and time.monotonic() < begun + 20:
                time.sleep(0.2)
            assert [row.message_id for row in expired] == [first]
            stopped.claim()
        assert one.broken  # so that the lane opens another, and tells what it knows
        assert len(awake.claim()) == 1


def test_who_wakes_past_the_lease_says_what_did_not_leave(world: World) -> None:
    """Called unknown meanwhile, it is planned again; what a person settled stays so."""
    world.planned("ann", "bob")
    with closing_connection(connect(world.horizon.database)) as one:
        slow = Outbox(one, 0.2)
        begun, _ = slow.turn([], slow.claim())
        threading.Event().wait(0.3)
        assert len(slow.expire()) == 2
        assert settle(one, begun[0].message_id, "failed")
        slow.turn([Result(message, Verdict("planned", None), None) for message in begun], [])
        assert sorted(world.states().values()) == ["failed", "planned"]
        assert slow.claim() == [begun[1].message_id]
        (again,), _ = slow.turn([], [begun[1].message_id])
        slow.turn([Result(again, Verdict("sent", None), "250 ok")], [])
    assert sorted(world.states().values()) == ["failed", "sent"]


def test_a_begin_whose_answer_was_lost_leaves_nothing_in_doubt(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL committed and died before it said so: what had not left is given back."""
    turn, lost = Outbox.turn, []

    def turn_then_die(self: Outbox, results: Any, message_ids: Any) -> Any:
        done = turn(self, results, message_ids)
        if message_ids and not lost:
            lost.extend(message_ids)
            self.connection.pgconn.finish()
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        return done

    monkeypatch.setattr(Outbox, "turn", turn_then_die)
    with SmtpRecorder(tmp_path) as recorder:
        world.planned("ann", "bob")
        world = world.sending(recorder.port, SMTP_CONNECTIONS=1)
        with pytest.raises(psycopg.OperationalError):
            outgoing.send(world.horizon)
        assert set(world.states().values()) == {"planned"}
        assert world.rows("SELECT FROM outbox WHERE claim IS NOT NULL") == []
        outgoing.send(world.horizon)
        assert len(recorder.messages()) == 2
    assert set(world.states().values()) == {"sent"}
