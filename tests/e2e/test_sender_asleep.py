"""A sender that sleeps past its lease while another takes over; four told to stop at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.servers.smtp_recorder import SmtpRecorder
from tests.world import World

LEASE_S = 1.5
PEOPLE = 60


@contextmanager
def _sender(world: World, recorder: SmtpRecorder, *options: str) -> Iterator[subprocess.Popen[str]]:
    settings = world.horizon.settings
    environment = {
        **os.environ, "PG_DSN": str(settings.PG_DSN), "HORIZON_HOME": settings.HORIZON_HOME,
        "LOG_PATH": settings.LOG_PATH, "SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(recorder.port),
        "SEND_LEASE_S": str(LEASE_S), "SMTP_CONNECTIONS": "1",
    }  # fmt: skip
    sender = subprocess.Popen(
        [sys.executable, "-m", "horizon.cli", "send", *options], env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        yield sender
    finally:
        if sender.poll() is None:
            sender.kill()
        sender.communicate()


def _run(world: World, recorder: SmtpRecorder) -> None:
    with _sender(world, recorder) as sender:
        assert sender.wait(60) == 0


def _received(recorder: SmtpRecorder) -> Counter[str]:
    return Counter(mail["rcpt"][0] for mail in recorder.messages())


def _states(world: World) -> Counter[str]:
    return Counter(row.status for row in world.rows("SELECT status FROM notifications_log"))


def _claims(world: World) -> set[object]:
    rows = world.rows("SELECT claim FROM outbox UNION SELECT claim FROM messages")
    return {row.claim for row in rows} - {None}


def _wait_until(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _no_to_all(world: World) -> None:
    world.rows(
        "INSERT INTO suppressions SELECT DISTINCT address_hash, '*', 'manual', now() FROM messages"
        " ON CONFLICT DO NOTHING RETURNING 1"
    )


# With a rate a group leaves at once: 20 of 100 a second, one of four a second. Stopped after so
# many mails, a sender of 100/s is in the middle of a group; one of four a second holds claims, or
# is just recording what it sent, with locks on its rows.
@pytest.mark.parametrize(
    ("rate", "mails"),
    [("100/s", 9), *(pytest.param(*one, marks=pytest.mark.slow)
                     for one in (("4/s", 1), ("4/s", 2), ("4/s", 5), ("100/s", 1), ("100/s", 27)))],
)  # fmt: skip
def test_a_sender_asleep_past_its_lease_sends_nothing_again(
    world: World, tmp_path: Path, rate: str, mails: int
) -> None:
    world.planned(*(f"user{number:04}" for number in range(PEOPLE)))
    with SmtpRecorder(tmp_path, [{"at": "content", "action": "slow", "seconds": 0.04}]) as recorder:
        with _sender(world, recorder, "--rate", rate) as asleep:
            recorder.wait_for(mails, 30)
            asleep.send_signal(signal.SIGSTOP)
            time.sleep(LEASE_S + 0.3)
            begun = _states(world)["sending"]
            _run(world, recorder)
            taken_over = len(recorder.messages())
            # One at most was just being recorded, which keeps its row from everybody else.
            assert begun - 1 <= _states(world)["unknown"] <= begun
            assert taken_over >= PEOPLE - begun
            asleep.send_signal(signal.SIGCONT)
            # 1: it slept within a transaction, which the server ended, and told what it knew.
            assert asleep.wait(30) in (0, 1)
        _run(world, recorder)
        received = _received(recorder)
    # It knows what it did and did not send, so that in the end nothing is in doubt.
    assert _states(world) == {"sent": PEOPLE}
    assert len(received) == received.total() == PEOPLE
    assert (begun > 1) == (rate == "100/s")


@pytest.mark.slow  # test_lane.py asks again at a slow server every time
def test_what_it_had_begun_is_asked_again_when_it_wakes(world: World, tmp_path: Path) -> None:
    """Everybody says no while it sleeps: what it was handing over is all that may still arrive.

    A content travels with the next one's envelope: asleep right before, it goes on with both.
    """
    world.planned(*(f"user{number:04}" for number in range(PEOPLE)))
    with SmtpRecorder(tmp_path, [{"at": "content", "action": "slow", "seconds": 0.04}]) as recorder:
        with _sender(world, recorder, "--rate", "100/s") as asleep:
            recorder.wait_for(5, 30)
            asleep.send_signal(signal.SIGSTOP)
            time.sleep(LEASE_S + 0.3)
            before = len(recorder.messages())
            _no_to_all(world)
            asleep.send_signal(signal.SIGCONT)
            assert asleep.wait(30) in (0, 1)
        _run(world, recorder)
        received = _received(recorder)
    assert len(received) == received.total() <= before + 2
    assert _states(world) == {"sent": len(received), "skipped": PEOPLE - len(received)}


@pytest.mark.slow
def test_four_told_to_stop_at_once_leave_nothing_in_doubt(world: World, tmp_path: Path) -> None:
    world.planned(*(f"user{number:04}" for number in range(PEOPLE)))
    with SmtpRecorder(tmp_path, [{"at": "content", "action": "slow", "seconds": 0.1}]) as recorder:
        with ExitStack() as stack:
            senders = [
                stack.enter_context(_sender(world, recorder, "--rate", "5/s")) for _ in range(4)
            ]
            _wait_until(lambda: len(_claims(world)) == 4 and recorder.messages())
            for sender in senders:
                sender.send_signal(signal.SIGTERM)
            assert [sender.wait(20) for sender in senders] == [0] * 4
        left = len(recorder.messages())
        assert _states(world) == {"sent": left, "planned": PEOPLE - left}
        assert left < PEOPLE
        assert world.rows("SELECT FROM outbox WHERE claim IS NOT NULL") == []
        _run(world, recorder)
        received = _received(recorder)
    assert len(received) == received.total() == PEOPLE
