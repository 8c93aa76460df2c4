"""What is archived: every row once, whenever it commits, whatever stops the run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from horizon.errors import HorizonError
from horizon.lake import archive, commit, writing
from horizon.pipeline import stages
from horizon.postgres.database import Role, closing_connection
from horizon.stage import StageResult
from tests.archiving import all_there_once, archived, lake_of, put_open, take_unlocked, watermark
from tests.world import DAY, NOW, World


def run(world: World) -> StageResult:
    return stages.archive(world.horizon, world.now)


def tracks(world: World, count: int, ago: timedelta = DAY) -> list[dict[str, Any]]:
    return [world.track(f"u{number}", ago) for number in range(count)]


def test_every_row_once_over_several_windows(world: World) -> None:
    assert run(world).figures == {"events": 0, "files": 0, "bytes": 0}
    for number in range(1, 5):
        world.put(*tracks(world, number * 3), received_at=NOW + number * DAY)
        figures = run(world).figures
        assert figures["events"] == number * 3
        assert all_there_once(world.horizon)
    assert run(world).figures["events"] == 0


def test_a_row_is_in_the_lake_as_it_is_in_the_hot_store(world: World) -> None:
    world.put(
        world.identify("ann", DAY, email="ann@example.com", consent=True, first_name="Ann"),
        world.track("bob", 400 * DAY, properties={"price": 1.5, "note": "naïve \u2603 'x'"}),
        {"type": "alias", "userId": "ann", "previousId": "old"},
        {"type": "group", "userId": "ann", "groupId": "g1", "traits": {"plan": "free"}},
        {"type": "page", "anonymousId": "a1", "name": "Start", "timestamp": "not a time"},
    )
    run(world)
    table = lake_of(world.horizon).for_writing()
    found = {row["event_id"]: row for row in table.scan().to_arrow().to_pylist()}
    with world.horizon.database.transaction(Role.OWNER) as tx:
        tx.execute("SET TIME ZONE 'UTC'")
        for row in tx.execute("SELECT *, nodes[1] AS node FROM events").fetchall():
            one = found.pop(row.event_id)
            assert one == {name: getattr(row, name) for name in one}
            assert len(one) == 23
    assert found == {}


def test_files_lie_by_the_day_it_happened_and_are_sorted_by_node(world: World) -> None:
    for days in (1, 2, 40):
        world.put(*tracks(world, 30, days * DAY))
    assert run(world).figures["files"] == 3
    table = lake_of(world.horizon).for_writing()
    for task in table.scan().plan_files():
        rows = writing_of(task.file.file_path)
        nodes = [bytes(node) for node in rows["node"].to_pylist()]
        assert nodes == sorted(nodes)
        assert len({time.date() for time in rows["time"].to_pylist()}) == 1
        assert f"day={rows['time'][0].as_py().date()}" in task.file.file_path


def writing_of(location: str) -> Any:
    import pyarrow.parquet as pq

    table = pq.read_table(location.removeprefix("file://"))
    return {"node": table["node"].combine_chunks().storage, "time": table["time"]}


def test_an_open_transaction_s_rows_come_when_it_commits_and_hold_nothing_up(world: World) -> None:
    world.put(*tracks(world, 1))
    with closing_connection(world.horizon.database.connect(Role.WORKER)) as slow:
        put_open(world, slow, tracks(world, 7))
        for _ in range(3):
            world.put(*tracks(world, 5))
            run(world)
            assert all_there_once(world.horizon)
        slow.commit()
    assert run(world).figures["events"] == 7
    assert all_there_once(world.horizon)


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(archive, "STEP_EVENTS", 4)
    yield


@pytest.fixture
def days_of_three(world: World, small_steps: None) -> World:
    for number in range(5):
        world.put(*tracks(world, 3), received_at=NOW - number * DAY)
    return world


def fail_at(
    monkeypatch: pytest.MonkeyPatch, module: Any, name: str, turn: int, after: bool = False
) -> None:
    """That call fails, before or after it has done its work; the others do theirs."""
    plain: Callable[..., Any] = getattr(module, name)
    turns = iter(range(1, 1000))

    def failing(*values: Any, **more: Any) -> Any:
        mine = next(turns) == turn
        if mine and not after:
            raise OSError(28, "No space left on device", "a/file")
        given = plain(*values, **more)
        if mine:
            raise OSError(28, "No space left on device", "a/file")
        return given

    monkeypatch.setattr(module, name, failing)


@pytest.mark.parametrize(
    ("module", "name", "turn", "after"),
    [(archive, "write", 2, True), (commit, "append", 1, False), (commit, "append", 2, True)],
)
def test_a_failure_between_steps(
    days_of_three: World, monkeypatch: pytest.MonkeyPatch, module: Any, name: str, turn: int, after: bool
) -> None:  # fmt: skip
    world = days_of_three
    with monkeypatch.context() as patched:
        fail_at(patched, module, name, turn, after)
        with pytest.raises(HorizonError, match="a/file"):
            run(world)
    kept = archived(world.horizon)
    assert sum(kept.values()) == 3 * (turn - 1 + (after and name == "append"))
    world.put(*tracks(world, 2), received_at=NOW - DAY)  # a day that is archived already
    run(world)
    assert all_there_once(world.horizon)
    assert watermark(world.horizon).until is None


def test_rows_of_the_default_partition_move_between_steps(
    days_of_three: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = days_of_three
    day = (NOW - 2 * DAY).date()
    part = f"events_{day:%Y%m%d}"
    world.change(f"ALTER TABLE events DETACH PARTITION {part}")
    world.change(f"INSERT INTO events_default SELECT * FROM {part}")
    world.change(f"DROP TABLE {part}")
    with monkeypatch.context() as patched:
        fail_at(patched, archive, "write", 3)
        with pytest.raises(HorizonError):
            run(world)
    world.change("SELECT ensure_partitions(%s, %s)", day, day)
    assert world.rows(f"SELECT count(*) AS count FROM {part}")[0].count == 3
    run(world)
    assert all_there_once(world.horizon)


def test_a_clock_that_jumps_back_loses_nothing(world: World) -> None:
    world.put(*tracks(world, 3), received_at=NOW)
    run(world)
    before = watermark(world.horizon)
    world.put(*tracks(world, 3), received_at=NOW - 300 * DAY)
    world.now = NOW - 300 * DAY
    run(world)
    after = watermark(world.horizon)
    assert all_there_once(world.horizon)
    assert int(after.seen.split(":")[1]) > int(before.seen.split(":")[1])


def test_two_archivers_at_once(days_of_three: World) -> None:
    """The stage's lock lets one in at a time; the second finds the first one's watermark."""
    world = days_of_three
    failed: list[Exception] = []

    def one() -> None:
        try:
            run(world)
        except HorizonError as exc:
            failed.append(exc)

    threads = [threading.Thread(target=one) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert all_there_once(world.horizon)


def test_an_archiver_that_another_one_overtook_adds_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the lock: whoever lost it with its connection goes on writing."""
    world.put(*tracks(world, 6))
    plain = archive.write

    def overtaken(*values: Any) -> Any:
        written = plain(*values)
        monkeypatch.setattr(archive, "write", plain)
        take_unlocked(world.horizon)
        return written

    monkeypatch.setattr(archive, "write", overtaken)
    with pytest.raises(HorizonError, match="did not take the commit"):
        run(world)
    assert all_there_once(world.horizon)


