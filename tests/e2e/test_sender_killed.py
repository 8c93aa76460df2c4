"""`kill -9` of the sender at random moments: nobody gets two, nobody is lost, doubt is listed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.servers.smtp_recorder import SmtpRecorder
from tests.world import World

LEASE_S = 1


def _environment(world: World, recorder: SmtpRecorder) -> dict[str, str]:
    settings = world.horizon.settings
    return {
        **os.environ, "PG_DSN": str(settings.PG_DSN), "HORIZON_HOME": settings.HORIZON_HOME,
        "LOG_PATH": settings.LOG_PATH, "SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(recorder.port),
        "SEND_LEASE_S": str(LEASE_S), "SMTP_TIMEOUT_S": "5",
    }  # fmt: skip


def _horizon(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "horizon.cli", *arguments]


def _sending_now(world: World) -> set[str]:
    return {
        str(row.message_id)
        for row in world.rows("SELECT message_id FROM outbox WHERE state = 'sending'")
    }


@pytest.mark.slow  # test_faults.py kills senders, PostgreSQL and the mail server every time
@pytest.mark.parametrize(("people", "kills"), [(120, 3), (500, 20)])
def test_killed_senders_send_nothing_twice_and_lose_nothing(
    world: World, tmp_path: Path, people: int, kills: int
) -> None:
    chance = random.Random(people)
    world.planned(*(f"user{number:04}" for number in range(people)))
    in_doubt: set[str] = set()
    with SmtpRecorder(tmp_path, [{"at": "content", "action": "slow", "seconds": 0.02}]) as recorder:
        environment = _environment(world, recorder)
        killed = 0
        while killed < kills:
            before = len(recorder.messages())
            sender = subprocess.Popen(_horizon("send"), env=environment, stdout=subprocess.DEVNULL)
            while len(recorder.messages()) == before and sender.poll() is None:
                time.sleep(0.005)
            if sender.poll() is not None:  # all is claimed by one that was killed: wait it out
                assert sender.returncode == 0
                time.sleep(LEASE_S / 4)
                continue
            time.sleep(chance.uniform(0, 0.15))
            sender.kill()
            sender.wait()
            killed += 1
            time.sleep(0.1)  # what the server was still taking
            in_doubt |= _sending_now(world)
        for _ in range(2):
            time.sleep(LEASE_S + 0.2)
            subprocess.run(_horizon("send"), env=environment, check=True, stdout=subprocess.DEVNULL)
        received = Counter(message["rcpt"][0] for message in recorder.messages())

    states = {
        row.to_addr: row
        for row in world.rows("SELECT message_id, to_addr, status FROM notifications_log")
    }
    known = {address for address, row in states.items() if row.status != "unknown"}
    unknown = {str(row.message_id) for row in states.values() if row.status == "unknown"}
    assert len(states) == people
    assert {states[address].status for address in known} == {"sent"}
    assert all(received[address] == 1 for address in known)
    assert max(received.values()) == 1
    assert unknown <= in_doubt
    listed = subprocess.run(
        _horizon("message", "list", "--status", "unknown", "--json", "--limit", "1000"),
        env=environment, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert {row["message_id"] for row in json.loads(listed.stdout)} == unknown
    print(
        f"planned {people}, kills {kills}, received {len(received)}, twice 0, unknown {len(unknown)}"
    )


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_told_to_stop_a_sender_leaves_nothing_in_doubt(
    world: World, tmp_path: Path, number: signal.Signals
) -> None:
    world.planned(*(f"user{number:04}" for number in range(60)))
    with SmtpRecorder(tmp_path, [{"at": "content", "action": "slow", "seconds": 0.05}]) as recorder:
        environment = _environment(world, recorder)
        sender = subprocess.Popen(
            _horizon("send"), env=environment, stdout=subprocess.PIPE, text=True
        )
        recorder.wait_for(3)
        sender.send_signal(number)
        said, _ = sender.communicate(timeout=20)
        left = len(recorder.messages())
        states = Counter(row.status for row in world.rows("SELECT status FROM messages"))
        assert states == {"sent": left, "planned": 60 - left}
        assert f"{60 - left} wait" in said
        subprocess.run(_horizon("send"), env=environment, check=True, stdout=subprocess.DEVNULL)
        received = Counter(message["rcpt"][0] for message in recorder.messages())
    assert len(received) == received.total() == 60
