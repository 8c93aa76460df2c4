"""Events on their way: in order, none lost, and no stage waits for them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from horizon.observe.lineage.courier import Courier, Delivered, open_courier
from horizon.observe.lineage.delivery import AwayError, NullTarget, open_target
from horizon.observe.lineage.queue import Queue, queue_of
from horizon.observe.lineage.runs import QueuedLineage
from horizon.pipeline import stages
from horizon.pipeline.installation import open_installation
from horizon.pipeline.processes import environment_of
from horizon.settings import Settings
from tests.e2e.horizon_command import Command
from tests.servers.http_recorder import HttpRecorder, Request, answer
from tests.world import NOW

DATABASE = ("postgres://localhost:5432", "shop")

KILLED = """
import os, sys
from datetime import UTC, datetime
from pathlib import Path
from horizon.observe.lineage.queue import Queue
from horizon.observe.lineage.runs import QueuedLineage
lineage = QueuedLineage(Queue(Path(sys.argv[1])), ("postgres://localhost:5432", "shop"))
with lineage.run("score", datetime.now(UTC)):
    os.kill(os.getpid(), 9)
"""


@pytest.fixture
def queue(settings: Settings) -> Queue:
    return queue_of(settings)


def fill(queue: Queue, runs: int) -> list[tuple[str, str]]:
    """Runs as a stage tells of them: (run, event) in their order."""
    lineage = QueuedLineage(queue, DATABASE)
    expected = []
    for _ in range(runs):
        run = uuid4()
        with lineage.run("score", NOW, run_id=run):
            pass
        expected += [(str(run), "START"), (str(run), "COMPLETE")]
    return expected


def received(requests: Sequence[Request]) -> list[tuple[str, str]]:
    """A sender that is killed leaves half a request behind: that one was not received."""
    whole = [one for one in requests if len(one.body) == int(one.headers["content-length"])]
    events = [json.loads(request.body) for request in whole]
    return [(event["run"]["runId"], event["eventType"]) for event in events]


def courier(settings: Settings, server: HttpRecorder, queue: Queue, **more: Any) -> Courier:
    chosen = settings.changed(LINEAGE_TO=f"http://{server.place}", **more)
    return open_courier(chosen, open_target(chosen), queue)


def test_events_are_posted_in_their_order(settings: Settings, queue: Queue) -> None:
    expected = fill(queue, 10)
    with HttpRecorder() as server:
        sent = courier(settings, server, queue, LINEAGE_API_KEY="opensesame").flush()
    assert sent == Delivered(20, 0)
    assert received(server.requests) == expected
    request = server.requests[0]
    assert (request.method, request.path) == ("POST", "/api/v1/lineage")
    assert request.headers["authorization"] == "Bearer opensesame"
    assert request.headers["content-type"] == "application/json"
    assert queue.parts() == {}


def test_a_server_that_fails_for_a_while_gets_everything(
    settings: Settings, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("horizon.observe.lineage.courier.FIRST_WAIT_S", 0.01)
    expected = fill(queue, 10)
    said: list[str] = []
    stop = threading.Event()
    troubles = [answer(500), answer(503), answer(429), answer(401), lambda _: None, answer(500)]
    with HttpRecorder([answer(200), answer(201), *troubles, answer(200), answer(502)]) as server:
        one = courier(settings, server, queue)
        thread = threading.Thread(target=one.serve, args=(stop, said.append))
        thread.start()
        wait_until(lambda: queue.waiting() == 0)
        stop.set()
        thread.join()
    taken = [
        pair for number, pair in enumerate(received(server.requests))
        if number not in {2, 3, 4, 5, 6, 7, 9}
    ]  # fmt: skip
    assert taken == expected
    assert len(server.requests) == 20 + 7
    assert len(said) == 2, "one sentence for each time it goes away"
    assert "answered 500: look at LINEAGE_TO and LINEAGE_API_KEY" in said[0]


def wait_until(true: Any, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_what_is_refused_for_good_is_kept_with_the_reason(settings: Settings, queue: Queue) -> None:
    expected = fill(queue, 2)
    queue.append(b"no line of ours")
    with HttpRecorder([answer(200), answer(422)]) as server:
        one = courier(settings, server, queue)
        assert one.flush() == Delivered(3, 2)
    assert received(server.requests) == expected
    kept = [json.loads(line) for line in one.refused_path.read_text().splitlines()]
    assert [entry["why"].partition(":")[0] for entry in kept] == [
        "127.0.0.1 answered 422", "it is no line of the queue",
    ]  # fmt: skip
    assert json.loads(kept[0]["line"])["run"] == expected[1][0]


def test_what_is_refused_takes_no_more_disk_than_it_may(
    settings: Settings, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("horizon.observe.lineage.courier.REFUSED_BYTES", 10_000)
    fill(queue, 30)
    with HttpRecorder([answer(400)] * 60) as server:
        one = courier(settings, server, queue)
        assert one.flush() == Delivered(0, 60)
    sizes = [path.stat().st_size for path in queue.folder.glob("refused.*")]
    assert len(sizes) == 2
    assert max(sizes) < 11_000


def test_an_address_that_nobody_answers_at_keeps_everything(
    settings: Settings, queue: Queue
) -> None:
    fill(queue, 1)
    with HttpRecorder() as server:
        one = courier(settings, server, queue)
    with pytest.raises(AwayError, match="look at LINEAGE_TO"):
        one.flush()
    assert queue.waiting() == 2


def test_two_couriers_do_not_deliver_twice(settings: Settings, queue: Queue) -> None:
    fill(queue, 1)
    with queue.locked(".courier") as held:
        assert held
        assert open_courier(settings, NullTarget(), queue).flush() is None
    assert open_courier(settings, NullTarget(), queue).flush() == Delivered(2, 0)


def test_a_killed_run_is_aborted(settings: Settings, queue: Queue) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(queue.folder)], check=False)
    assert done.returncode == -signal.SIGKILL
    with HttpRecorder() as server, QueuedLineage(queue, DATABASE).run("alert", NOW):
        courier(settings, server, queue).flush()
        courier(settings, server, queue).flush()
    events = [json.loads(request.body) for request in server.requests]
    told = [(event["job"]["name"], event["eventType"]) for event in events]
    assert told == [("score", "START"), ("alert", "START"), ("score", "ABORT")]
    assert events[0]["run"]["runId"] == events[2]["run"]["runId"]


def test_a_server_that_hangs_slows_no_stage(settings: Settings) -> None:
    stop = threading.Event()
    hang = [lambda _: stop.wait(60)] * 3
    with HttpRecorder(hang) as server:
        chosen = settings.changed(LINEAGE_TO=f"http://{server.place}")
        horizon = open_installation(chosen)
        one = open_courier(chosen, open_target(chosen))
        thread = threading.Thread(target=one.serve, args=(stop, lambda _: None))
        thread.start()
        plain = replace(horizon, settings=settings)
        horizon.runner.run(stages.score_stage(settings), NOW)
        wait_until(lambda: server.requests)
        told_s, plain_s = (
            min(timed(one) for _ in range(5)) for one in (horizon, plain)
        )  # fmt: skip
        stop.set()
        server.stopped.set()
    thread.join()
    assert len(server.requests) == 1, "it hung all the while"
    assert told_s < plain_s + 0.1


def timed(horizon: Any) -> float:
    started = time.monotonic()
    horizon.runner.run(stages.score_stage(horizon.settings), NOW)
    return time.monotonic() - started


@pytest.mark.slow
def test_a_killed_courier_sends_again_and_leaves_nothing_out(settings: Settings) -> None:
    """kill -9 at 6 moments of sending: what is new of each arrives in its order."""
    with HttpRecorder() as server:
        chosen = settings.changed(LINEAGE_TO=f"http://{server.place}")
        queue = queue_of(chosen)
        expected = fill(queue, 100)
        environment = {
            **os.environ,
            **environment_of(chosen),
        }
        for kill in range(7):
            process = subprocess.Popen(
                [sys.executable, "-m", "horizon.observe.lineage"], env=environment,
                stdout=subprocess.DEVNULL,
            )  # fmt: skip
            enough = len(server.requests) + 20
            wait_until(lambda enough=enough: len(server.requests) > enough or not queue.waiting())
            process.send_signal(signal.SIGKILL if kill < 6 else signal.SIGTERM)
            process.wait()
            if not queue.waiting():
                break
        courier(settings, server, queue).flush()
    arrived = received(server.requests)
    assert list(dict.fromkeys(arrived)) == expected
    assert len(arrived) <= len(expected) + 6, "at most one again a kill"


def test_the_events_of_a_file_are_lines(settings: Settings, queue: Queue, tmp_path: Path) -> None:
    expected = fill(queue, 3)
    path = tmp_path / "lineage.jsonl"
    chosen = settings.changed(LINEAGE_TO=f"file:{path}")
    open_courier(chosen, open_target(chosen), queue).flush()
    events = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(event["run"]["runId"], event["eventType"]) for event in events] == expected


def test_a_mistyped_file_makes_no_folder_and_takes_nothing(
    settings: Settings, queue: Queue, tmp_path: Path
) -> None:
    fill(queue, 1)
    chosen = settings.changed(LINEAGE_TO=f"file:{tmp_path}/lineag/events.jsonl")
    with pytest.raises(AwayError, match=r"There is no folder .*/lineag for lineage: make it"):
        open_courier(chosen, open_target(chosen), queue).flush()
    assert queue.waiting() == 2
    assert not (tmp_path / "lineag").exists()


def test_another_target_takes_what_was_queued_only_when_told_to(
    settings: Settings, tmp_path: Path
) -> None:
    old = settings.changed(LINEAGE_TO="http://127.0.0.1:9")
    expected = fill(queue_of(old), 2)
    path = tmp_path / "lineage.jsonl"
    command = Command(tmp_path, settings, LINEAGE_TO=f"file:{path}")
    told = command("lineage", "flush").stderr
    assert "0 events delivered" in told
    assert "4 events wait for what LINEAGE_TO was before: set it back, or `horizon lineage" in told
    assert not path.exists()
    name = queue_of(old).name
    assert "4 events delivered.\n" in command("lineage", "flush", "--queue", name).stderr
    events = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(event["run"]["runId"], event["eventType"]) for event in events] == expected
    done = command("lineage", "flush", "--queue", name)
    assert done.returncode == 2
    assert "There is no queue" in done.stderr