def test_a_commit_whose_answer_was_lost(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from sqlalchemy.exc import OperationalError

    world.put(*tracks(world, 6))
    plain = commit._append

    def lost(*values: Any) -> None:
        plain(*values)
        monkeypatch.setattr(commit, "_append", plain)
        raise OperationalError("COMMIT", {}, Exception("server closed the connection"))

    monkeypatch.setattr(commit, "_append", lost)
    run(world)
    assert all_there_once(world.horizon)


def test_a_failure_leaves_no_files_behind(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.put(*tracks(world, 6))
    world.put(*tracks(world, 6, 3 * DAY))
    fail_at(monkeypatch, writing, "_write_file", 2)
    with pytest.raises(HorizonError):
        run(world)
    folder = Path(lake_of(world.horizon).warehouse.removeprefix("file://"))
    assert list(folder.rglob("*.parquet*")) == []


def test_files_that_hold_something_else_are_not_named(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.put(*tracks(world, 6))
    plain = writing._taken

    def wrong(chunk: Any, one: Any, order: Any) -> Any:
        return plain(chunk, one, order if one.name != "message_id" else order[::-1])

    monkeypatch.setattr(writing, "_taken", wrong)
    with pytest.raises(HorizonError, match="do not hold what was written"):
        run(world)
    assert not archived(world.horizon)
