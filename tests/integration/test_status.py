"""`horizon status`, once and watched: last runs, lags, and what is waited for."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from horizon import clock
from horizon.errors import DatabaseError
from horizon.pipeline import processes, stages
from horizon.pipeline.runner import Stage
from horizon.pipeline.standing import StageStanding, look, serving_pid
from horizon.postgres.database import Connection, Role
from horizon.settings import Settings
from horizon.stage import StageResult, Window
from tests.e2e.horizon_command import Command
from tests.world import DAY, World


@pytest.fixture
def command(tmp_path: Path, settings: Settings) -> Command:
    return Command(tmp_path, settings)


def standing(world: World) -> dict[str, StageStanding]:
    with world.horizon.database.transaction(Role.WORKER) as tx:
        return {one.stage: one for one in look(tx, world.horizon.settings, clock.now())}


def test_before_the_first_run(world: World) -> None:
    late = clock.now() - timedelta(minutes=5)
    world.put(world.track("ann", DAY), received_at=late)
    found = standing(world)
    assert list(found) == [
        "identity", "archive", "score", "alert", "campaign", "email", "seal", "retention",
    ]  # fmt: skip
    assert {one.result for one in found.values()} == {"never ran"}
    assert found["identity"].lag == "1 event, 5 min"
    assert found["identity"].waits_for == "`horizon up`, which does not run"


def test_after_a_run_and_with_something_new(world: World) -> None:
    world.now = clock.now()
    world.person("ann", 13 * DAY)
    stages.score(world.horizon)
    found = standing(world)
    assert found["identity"].lag == "none"
    assert found["score"].result == "done: 1 high, 1 user"
    assert found["score"].took.endswith(" s")
    with processes.only_one(world.horizon.settings.home):
        assert serving_pid(world.horizon.settings.home) is not None
        found = standing(world)
    assert found["identity"].waits_for.startswith("something new; its turn at ")
    assert serving_pid(world.horizon.settings.home) is None
    world.put(world.track("ann", DAY))
    assert standing(world)["identity"].lag.startswith("1 event, ")


def test_a_run_that_failed_and_one_that_was_killed(world: World) -> None:
    def fail(tx: Connection, window: Window) -> StageResult:
        raise DatabaseError("the disk is full: free some.")

    with pytest.raises(DatabaseError):
        world.runner.run(Stage("score", "scorer", fail))
    one = standing(world)["score"]
    assert one.result == "failed: the disk is full: free some."
    assert one.waits_for.endswith("and for what its error names")
    with world.horizon.database.transaction(Role.OWNER) as tx:
        tx.execute("UPDATE runs SET status = 'started', finished_at = NULL, error = NULL")
    one = standing(world)["score"]
    assert one.result == "killed"
    assert "the last run was killed" in one.waits_for


def test_who_holds_a_stage_s_lock(world: World) -> None:
    go_on, begun = threading.Event(), threading.Event()

    def slow(tx: Connection, window: Window) -> StageResult:
        begun.set()
        go_on.wait(20)
        return StageResult({})

    first = threading.Thread(target=world.runner.run, args=(Stage("score", "scorer", slow),))
    second = threading.Thread(target=world.runner.run, args=(Stage("score", "scorer", slow),))
    first.start()
    assert begun.wait(20)
    one = standing(world)["score"]
    assert (one.result, one.waits_for) == ("running", "nothing: it runs now")
    second.start()
    until = time.monotonic() + 10
    while "1 run until" not in standing(world)["score"].waits_for:
        assert time.monotonic() < until
    told = standing(world)["score"].waits_for
    go_on.set()
    first.join()
    second.join()
    assert told.startswith("1 run until database process ")
    assert told.endswith("(horizon_worker) ends its own")
    assert standing(world)["alert"].waits_for == "`horizon up`, which does not run"


def test_what_keeps_the_mails(world: World) -> None:
    world.now = clock.now()
    for name in ("ann", "bob", "cam"):
        world.person(name, 13 * DAY)
    stages.score(world.horizon)
    world.runner.run(stages.alert_stage(world.horizon.settings))
    stages.plan_campaign(world.horizon, "miss_you")
    assert standing(world)["email"].lag.startswith("3 due, ")
    with world.horizon.database.transaction(Role.OWNER) as tx:
        tx.execute(
            "UPDATE outbox SET due_at = 'infinity' WHERE message_id = (SELECT min(message_id::text)::uuid FROM outbox)"
        )
        tx.execute(
            "UPDATE outbox SET state = 'sending' WHERE message_id = (SELECT max(message_id::text)::uuid FROM outbox)"
        )
    one = standing(world)["email"]
    assert "answers to 1 under way" in one.waits_for
    assert "1 are due" in one.waits_for
    assert "a breaker holds 1" in one.waits_for
    with world.horizon.database.transaction(Role.OWNER) as tx:
        tx.execute("UPDATE campaigns SET status = 'paused' WHERE campaign = 'miss_you'")
    found = standing(world)
    assert "3 are of a paused campaign" in found["email"].waits_for
    assert found["campaign"].waits_for.endswith("; paused: miss_you")


def test_as_json_and_as_a_table(command: Command, world: World) -> None:
    stages.score(world.horizon)
    (told,) = json.loads(command("status", "--json").stdout)
    assert [one["stage"] for one in told["stages"]][:2] == ["identity", "archive"]
    assert {"stages", "runs", "messages", "breakers", "forwards", "hubs"} == set(told)
    table = command("status").stdout
    assert "waits_for" in table
    assert "No message yet." in table


def test_without_a_database_one_sentence(command: Command, free_port: Callable[[], int]) -> None:
    dsn = f"postgresql://nobody:hidden@127.0.0.1:{free_port()}/none"
    done = command("status", PG_DSN=dsn)
    assert done.returncode == 1
    assert done.stderr.startswith("horizon: The database does not answer")
    assert done.stderr.count("\n") == 1


@contextmanager
def watching(command: Command, **environment: str) -> Iterator[Callable[[str], str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "horizon.cli", "status", "--watch"],
        cwd=command.folder, env={**command.environment, **environment}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    said: queue.Queue[str] = queue.Queue()
    reader = threading.Thread(target=lambda: [said.put(one) for one in process.stdout or ()])
    reader.start()

    def line(part: str) -> str:
        while part not in (found := said.get(timeout=30)):
            pass
        return found

    try:
        yield line
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        reader.join()
        with process.stdout, process.stderr:  # type: ignore[union-attr]
            assert process.stderr.read() == ""  # type: ignore[union-attr]


def test_watched_off_a_terminal_it_tells_a_line_a_change(command: Command, world: World) -> None:
    with watching(command) as line:
        assert "waits for `horizon up`" in line("score: never ran")
        stages.score(world.horizon)
        assert "last run 20" in line("score: done")


def test_watched_it_outlives_the_database(command: Command, free_port: Callable[[], int]) -> None:
    with watching(command, PG_DSN=f"postgresql://x@127.0.0.1:{free_port()}/none") as line:
        line("The database does not answer")
