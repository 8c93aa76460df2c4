"""A disk that takes nothing: no event of lineage is lost, and no stage stops."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest

from horizon.observe.lineage.courier import open_courier
from horizon.observe.lineage.delivery import open_target
from horizon.observe.lineage.kept import DatabaseKept
from horizon.observe.lineage.queue import Queue, queue_of
from horizon.observe.lineage.runs import Fact, QueuedLineage
from horizon.pipeline import stages
from horizon.pipeline.installation import Installation, open_installation
from horizon.postgres.database import Database, Role
from horizon.settings import Settings
from tests.world import NOW

SERVER = ("postgres://localhost:5432", "shop")
FULL_BYTES = 400_000


@contextmanager
def full_disk() -> Iterator[None]:
    """No file of this process grows beyond FULL_BYTES: an OSError, as of a disk without room."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (FULL_BYTES, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def told(settings: Settings, tmp_path: Path) -> Installation:
    """One whose queue has a part that is as large as a file may be."""
    chosen = settings.changed(LINEAGE_TO=f"file:{tmp_path}/lineage.jsonl")
    fill(queue_of(chosen))
    return open_installation(chosen)


def fill(queue: Queue) -> None:
    filler = Fact("COMPLETE", NOW, "filler", uuid4(), NOW, SERVER)
    queue.append(msgspec.json.encode(filler) + b" " * FULL_BYTES)


def delivered(horizon: Installation) -> list[tuple[str, str]]:
    open_courier(horizon.settings, open_target(horizon.settings)).flush()
    path = Path(horizon.settings.LINEAGE_TO.removeprefix("file:"))
    events = [json.loads(line) for line in path.read_text().splitlines()]
    told = [(event["job"]["name"], event["eventType"]) for event in events]
    return [one for one in told if one[0] != "filler"]


def kept(horizon: Installation) -> list[tuple[str, str]]:
    with horizon.database.transaction(Role.OWNER) as tx:
        rows = tx.execute("SELECT line::json FROM lineage_kept ORDER BY kept_id").fetchall()
    return [(row.line["job"], row.line["event"]) for row in rows]


def test_the_database_keeps_what_the_disk_has_no_room_for(
    told: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    with full_disk():
        stages.score(told, NOW)
    expected = [(job, event) for job in ("identity", "score") for event in ("START", "COMPLETE")]
    assert kept(told) == expected
    told_once = capsys.readouterr().err
    assert told_once.count("events of lineage wait in the database, because") == 1
    assert "takes nothing (File too large): free some disk." in told_once
    told.runner.run(stages.alert_stage(told.settings), NOW)
    # What was queued on disk comes first: a run may have begun there and ended here.
    assert delivered(told) == [("alert", "START"), ("alert", "COMPLETE"), *expected]
    assert kept(told) == []
    assert queue_of(told.settings).waiting() == 0


def test_a_run_s_end_goes_where_its_start_went(told: Installation) -> None:
    with full_disk():
        running = told.lineage.run("score", NOW)
        running.__enter__()
    running.__exit__(None, None, None)
    with told.lineage.run("alert", NOW):
        pass
    assert kept(told) == [("score", "START"), ("score", "COMPLETE")]
    assert delivered(told)[2:] == [("score", "START"), ("score", "COMPLETE")]


def test_a_run_that_ends_on_a_full_disk_ends_after_its_start(told: Installation) -> None:
    running = told.lineage.run("score", NOW)
    running.__enter__()
    with full_disk():
        running.__exit__(None, None, None)
    assert kept(told) == [("score", "COMPLETE")]
    assert delivered(told) == [("score", "START"), ("score", "COMPLETE")]


def test_a_full_disk_is_delivered_from(told: Installation) -> None:
    """A killed run's end has no room yet; what is taken away makes some."""
    with told.lineage.run("alert", NOW):
        pass
    dead = told.lineage.run("score", NOW)
    dead.__enter__()
    folder = queue_of(told.settings).folder / "open"
    (was,) = folder.iterdir()
    left = was.read_bytes()
    dead.__exit__(None, None, None)
    was.write_bytes(left)  # as where its process was killed
    begun = [("alert", "START"), ("alert", "COMPLETE"), ("score", "START"), ("score", "COMPLETE")]
    with full_disk():
        assert delivered(told) == begun
    assert delivered(told) == [*begun, ("score", "ABORT")]


def test_what_is_kept_for_another_target_stays(told: Installation) -> None:
    other = DatabaseKept(lambda: told.database, "other")
    assert other.put([b'{"job": "score", "event": "START"}'])
    with told.lineage.run("alert", NOW):
        pass
    assert len(delivered(told)) == 2
    assert kept(told) == [("score", "START")]


def test_where_the_database_is_away_too_the_process_has_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    queue = Queue(tmp_path / "queue")
    fill(queue)
    away = Database("postgresql://127.0.0.1:1/nobody")
    lineage = QueuedLineage(queue, SERVER, DatabaseKept(lambda: away, "here"))
    with full_disk():
        for job in ("identity", "score"):
            with lineage.run(job, NOW):
                pass
    assert queue.waiting() == 1
    assert "wait in this process, and are lost with it, because" in capsys.readouterr().err
    with lineage.run("alert", NOW):
        pass
    lines = [json.loads(line) for line, _ in list(queue.lines())[1:]]
    assert [(line["job"], line["event"]) for line in lines] == [
        (job, event) for job in ("identity", "score", "alert") for event in ("START", "COMPLETE")
    ]
