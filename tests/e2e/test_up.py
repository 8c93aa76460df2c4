"""``horizon up``: from an event over HTTP to a mail in the catcher, by itself; and what if killed."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import urllib.request
from pathlib import Path

import pytest

from horizon import clock
from horizon.postgres.database import Role
from horizon.settings import Settings
from tests.e2e.horizon_command import Command, wait_until
from tests.world import DAY, World

EVERY_SECOND = "* * * * * *"


@pytest.fixture
def command(tmp_path: Path, settings: Settings) -> Command:
    return Command(tmp_path, settings, PIPELINE_CRON=EVERY_SECOND)


def _post(command: Command, key: str, *items: dict[str, object]) -> None:
    request = urllib.request.Request(
        f"http://127.0.0.1:{command.environment['COLLECTOR_PORT']}/v1/batch",
        json.dumps({"batch": items}).encode(),
        {"Authorization": "Basic " + base64.b64encode(f"{key}:".encode()).decode()},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert json.load(answer)["success"] is True


def _mails(command: Command) -> list[dict[str, object]]:
    url = f"http://127.0.0.1:{command.environment['CATCHER_PAGE_PORT']}/api/mails"
    with urllib.request.urlopen(url, timeout=10) as answer:
        return list(json.load(answer))


def _children(process: subprocess.Popen[str]) -> list[str]:
    return Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()


def _command_line(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:  # it has ended since
        return ""


def test_an_event_becomes_one_mail_by_itself(command: Command, world: World) -> None:
    world.now = clock.now()
    key = command("source", "add", "shop").stdout.split(": ")[1].split()[0]
    with command.up():
        _post(
            command, key,
            {**world.identify("ann", 20 * DAY, email="ann@example.com", consent=True), "messageId": "1"},
            {**world.track("ann", 13 * DAY), "messageId": "2"},
        )  # fmt: skip
        wait_until(lambda: _mails(command))
        runs = len(world.rows("SELECT FROM runs WHERE stage = 'score' AND status = 'done'"))
        wait_until(
            lambda: (
                len(world.rows("SELECT FROM runs WHERE stage = 'score' AND status = 'done'"))
                > runs + 1
            )
        )
        (mail,) = _mails(command)
        assert mail["to"] == "ann@example.com" or mail["to"] == ["ann@example.com"]
    assert [row.status for row in world.rows("SELECT status FROM alerts")] == ["NOTIFIED"]


@pytest.mark.slow
def test_killed_with_kill_9_it_leaves_nobody_behind(command: Command) -> None:
    with command.up() as process:
        children = _children(process)
        assert len(children) == 7  # two collectors, worker, API, console, mail catcher, metrics
        process.send_signal(signal.SIGKILL)
        process.wait()
        wait_until(lambda: not any(Path(f"/proc/{child}").exists() for child in children))
    with command.up() as again:
        assert again.poll() is None


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["horizon.edge", "horizon.catcher", "horizon.pipeline.worker", "horizon.observe.metrics"],
)
def test_a_child_that_dies_is_started_again(command: Command, name: str) -> None:
    with command.up() as process:

        def child() -> set[str]:
            return {pid for pid in _children(process) if name in _command_line(pid)}

        before = child()
        first = min(before)
        os.kill(int(first), signal.SIGKILL)
        wait_until(lambda: len(child() - {first}) == len(before))


@pytest.mark.slow
def test_one_collector_of_two_takes_what_the_other_no_longer_can(
    command: Command, world: World
) -> None:
    """What a person sends with a retry, as SDKs do, arrives while one of them is dead."""
    key = command("source", "add", "shop").stdout.split(": ")[1].split()[0]
    with command.up() as process:
        edges = [pid for pid in _children(process) if "horizon.edge" in _command_line(pid)]
        assert len(edges) == 2
        os.kill(int(edges[0]), signal.SIGKILL)
        for number in range(20):  # within the second before it is started again
            event = {**world.track("ann", 0 * DAY), "messageId": f"m{number}"}
            try:
                _post(command, key, event)
            except ConnectionError:  # the dying one had accepted it
                _post(command, key, event)
    assert len(world.rows("SELECT FROM events WHERE user_id = 'ann'")) == 20


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_of_a_run_does_not_stop_the_next(
    command: Command, world: World
) -> None:
    """A job's own lock would be held by a worker that is no more, for good."""

    def runs() -> int:
        return len(world.rows("SELECT FROM runs WHERE stage = 'score' AND status = 'done'"))

    with command.up() as process:
        wait_until(lambda: runs() > 0)
        (worker,) = (pid for pid in _children(process) if "pipeline.worker" in _command_line(pid))
        # A run under way: it waits for a lock that we hold.
        with world.horizon.database.transaction(Role.OWNER) as tx:
            tx.execute("LOCK TABLE nodes IN ACCESS EXCLUSIVE MODE")
            wait_until(lambda: world.rows("SELECT FROM procrastinate_jobs WHERE status = 'doing'"))
            os.kill(int(worker), signal.SIGKILL)
        before = runs()
        wait_until(lambda: runs() > before + 1)
