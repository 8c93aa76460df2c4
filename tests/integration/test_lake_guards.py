"""What guards the lake's rows, each seen to matter: orders, watermarks, what stays."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from horizon import clock
from horizon.errors import LakeError
from horizon.lake import archive, cleaning, compaction, files, standing
from horizon.lake.watermark import watermark_of
from horizon.pipeline import stages
from horizon.postgres.database import Role
from tests.archiving import all_there_once, archived
from tests.lake import LakeWorld
from tests.world import DAY, World


@pytest.fixture
def filled(world: World) -> LakeWorld:
    lake = LakeWorld(world)
    lake.fill(3)
    return lake


def aged(filled: LakeWorld) -> None:
    then = (clock.now() - timedelta(hours=10)).timestamp()
    for path in filled.folder().rglob("*"):
        os.utime(path, (then, then))


def by_another_tool(filled: LakeWorld) -> None:
    """A commit that says nothing of watermarks; its row is one of nobody's."""
    table = filled.table
    row = table.scan().to_arrow().slice(0, 1)
    names = row.column_names
    row = row.set_column(names.index("message_id"), row.schema.field("message_id"), [["theirs"]])
    table.append(row)


def test_a_commit_of_another_tool_is_looked_behind(filled: LakeWorld) -> None:
    before = watermark_of(filled.table)
    by_another_tool(filled)
    assert watermark_of(filled.table) == before
    filled.world.put(filled.world.track("ann", DAY))
    assert filled.archive().figures["events"] == 1
    assert set(archived(filled.world.horizon).values()) == {1}


def test_the_snapshot_that_says_how_far_the_lake_is_stays(filled: LakeWorld) -> None:
    for _ in range(2):
        by_another_tool(filled)
    assert cleaning.expire(filled.table, clock.now() + timedelta(hours=3)) == 2
    filled.world.put(filled.world.track("ann", DAY))
    assert filled.archive().figures["events"] == 1


def test_what_was_committed_since_the_table_was_read_is_not_taken_away(filled: LakeWorld) -> None:
    early, before = filled.table, filled.by_pyiceberg()
    filled.fill(2)
    aged(filled)
    cleaning.remove_unnamed(early, [], clock.now())
    assert filled.by_duckdb() != before
    assert all_there_once(filled.world.horizon)


def test_events_that_went_between_count_and_read_are_told(
    filled: LakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = filled.world
    world.put(*(world.track(f"u{number}", DAY) for number in range(4)))
    plain = archive.statement

    def erased_meanwhile(*values: Any) -> str:
        monkeypatch.setattr(archive, "statement", plain)
        world.change("DELETE FROM events WHERE event_id IN "
                     "(SELECT event_id FROM events WHERE user_id = 'u1' LIMIT 1)")  # fmt: skip
        return plain(*values)

    monkeypatch.setattr(archive, "statement", erased_meanwhile)
    with pytest.raises(LakeError, match="4 events were to be archived and 3 were read"):
        stages.archive(world.horizon, world.now)
    assert len(archived(world.horizon)) == 15
    stages.archive(world.horizon, world.now)
    assert all_there_once(world.horizon)


def test_a_file_is_on_the_disk_before_it_has_its_name_and_the_catalog_knows_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = LakeWorld(world)
    world.put(world.track("ann", DAY))
    done: list[tuple[str, str]] = []
    sync, rename = files._sync, Path.rename

    def synced(path: Path) -> None:
        sync(path)
        done.append(("synced", path.name))

    def renamed(path: Path, to: Path) -> Path:
        done.append(("named", path.name))
        return rename(path, to)

    monkeypatch.setattr(files, "_sync", synced)
    monkeypatch.setattr(Path, "rename", renamed)
    lake.archive()
    monkeypatch.undo()
    named = [at for at, (what, _) in enumerate(done) if what == "named"]
    assert len(named) >= 4  # data, its list, the list of lists, the table's own
    for at in named:
        part = done[at][1]
        assert done[at - 1] == ("synced", part)
        final = next(lake.folder().rglob(part.removeprefix(".").removesuffix(".part")))
        assert done[at + 1] == ("synced", final.parent.name)
    begun = {name for what, name in done if what == "synced"}
    assert {"lake", "horizon", lake.folder().name, "data"} <= begun  # where folders' names stand
    assert all_there_once(world.horizon)


def test_small_is_a_file_that_is_small_in_both(
    filled: LakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    with filled.world.horizon.database.transaction(Role.WORKER) as tx:
        assert standing.look(tx, filled.lake, clock.now()).small_files == 3
        monkeypatch.setattr(standing, "SMALL_EVENTS", 5)
        assert standing.look(tx, filled.lake, clock.now()).small_files == 0


@contextmanager
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def full(self: object, data: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(files._DurableStream, "write", full)
        yield


def test_a_compaction_on_a_full_disk_changes_nothing_and_verify_needs_no_room(
    filled: LakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "FEW", 1)
    before, runner, horizon = filled.by_duckdb(), filled.world.runner, filled.world.horizon
    with full_disk(monkeypatch):
        with pytest.raises(LakeError, match=r"disk is full, so that file://\S+ could not be"):
            runner.run(stages.compact_stage(horizon), clock.now())
        runner.run(stages.verify_stage(horizon), clock.now())
    assert filled.by_duckdb() == before
    (run,) = filled.world.rows("SELECT status, error FROM runs WHERE stage = 'compact'")
    assert run.status == "failed"
    assert "disk is full" in run.error
    assert runner.run(stages.compact_stage(horizon), clock.now()).figures["replaced"] == 3
    assert filled.by_duckdb() == before
