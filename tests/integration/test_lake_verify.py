"""Verify finds what is damaged, missing, double or another, and says where."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from horizon import clock
from horizon.errors import LakeError
from horizon.lake.schema import NAMES
from horizon.lake.table import QUERIES
from horizon.lake.verify import DUCKDB, Verified
from horizon.lake.watermark import watermark_of
from horizon.lake.writing import write
from horizon.pipeline import stages
from horizon.postgres.database import Role
from tests.lake import LakeWorld
from tests.world import DAY, NOW, World

DAYS = [(NOW - ago * DAY).date() for ago in (2, 1, 0)]


@pytest.fixture
def filled(world: World) -> LakeWorld:
    """Three days of receipt, of which each has a step of its own; of all kinds of events."""
    lake = LakeWorld(world)
    for ago in (2, 1, 0):
        received = NOW - ago * DAY
        world.put(
            *(world.track(f"user{number}", ago * DAY + number * timedelta(hours=7)) for number in range(9)),
            world.identify("ann", email="ann@example.com", consent=True, city="Łódź\u2028 ,{}\""),
            {"type": "group", "userId": "ann", "groupId": "g", "traits": {"a": None}},
            {"type": "alias", "userId": "ann", "previousId": "old"},
            {"type": "page", "anonymousId": "x", "timestamp": "not a time", "properties": {"a": [1, {}]}},
            {"type": "track", "event": "old", "userId": "b", "timestamp": "1969-12-31T23:59:59.999999Z"},
            {"type": "track", "event": "far", "userId": "b", "timestamp": "9999-12-31T23:59:59.123457Z"},
            received_at=received,
        )  # fmt: skip
        lake.archive()
    return lake


def verified(filled: LakeWorld, since: date | None = None) -> Verified:
    found: list[Verified] = []
    stage = stages.verify_stage(filled.world.horizon, since, found.append)
    try:
        filled.world.runner.run(stage, clock.now())
    except LakeError:
        assert found, "it was broken before it compared"
    return found[0]


def complaint(filled: LakeWorld) -> str:
    with pytest.raises(LakeError) as caught:
        filled.world.runner.run(stages.verify_stage(filled.world.horizon), clock.now())
    assert "\n" not in str(caught.value)
    return str(caught.value)


def agreed(filled: LakeWorld) -> dict[date, int]:
    return {row.day: row.events for row in filled.world.rows("SELECT day, events FROM lake_days")}


def test_both_compute_the_same_over_all_kinds_of_rows(filled: LakeWorld) -> None:
    found = verified(filled)
    assert [(one.day, one.lake.events, one.differs) for one in found.days] == [
        (day, 15, "") for day in DAYS
    ]
    assert all(one.hot == one.lake for one in found.days)
    assert agreed(filled) == dict.fromkeys(DAYS, 15)


def test_every_field_is_compared() -> None:
    for name in NAMES:
        assert name in DUCKDB["sums"]
        assert name in QUERIES["day_sums"] or name == "node"


def test_nothing_is_there_yet(world: World) -> None:
    assert verified(LakeWorld(world)).days == []


def test_what_is_not_archived_yet_is_no_difference(filled: LakeWorld) -> None:
    filled.world.put(filled.world.track("late", DAY))
    assert verified(filled).differing == []
    filled.archive()
    assert verified(filled).differing == []
    assert agreed(filled)[DAYS[2]] == 16


def test_a_transaction_that_commits_late_is_no_gap(filled: LakeWorld) -> None:
    with filled.world.horizon.database.transaction(Role.WORKER) as late:
        late.execute(
            "INSERT INTO events (event_id, source_id, message_id, type, nodes, time, received_at, "
            "trusted, activity, era) SELECT gen_random_uuid(), source_id, 'late', type, nodes, time, "
            "received_at, trusted, activity, era FROM events ORDER BY received_at LIMIT 1"
        )
        filled.world.put(filled.world.track("other", DAY))
        filled.archive()
        assert verified(filled).differing == []
    assert verified(filled).differing == []
    filled.archive()
    assert verified(filled).differing == []
    assert agreed(filled) == {DAYS[0]: 16, DAYS[1]: 15, DAYS[2]: 16}


@contextmanager
def changing(filled: LakeWorld) -> Iterator[Any]:
    """A commit beside Horizon, which repeats the watermark."""
    table = filled.table
    said = watermark_of(table).properties()
    with table.transaction() as change:
        yield lambda: change.update_snapshot(snapshot_properties=said).overwrite()


def of_day(filled: LakeWorld, day: date) -> Any:
    """A file with events of that day of receipt alone: each was archived by itself."""
    for task in filled.table.scan().plan_files():
        path = Path(task.file.file_path.removeprefix("file://"))
        received = pq.read_table(path, columns=["received_at"])["received_at"].to_pylist()
        if {at.date() for at in received} == {day}:
            return task.file
    raise AssertionError(day)


def test_a_gap_names_the_day(filled: LakeWorld) -> None:
    verified(filled)
    file = of_day(filled, DAYS[1])
    with changing(filled) as overwrite, overwrite() as gap:
        gap.delete_data_file(file)
    said = complaint(filled)
    assert f"{DAYS[1]} (the lake has {file.record_count} fewer than the hot store)" in said
    assert set(agreed(filled)) == {DAYS[0], DAYS[2]}


def test_a_double_names_the_day(filled: LakeWorld) -> None:
    rows = filled.table.scan().to_arrow()
    one = rows.filter(pc.equal(pc.cast(rows["received_at"], pa.date32()), DAYS[0])).slice(0, 1)
    with changing(filled) as overwrite, overwrite() as double:
        for file in write(filled.table, one.to_batches()).files:
            double.append_data_file(file)
    assert f"{DAYS[0]} (the lake has 1 more than the hot store)" in complaint(filled)


def test_another_value_names_the_day(filled: LakeWorld) -> None:
    rows = filled.world.rows("SELECT event_id FROM events WHERE type = 'page' ORDER BY received_at")
    filled.world.change(
        "UPDATE events SET properties = properties || ' ' WHERE event_id = %s", rows[2].event_id
    )
    assert f"{DAYS[2]} (the same number, and some differ in a field)" in complaint(filled)
    assert set(agreed(filled)) == {DAYS[0], DAYS[1]}


def test_a_damaged_file_is_named_and_the_others_are_compared(filled: LakeWorld) -> None:
    for path in filled.files():
        whole = path.read_bytes()
        for damaged in (whole[: len(whole) // 2], b"", b"PAR1" + bytes(len(whole) - 8) + b"PAR1"):
            path.write_bytes(damaged)
            said = complaint(filled)
            assert path.name in said
            assert "damaged" in said
        path.write_bytes(whole)
    assert verified(filled).differing == []


def test_any_flipped_byte_is_found(filled: LakeWorld) -> None:
    """By its file or by its day. In what is no value (a page's statistics) a flip changes nothing,
    and of so small a file that is a third."""
    path = filled.files()[0]
    whole = path.read_bytes()
    end = len(whole) - int.from_bytes(whole[-8:-4], "little") - 8  # the footer begins here
    found = 0
    places = range(10, end, max(1, end // 25))
    for place in places:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        try:
            filled.world.runner.run(stages.verify_stage(filled.world.horizon), clock.now())
        except LakeError as exc:
            assert path.name in str(exc) or "differ" in str(exc)
            found += 1
    assert found >= len(places) * 0.6


def test_a_missing_file_is_named(filled: LakeWorld) -> None:
    path = filled.files()[0]
    path.unlink()
    said = complaint(filled)
    assert f"{path.name} is missing" in said
    assert "bring it back" in said


def test_a_list_of_files_that_is_missing_is_named(filled: LakeWorld) -> None:
    table = filled.table
    snapshot = table.current_snapshot()
    assert snapshot is not None
    for location in (snapshot.manifests(table.io)[0].manifest_path, snapshot.manifest_list):
        path = Path(location.removeprefix("file://"))
        kept = path.with_suffix(".kept")
        shutil.move(path, kept)
        assert f"{path.name} is missing" in complaint(filled)
        path.write_bytes(b"Obj\x01torn")
        assert f"{path.name} is damaged" in complaint(filled)
        shutil.move(kept, path)
    assert verified(filled).differing == []


def test_a_day_that_left_the_hot_store_is_compared_with_what_was_agreed(filled: LakeWorld) -> None:
    verified(filled)
    filled.world.change("DELETE FROM events WHERE received_at < %s", NOW - DAY)
    assert verified(filled).differing == []
    with changing(filled) as overwrite, overwrite() as gap:
        gap.delete_data_file(of_day(filled, DAYS[0]))
    for _ in range(2):
        assert f"{DAYS[0]} (the lake has" in complaint(filled)
        assert agreed(filled)[DAYS[0]] == 15


def test_a_day_that_nobody_agreed_on_and_only_the_lake_has(filled: LakeWorld) -> None:
    filled.world.change("DELETE FROM events WHERE received_at < %s", NOW - DAY)
    assert "only the lake has it" in complaint(filled)


def test_some_days_alone(filled: LakeWorld) -> None:
    found = verified(filled, DAYS[2])
    assert [one.day for one in found.days] == [DAYS[2]]
    assert set(agreed(filled)) == {DAYS[2]}


def test_of_a_file_with_events_of_several_days_the_others_are_left_alone(world: World) -> None:
    lake = LakeWorld(world)
    for ago in (2, 0):
        world.put(world.track("ann", 2 * DAY), received_at=NOW - ago * DAY)
    lake.archive()
    assert len(lake.files()) == 1
    found = verified(lake, DAYS[2])
    assert [(one.day, one.lake.events, one.differs) for one in found.days] == [(DAYS[2], 1, "")]


def test_what_agrees_is_noted_though_a_file_is_broken(filled: LakeWorld) -> None:
    path = Path(of_day(filled, DAYS[1]).file_path.removeprefix("file://"))
    path.unlink()
    complaint(filled)
    assert set(agreed(filled)) == {DAYS[0], DAYS[2]}


def test_agreed_is_since_when_it_is_the_same(filled: LakeWorld) -> None:
    verified(filled)
    query = f"SELECT agreed_at, verified_at FROM lake_days WHERE day = '{DAYS[2]}'"
    (first,) = filled.world.rows(query)
    verified(filled)
    (second,) = filled.world.rows(query)
    assert second.agreed_at == first.agreed_at
    assert second.verified_at > first.verified_at
    filled.world.put(filled.world.track("late", DAY))
    filled.archive()
    verified(filled)
    (third,) = filled.world.rows(query)
    assert third.agreed_at > first.agreed_at


def test_a_run_that_found_something_is_marked_failed(filled: LakeWorld) -> None:
    filled.files()[0].unlink()
    complaint(filled)
    (run,) = filled.world.rows("SELECT status, error FROM runs WHERE stage = 'verify'")
    assert run.status == "failed"
    assert "is missing" in run.error
