"""Maintenance changes no row, loses nothing that is committed meanwhile, and takes no file that
somebody may still read."""

from __future__ import annotations

import os
import threading
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyiceberg.exceptions import CommitStateUnknownException
from pyiceberg.table import Table

from horizon import clock
from horizon.errors import LakeError
from horizon.lake import cleaning, compaction, maintenance
from horizon.lake.table import Lake
from horizon.lake.watermark import watermark_of
from horizon.lake.writing import write
from horizon.pipeline import stages
from horizon.postgres.database import Role
from horizon.stage import StageResult
from tests.lake import LakeWorld
from tests.world import World

HOUR = timedelta(hours=1)
FEW = 3
STEPS = FEW + 1
FILES, EVENTS = 2 * STEPS, 10 * STEPS


@pytest.fixture
def filled(world: World, monkeypatch: pytest.MonkeyPatch) -> LakeWorld:
    monkeypatch.setattr(compaction, "FEW", FEW)
    lake = LakeWorld(world)
    lake.fill(STEPS, days=2)
    return lake


def compact(filled: LakeWorld, now: datetime | None = None) -> StageResult:
    return filled.world.runner.run(stages.compact_stage(filled.world.horizon), now or clock.now())


def test_small_files_become_one_a_day_with_the_same_rows(filled: LakeWorld) -> None:
    before, watermark = filled.by_pyiceberg(), watermark_of(filled.table)
    assert before == filled.by_duckdb()
    assert len(filled.files()) == FILES
    figures = compact(filled).figures
    assert (figures["replaced"], figures["files"], figures["events"]) == (FILES, 2, EVENTS)
    assert filled.by_pyiceberg() == filled.by_duckdb() == before
    assert watermark_of(filled.table) == watermark
    assert [count for count, _ in before.values()] == [EVENTS // 2, EVENTS // 2]
    for path in filled.files():
        nodes = filled.table.scan().to_arrow()["node"]
        assert len(nodes) == EVENTS
        assert _nodes(path) == sorted(_nodes(path))


def _nodes(path: Path) -> list[bytes]:
    import pyarrow.parquet as pq

    return [one.bytes for one in pq.read_table(path)["node"].to_pylist()]


def test_the_next_archive_goes_on_where_the_last_one_was(filled: LakeWorld) -> None:
    compact(filled)
    assert filled.archive().figures["events"] == 0
    filled.world.put(filled.world.track("ann", HOUR))
    assert filled.archive().figures["events"] == 1
    assert filled.table.scan().count() == EVENTS + 1


def test_few_files_are_left_alone(filled: LakeWorld) -> None:
    compact(filled)
    filled.fill(FEW - 1)
    assert compact(filled).figures["replaced"] == 0


def test_an_archive_that_commits_meanwhile_loses_nothing(
    filled: LakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits: list[int] = []
    commit = compaction._commit

    def late(table: Table, *files: Any) -> None:
        if len(commits) < 3:
            filled.fill(1)
        commits.append(1)
        commit(table, *files)

    monkeypatch.setattr(compaction, "_commit", late)
    compact(filled)
    assert len(commits) == 4
    assert filled.table.scan().count() == EVENTS + 3 * 5
    assert len(filled.files()) == 2 + 3
    assert filled.archive().figures["events"] == 0


def test_one_that_never_wins_says_so_and_changes_nothing(
    filled: LakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = compaction._commit

    def late(table: Table, *files: Any) -> None:
        filled.fill(1)
        commit(table, *files)

    monkeypatch.setattr(compaction, "_commit", late)
    monkeypatch.setattr(compaction, "TRIES", 3)
    with pytest.raises(LakeError, match="again and again"):
        compact(filled)
    assert filled.table.scan().count() == EVENTS + 3 * 5


def test_two_compactions_at_once_double_nothing(
    filled: LakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one plans, and then the first one commits."""
    before = filled.by_pyiceberg()
    written = compaction.write

    def late(table: Table, rows: Any) -> Any:
        done = written(table, rows)
        monkeypatch.setattr(compaction, "write", write)
        assert list(compaction.compact(filled.lake.for_writing(), FEW))
        return done

    monkeypatch.setattr(compaction, "write", late)
    with pytest.raises(LakeError, match="their work stands"):
        compact(filled)
    assert filled.by_pyiceberg() == before


def test_an_answer_that_was_lost_is_found_out(
    filled: LakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = filled.by_pyiceberg()
    commit = compaction._commit

    def mute(table: Table, *files: Any) -> None:
        commit(table, *files)
        raise CommitStateUnknownException("gone")

    monkeypatch.setattr(compaction, "_commit", mute)
    assert compact(filled).figures["replaced"] == FILES
    assert filled.by_pyiceberg() == before
    assert len(filled.files()) == 2


def test_archives_and_compactions_beside_each_other(filled: LakeWorld) -> None:
    stop = threading.Event()
    failed: list[Exception] = []

    def compacting() -> None:
        while not stop.is_set():
            try:
                list(compaction.compact(filled.lake.for_writing(), few=2))
            except Exception as exc:
                failed.append(exc)
                return

    thread = threading.Thread(target=compacting)
    thread.start()
    try:
        for _ in range(8):
            filled.world.put(filled.world.track("ann", HOUR))
            _until_taken(filled)
    finally:
        stop.set()
        thread.join()
    assert failed == []
    assert filled.table.scan().count() == EVENTS + 8


def _until_taken(filled: LakeWorld) -> None:
    """An archive that loses says so, and the next one takes it."""
    for _ in range(50):
        try:
            filled.archive()
        except Exception as exc:
            assert "did not take the commit" in str(exc)
        else:
            return
    raise AssertionError("the archive never came through")


def aged(filled: LakeWorld, age: timedelta) -> None:
    then = (clock.now() - age).timestamp()
    for path in filled.folder().rglob("*"):
        os.utime(path, (then, then))


def test_old_snapshots_and_their_files_go_and_the_rows_stay(filled: LakeWorld) -> None:
    before = filled.by_pyiceberg()
    compact(filled)
    aged(filled, 10 * HOUR)
    figures = compact(filled, clock.now() + 3 * HOUR).figures
    assert figures["expired"] == STEPS
    assert figures["removed"] > FILES
    table = filled.table
    assert len(table.metadata.snapshots) == 1
    assert len(list((filled.folder() / "data").rglob("*.parquet"))) == 2
    assert filled.by_pyiceberg() == filled.by_duckdb() == before
    filled.fill(2)
    assert filled.table.scan().count() == EVENTS + 10


def test_what_a_running_reader_holds_stays(filled: LakeWorld) -> None:
    reading = filled.table
    compact(filled)
    aged(filled, 10 * HOUR)
    assert compact(filled, clock.now() + HOUR).figures["expired"] == 0
    assert reading.scan().to_arrow().num_rows == EVENTS


def test_an_old_snapshot_that_was_replaced_just_now_may_be_read(filled: LakeWorld) -> None:
    """Its own age says nothing: a reader began on it a minute ago."""
    table = filled.table
    replaced = {
        one.parent_snapshot_id: one.timestamp_ms for one in table.metadata.snapshots
    }  # fmt: skip
    third = table.metadata.snapshots[2]
    just_after = datetime.fromtimestamp((third.timestamp_ms + 1) / 1000, tz=clock.now().tzinfo)
    over = cleaning.over(table, just_after)
    assert third.snapshot_id not in over
    assert [replaced[one] < just_after.timestamp() * 1000 for one in over] == [True, True]


def test_files_of_a_writer_that_has_not_committed_yet_stay(filled: LakeWorld) -> None:
    data = filled.folder() / "data"
    young, old, half = (data / name for name in ("young.parquet", "old.parquet", ".x.part"))
    for path in (young, old, half):
        path.write_bytes(b"x" * 10)
    then = (clock.now() - 7 * HOUR).timestamp()
    for path in (old, half):
        os.utime(path, (then, then))
    figures = compact(filled).figures
    assert (figures["removed"], figures["freed_bytes"]) == (2, 20)
    assert young.exists()
    assert not old.exists()


def test_nothing_is_removed_where_a_list_of_files_cannot_be_read(filled: LakeWorld) -> None:
    aged(filled, 10 * HOUR)
    manifest = filled.table.metadata.snapshots[0].manifests(filled.table.io)[0].manifest_path
    path = Path(manifest.removeprefix("file://"))
    path.write_bytes(b"torn")
    count = len(list(filled.folder().rglob("*")))
    with pytest.raises(LakeError, match=path.name):
        cleaning.remove_unnamed(filled.table, [], clock.now())
    assert len(list(filled.folder().rglob("*"))) == count


def test_nothing_is_removed_for_a_week_after_a_restore(filled: LakeWorld) -> None:
    (filled.folder() / "data" / "old.parquet").write_bytes(b"x")
    aged(filled, 10 * HOUR)
    filled.world.change(
        "INSERT INTO restores VALUES (%s, %s, true)", clock.now(), clock.now() - HOUR
    )
    assert compact(filled).figures["removed"] == 0
    later = clock.now() + timedelta(days=8)
    assert compact(filled, later).figures["removed"] > 0


def test_a_backup_keeps_the_files_that_it_names(filled: LakeWorld) -> None:
    then = filled.table
    filled.world.change(
        "INSERT INTO backups VALUES (%s, %s)", clock.now(), then.metadata_location
    )  # fmt: skip
    compact(filled)
    filled.fill(24)
    aged(filled, 10 * HOUR)
    compact(filled, clock.now() + 3 * HOUR)
    restored = Table.scan(_opened(filled.lake, then.metadata_location))
    assert restored.to_arrow().num_rows == EVENTS
    compact(filled, clock.now() + timedelta(days=31))
    with pytest.raises(FileNotFoundError):
        _opened(filled.lake, then.metadata_location)


def _opened(lake: Lake, location: str) -> Table:
    from pyiceberg.table import StaticTable

    return StaticTable.from_metadata(location, lake.properties)


def test_the_pipeline_does_it_when_there_is_enough(
    filled: LakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    from uuid import uuid4

    horizon = filled.world.horizon
    stages.keep_lake(horizon, None, uuid4())
    assert len(filled.files()) == FILES
    monkeypatch.setattr(maintenance, "DUE_FILES", FEW)
    stages.keep_lake(horizon, None, uuid4())
    assert len(filled.files()) == 2
    with horizon.database.transaction(Role.WORKER) as tx:
        assert not maintenance.is_due(filled.lake, tx, clock.now())


def test_a_lake_that_is_not_there_is_nothing_to_do(world: World) -> None:
    lake = LakeWorld(world)
    assert compact(lake).figures["replaced"] == 0
    assert not (world.horizon.settings.home / "lake").exists()
