"""Lineage delivered: by hand, and by `horizon up`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from horizon.settings import Settings
from tests.e2e.horizon_command import Command, wait_until
from tests.openlineage import check_event
from tests.servers.http_recorder import HttpRecorder


@pytest.fixture
def command(tmp_path: Path, settings: Settings) -> Command:
    return Command(tmp_path, settings, PIPELINE_CRON="* * * * * *")


@pytest.mark.slow
def test_flush_says_what_it_did(command: Command, tmp_path: Path) -> None:
    off = command("lineage", "flush")
    assert off.returncode == 2
    assert "LINEAGE_TO is off" in off.stderr
    nobody = {"LINEAGE_TO": "http://127.0.0.1:1"}
    assert command("score", **nobody).returncode == 0
    away = command("lineage", "flush", **nobody)
    assert away.returncode == 1
    assert away.stderr.endswith("look at LINEAGE_TO. 4 events wait; none is lost.\n")
    command.environment["LINEAGE_TO"] = "console"
    other = command("lineage", "flush")  # what waits for one target goes to no other by itself
    assert (other.returncode, other.stdout) == (0, "")
    found = re.search(r"`horizon lineage flush --queue (\S+)` delivers them", other.stderr)
    assert found
    flushed = command("lineage", "flush", "--queue", found[1])
    assert flushed.stderr == "horizon: 4 events delivered.\n"
    events = [json.loads(line) for line in flushed.stdout.splitlines()]
    assert [(event["job"]["name"], event["eventType"]) for event in events] == [
        ("identity", "START"), ("identity", "COMPLETE"), ("score", "START"), ("score", "COMPLETE"),
    ]  # fmt: skip


@pytest.mark.slow
def test_up_delivers_by_itself(command: Command) -> None:
    with HttpRecorder() as server:
        command.environment["LINEAGE_TO"] = f"http://{server.place}"
        with command.up():
            wait_until(lambda: "pipeline" in ended(server), 60)
        jobs = ended(server)
    assert {"identity", "score", "alert", "campaign", "email", "pipeline"} <= jobs


def ended(server: HttpRecorder) -> set[str]:
    events = [json.loads(one.body) for one in server.requests if one.body]
    return {event["job"]["name"] for event in events if event["eventType"] == "COMPLETE"}


@pytest.mark.slow
def test_the_demo_tells_of_every_stage(tmp_path: Path, settings: Settings) -> None:
    """Each of its runs begins and ends once, in events that OpenLineage's schemas take."""
    path = tmp_path / "lineage.jsonl"
    command = Command(tmp_path, settings, LINEAGE_TO=f"file:{path}")
    assert command("demo").returncode == 0
    assert command("lineage", "flush").returncode == 0
    runs: dict[str, list[str]] = {}
    for line in path.read_text().splitlines():
        event = json.loads(line)
        check_event(event)
        name = f"{event['job']['name']} {event['run']['runId']}"
        runs.setdefault(name, []).append(event["eventType"])
    assert set(map(tuple, runs.values())) == {("START", "COMPLETE")}
    jobs = {name.split()[0] for name in runs}
    assert jobs == {
        "ingest", "identity", "archive", "score", "alert", "campaign", "email", "seal",
        "pipeline",
    }  # fmt: skip
