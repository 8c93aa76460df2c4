"""Senders, PostgreSQL and the mail server killed in turn: nobody gets two, nobody is lost."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from pathlib import Path

import pytest

from horizon.delivery.outbox import GROUP
from tests.e2e.under_fire import CONNECTIONS, OUTCOME, TARGETS, UnderFire, own_server
from tests.servers.smtp_recorder import SmtpRecorder

SENDERS = 4
# Taken and not yet answered: the moment in which a second try would be a second mail. Of one mail in
# ten, since a server that is slow with each would get small groups.
TAKES_ITS_TIME = {
    "at": "content", "match": "7@", "action": "slow", "seconds": 0.003, "record": True,
}  # fmt: skip
SEED = int(os.environ.get("FAULTS_SEED", "4"))


@pytest.mark.parametrize(
    ("people", "kills", "lease_s"),
    [(900, 3, 4), pytest.param(20_000, 50, 10, marks=pytest.mark.slow)],
)
def test_whatever_is_killed_each_mail_leaves_once_and_doubt_is_bounded(
    tmp_path: Path, people: int, kills: int, lease_s: int
) -> None:
    chance, started = random.Random(SEED), time.monotonic()
    with (
        SmtpRecorder(tmp_path, [TAKES_ITS_TIME]) as recorder,
        own_server(tmp_path, recorder.port, lease_s) as (pg, horizon),
    ):
        fire = UnderFire(horizon, pg, recorder, chance, SENDERS)
        fire.plan(people)
        try:
            for number, moment in enumerate(sorted(chance.sample(range(people * 3 // 4), kills))):
                fire.wait_for(moment)
                fire.kill(TARGETS[number % len(TARGETS)])
            fire.finish()
        finally:
            fire.stop()
        _judge(fire, people)
        _tell(fire, people, time.monotonic() - started)


def _judge(fire: UnderFire, people: int) -> None:
    outcome = {str(row.message_id): row for row in fire.rows(OUTCOME)}
    states = Counter(row.status for row in outcome.values())
    received = Counter(_message_id(mail) for mail in fire.recorder.messages())
    assert len(outcome) == people
    assert set(states) <= {"sent", "unknown", "skipped"}
    assert set(received) <= set(outcome)
    assert [message_id for message_id, times in received.items() if times > 1] == []
    for message_id, row in outcome.items():
        if row.status != "unknown":
            assert received[message_id] == (row.status == "sent"), row
        assert (row.status == "skipped") == (row.profile_id % 100 == 0), row
    doubt = Counter(row.sender for row in outcome.values() if row.reason == "sender_stopped")
    broken = sum(row.reason == "connection_broke" for row in outcome.values())
    for number, in_doubt in fire.killed_senders.items():
        assert doubt[number] <= in_doubt <= CONNECTIONS * GROUP
    # PostgreSQL's end takes no sender with it: each still tells what left, when it is back.
    assert set(doubt) <= set(fire.killed_senders)
    assert broken <= SENDERS * CONNECTIONS * fire.kills["the mail server"]


def _tell(fire: UnderFire, people: int, took_s: float) -> None:
    outcome = fire.rows(OUTCOME)
    states = Counter(row.status for row in outcome)
    reasons = Counter(row.reason for row in outcome if row.status == "unknown")
    arrived = {_message_id(mail) for mail in fire.recorder.messages()}
    of_unknown = sum(str(row.message_id) in arrived for row in outcome if row.status == "unknown")
    killed = ", ".join(f"{fire.kills[target]} of {target}" for target in TARGETS)
    print(
        f"\nplanned {people}, kills {fire.kills.total()} ({killed}), senders {fire.started}, "
        f"received {len(arrived)}, twice 0, lost 0, skipped {states['skipped']}, unknown "
        f"{states['unknown']} ({dict(reasons)}; {of_unknown} of them received), most in doubt "
        f"after a kill {max(fire.killed_senders.values(), default=0)} of {CONNECTIONS * GROUP}, "
        f"{took_s:.0f} s"
    )


def _message_id(mail: dict[str, str]) -> str:
    return mail["message_id"].strip("<>").partition("@")[0]
