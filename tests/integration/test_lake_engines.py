"""Every definition says the same on PostgreSQL and on DuckDB, whatever lies where."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from horizon.errors import LakeError
from horizon.lake.engines import engine_of
from horizon.lake.engines.duckdb import DuckDB
from horizon.lake.files import local_path
from horizon.pipeline import stages
from tests.lake_worlds import (
    SCORES,
    archive,
    asked,
    files_read,
    lake_of,
    postgres_says,
    rest,
    score_parameters,
    view_of,
)
from tests.world import DAY, NOW, World

NODES = [UUID(int=(n + 1) << 120 | n) for n in range(6)]
SPANS = st.integers(-3 * 86_400_000_000, 60 * 86_400_000_000).map(
    lambda micros: timedelta(microseconds=micros)
)


@dataclass(frozen=True)
class Happened:
    nodes: tuple[int, ...]
    ago: timedelta
    late: timedelta  # received so long after
    activity: bool
    archived: int  # with which archive: 0, 1; 2 stays hot


EVENTS = st.builds(
    Happened,
    nodes=st.lists(st.integers(0, 5), min_size=1, max_size=3, unique=True).map(tuple),
    ago=SPANS,
    late=st.sampled_from([timedelta(0), timedelta(seconds=5), 3 * DAY, -timedelta(hours=5)]),
    activity=st.sampled_from([True, True, True, False]),
    archived=st.integers(0, 2),
)
# Whose each node is: a profile, or why it is dead.
OWNERS = st.lists(st.sampled_from([1, 1, 2, 3, "hub", "blocked", "erased"]), min_size=6, max_size=6)


@given(
    events=st.lists(EVENTS, max_size=25),
    before=OWNERS,
    owners=OWNERS,
    rested=st.sampled_from([None, 15 * DAY, 30 * DAY]),
    ago=st.sampled_from([0 * DAY, 2 * DAY, 20 * DAY]),
    days=st.sampled_from([0.5, 14, 29.25]),
)
@hypothesis_settings(
    max_examples=12,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_the_engine_says_what_postgresql_says(
    world: World,
    events: list[Happened],
    before: list[Any],
    owners: list[Any],
    rested: timedelta | None,
    ago: timedelta,
    days: float,
) -> None:
    """Dead nodes, merges, late events and early ones, a now in the past, archived in steps or hot."""
    _empty(world)
    _map(world, before)
    for step in range(3):
        _store(world, [one for one in events if one.archived == step])
        if step < 2:
            archive(world)
        if step == 0 and rested is not None:
            rest(world, NOW - rested)
    _map(world, owners)
    asks = score_parameters(NOW - ago, days)
    expected = postgres_says(world, SCORES, asks)
    assert asked(world, SCORES, asks) == expected
    assert asked(world, SCORES, asks, at_rest_before=asks["since"]) == expected


def _empty(world: World) -> None:
    world.change("TRUNCATE events, nodes, profiles, iceberg_tables CASCADE")


def _map(world: World, owners: list[Any]) -> None:
    world.change("DELETE FROM nodes")
    for node, owner in zip(NODES, owners, strict=True):
        dead = owner if isinstance(owner, str) else None
        world.change(
            "INSERT INTO nodes (node, kind, value, profile_id, dead, first_seen)"
            " VALUES (%s, 'user_id', %s, %s, %s, %s)",
            node, str(node), 1 if dead == "erased" else None if dead else owner, dead,
            NOW - 25 * DAY + (node.int % 7) * DAY * 4,
        )  # fmt: skip


def _store(world: World, events: list[Happened]) -> None:
    for one in events:
        time = NOW - one.ago
        world.change(
            "INSERT INTO events (event_id, source_id, message_id, type, nodes, time, received_at, trusted,"
            " activity, era) VALUES (gen_random_uuid(), 1, 'm', 'track', %s, %s, %s, true, %s, %s)",
            [NODES[n] for n in one.nodes], time, time + one.late, one.activity, world.horizon.era(),
        )  # fmt: skip


def test_a_score_is_of_the_lake_and_of_what_is_hot(world: World) -> None:
    world.put(*(world.track(f"u{n}", n * DAY) for n in range(20)))
    archive(world)
    world.put(*(world.track(f"u{n}", n * DAY / 2) for n in range(10, 30)))
    world.score()
    view = view_of(world)
    assert (view.tail.num_rows, sum(file.rows for part in view.lake for file in part.files)) == (
        20,
        20,
    )
    assert world.scores()["u9"] == pytest.approx(9 / 14)
    assert world.scores()["u12"] == pytest.approx(6 / 14)
    assert asked(world, SCORES, score_parameters()) == postgres_says(
        world, SCORES, score_parameters()
    )


def test_files_behind_the_window_stay_unread(world: World) -> None:
    world.put(*(world.track(f"u{n}", (n % 40) * DAY) for n in range(80)))
    world.identify_all()
    archive(world)
    asks = score_parameters()
    assert rest(world, NOW - 15 * DAY) == 48
    rested = view_of(world, at_rest_before=asks["since"])
    assert files_read(view_of(world)) == 40
    assert files_read(rested) == 16 + 1  # 15 days, today, and the summary
    # What comes late to one of those days is read, until the next summary has it.
    world.put(world.track("u39", 30 * DAY))
    world.identify_all()
    archive(world)
    late = view_of(world, at_rest_before=asks["since"])
    assert files_read(late) == 18
    expected = postgres_says(world, SCORES, asks)
    assert asked(world, SCORES, asks, at_rest_before=asks["since"]) == expected
    rest(world, NOW - 15 * DAY)
    assert files_read(view_of(world, at_rest_before=asks["since"])) == 17
    assert asked(world, SCORES, asks, at_rest_before=asks["since"]) == expected


def test_a_now_in_the_past_reads_all_files(world: World) -> None:
    world.put(*(world.track(f"u{n}", n * DAY) for n in range(40)))
    world.identify_all()
    archive(world)
    rest(world, NOW - 15 * DAY)
    asks = score_parameters(NOW - 5 * DAY)
    assert files_read(view_of(world, at_rest_before=asks["since"])) == 40
    assert asked(world, SCORES, asks) == postgres_says(world, SCORES, asks)


def test_rows_that_somebody_took_away_are_in_no_summary(world: World) -> None:
    world.put(world.track("ann", 20 * DAY), world.track("bob", 1 * DAY))
    world.identify_all()
    archive(world)
    rest(world, NOW - 15 * DAY)
    lake_of(world).for_writing().delete("time < '2026-06-01T00:00:00+00:00'")
    since = score_parameters()["since"]
    view = view_of(world, at_rest_before=since)
    assert sum(file.rows for part in view.lake for file in part.files) == 1


def _one_file(world: World) -> Path:
    world.put(*(world.track(f"u{n}", 1 * DAY) for n in range(2000)))
    world.score()
    archive(world)
    (part,) = view_of(world).lake
    path = local_path(part.files[0].location)
    assert path is not None
    return path


@pytest.mark.parametrize("harm", ["missing", "cut", "damaged"])
def test_a_bad_file_is_named_and_the_last_scores_stay(world: World, harm: str) -> None:
    path = _one_file(world)
    world.now += 3 * DAY
    whole = path.read_bytes()
    if harm == "missing":
        path.unlink()
    elif harm == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    else:
        path.write_bytes(whole[:4] + bytes(len(whole) // 2) + whole[4 + len(whole) // 2 :])
    before = world.scores()
    with pytest.raises(LakeError, match=path.name):
        world.score()
    assert world.scores() == before
    (last,) = world.rows(
        "SELECT status, error FROM runs WHERE stage = 'score' ORDER BY started_at DESC LIMIT 1"
    )
    assert last.status == "failed"
    assert path.name in last.error
    path.write_bytes(whole)
    world.score()
    assert world.scores() != before


def test_a_missing_list_of_files_is_named(world: World) -> None:
    path = _one_file(world)
    (manifests,) = (path.parents[2] / "metadata").glob("snap-*.avro")
    manifests.unlink()
    with pytest.raises(LakeError, match=manifests.name):
        world.score()


def test_no_extension_is_ever_fetched(world: World, tmp_path: Path) -> None:
    engine = engine_of(world.horizon.settings.changed(ENGINE_SPILL=str(tmp_path / "spill")))
    view = view_of(world)
    for query in ("SELECT * FROM read_json('https://127.0.0.1:1/x.json')", "SELECT st_point(1, 2)"):
        with pytest.raises(LakeError):
            engine.run(query, view, {})
    assert not list((Path.home() / ".duckdb").rglob("*.duckdb_extension"))


def test_a_query_larger_than_memory_finishes(tmp_path: Path, world: World) -> None:
    """60 MB of different values, sorted, with 50 MB for all: what does not fit lies in a folder."""
    spill, no_folder = tmp_path / "spill", tmp_path / "file"
    no_folder.touch()
    rows = "SELECT md5(cast(i AS text)) AS value FROM generate_series(1, 1500000) AS t(i)"
    ranked = f"SELECT value, row_number() OVER (ORDER BY value) AS place FROM ({rows}) r"
    # Both columns are asked for, or the sort would be left out.
    query = f"SELECT count(*) AS n, min(value) AS least FROM ({ranked}) s WHERE place > 0"
    found = DuckDB(50_000_000, spill).run(query, view_of(world), {})
    assert found.to_pylist() == [{"n": 1_500_000, "least": "0000104cd168386a335ba6bf6e32219d"}]
    assert not spill.exists() or not list(spill.iterdir())
    with pytest.raises(LakeError, match=no_folder.name):
        DuckDB(50_000_000, no_folder / "spill").run(query, view_of(world), {})


def test_maintenance_makes_the_summary(world: World) -> None:
    world.put(*(world.track(f"u{n}", n * DAY) for n in range(40)))
    world.identify_all()
    archive(world)
    world.runner.run(stages.compact_stage(world.horizon), world.now)
    asks = score_parameters()
    assert files_read(view_of(world, at_rest_before=asks["since"])) == 17
    assert asked(world, SCORES, asks, at_rest_before=asks["since"]) == postgres_says(
        world, SCORES, asks
    )


def test_a_summary_whose_file_is_gone_is_not_missed(world: World) -> None:
    world.put(*(world.track(f"u{n}", n * DAY) for n in range(40)))
    archive(world)
    rest(world, NOW - 15 * DAY)
    since = score_parameters()["since"]
    (summary, _) = view_of(world, at_rest_before=since).lake
    path = local_path(summary.files[0].location)
    assert path is not None
    path.unlink()
    assert files_read(view_of(world, at_rest_before=since)) == 40
