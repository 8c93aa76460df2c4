"""Spark as an engine: every definition gives on it what DuckDB and PostgreSQL give.

A driver and two executors, each a Java process, so that rows are really shuffled between them. UUIDs
are strings in Spark; a definition that gives one is compared by its text.
"""

from __future__ import annotations

import os
import pkgutil
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

import horizon as package
from horizon.errors import LakeError, UsageError
from horizon.lake.engines.lent import FOLDER
from horizon.lake.engines.spark import Spark
from horizon.postgres.queries import Queries
from horizon.settings import Settings
from tests.lake_worlds import archive, asked, postgres_says, view_of
from tests.servers.s3 import s3_server
from tests.spark import spark_environment as spark_environment
from tests.world import DAY, NOW, World

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")]

PARAMETERS = {
    "now": NOW,
    "since": NOW - 14 * DAY,
    "window_s": 14 * 86400.0,
    "high": 0.7,
    "medium": 0.5,
}


def definitions() -> dict[str, str]:
    """Every one there is, by its name."""
    return {
        f"{module.name}.{name}": Queries(module.name, "definitions.sql")[name]
        for module in pkgutil.walk_packages(package.__path__, "horizon.")
        if module.ispkg and (resources.files(module.name) / "definitions.sql").is_file()
        for name in Queries(module.name, "definitions.sql").names()
    }


# More than the definitions ask for: what an engine might read in another way.
PROBES = {
    "every event": "SELECT node::text AS node, time, received_at, activity FROM events",
    "the map": "SELECT node::text AS node, profile_id, first_seen FROM map",
}
SCORES = definitions()["horizon.scoring.scores"]


@pytest.fixture
def spark(world: World, spark_environment: dict[str, str]) -> Spark:
    return Spark.of(settings_of(world, spark_environment))


def settings_of(world: World, environment: dict[str, str]) -> Settings:
    told = {
        name: value for name, value in environment.items() if name in Settings.__struct_fields__
    }
    return world.horizon.settings.changed(**told)


def generated(world: World, seed: int) -> None:
    """Some in the lake in two appends, some hot; people of several nodes, of which some are dead."""
    chance = random.Random(seed)

    def some(count: int) -> None:
        world.put(*(_any_event(world, chance) for _ in range(count)))
        world.identify_all()

    some(150)
    archive(world)
    some(100)
    archive(world)
    world.change(
        "UPDATE nodes SET dead = 'blocked', profile_id = NULL WHERE node IN "
        "(SELECT node FROM nodes ORDER BY md5(node::text || %s) LIMIT 12)", str(seed)
    )  # fmt: skip
    some(60)


def _any_event(world: World, chance: random.Random) -> dict[str, Any]:
    person = f"user-{chance.randrange(40)}"
    ago = timedelta(microseconds=chance.randrange(-(10**10), 40 * 86400 * 10**6))
    event: dict[str, Any] = world.track(person, ago)
    if chance.random() < 0.5:
        event["anonymousId"] = f"visitor-{chance.randrange(60)}"
    if chance.random() < 0.2:
        event = world.identify(person, ago, email=f"{person}@example.com")
    if chance.random() < 0.2:
        event.pop("userId")
        event["anonymousId"] = f"visitor-{chance.randrange(60)}"
    return event


def test_every_definition_gives_the_same_rows_on_every_engine(world: World, spark: Spark) -> None:
    generated(world, seed=8)
    view = view_of(world)
    assert view.lake and view.tail.num_rows and view.dead.num_rows
    for name, definition in {**definitions(), **PROBES}.items():
        parameters = PARAMETERS if "%(" in definition else {}
        expected = postgres_says(world, definition, parameters)
        assert len(expected) > 30, name
        assert asked(world, definition, parameters) == expected, name
        assert asked(world, definition, parameters, spark) == expected, name
    assert left_in(world) == []


def test_before_the_first_archive_and_where_nobody_is_dead(world: World, spark: Spark) -> None:
    assert asked(world, SCORES, PARAMETERS, spark) == []
    world.people("anna", "bert")
    world.identify_all()
    for _ in range(2):
        expected = postgres_says(world, SCORES, PARAMETERS)
        assert len(expected) == 2
        assert asked(world, SCORES, PARAMETERS, spark) == expected
        archive(world)
    assert view_of(world).tail.num_rows == 0


def left_in(world: World) -> list[str]:
    folder = Path(world.horizon.settings.home / "lake" / FOLDER)
    return [path.name for path in folder.iterdir()] if folder.exists() else []


def test_a_missing_file_is_named_and_nothing_stays_in_the_lakes_folder(
    world: World, spark: Spark
) -> None:
    world.people("anna")
    world.identify_all()
    archive(world)
    view = view_of(world)
    lost = view.lake[0].files[0].location
    Path(lost.removeprefix("file://")).unlink()
    with pytest.raises(LakeError, match=f"{lost} is missing"):
        spark.run(SCORES, view, PARAMETERS)
    assert left_in(world) == []


def test_a_killed_query_leaves_a_folder_for_a_day(world: World, spark: Spark) -> None:
    lake = world.horizon.settings.home / "lake" / FOLDER
    old, new = lake / "20200101T000000Z-0", lake / "29990101T000000Z-0"
    for folder in (old, new):
        (folder / "map").mkdir(parents=True)
    asked(world, SCORES, PARAMETERS, spark)
    assert left_in(world) == [new.name]


def test_a_lake_at_s3(
    world: World, spark_environment: dict[str, str], tmp_path: Path, free_port: Callable[[], int]
) -> None:
    """Nothing but Iceberg's own client, on the executors as well; the query's folder is gone."""
    with s3_server(tmp_path, free_port()) as server:
        server.put("lakes/begun", b"")
        told = {**server.environment, **spark_environment, "LAKE_URL": "s3://lakes/one"}
        settings = settings_of(world, told)
        there = replace(world, horizon=replace(world.horizon, settings=settings))
        there.people("anna", "bert", "carl")
        there.identify_all()
        archive(there)
        there.people("dora")
        there.identify_all()
        expected = postgres_says(there, SCORES, PARAMETERS)
        assert len(expected) == 4
        assert asked(there, SCORES, PARAMETERS, Spark.of(settings)) == expected
        objects = [path for path in (tmp_path / "objects").rglob("*") if path.is_file()]
        assert any(path.suffix == ".parquet" for path in objects)
        assert not [path for path in objects if FOLDER in path.parts]


def test_the_command_scores_on_spark_as_on_duckdb(
    world: World, spark_environment: dict[str, str]
) -> None:
    generated(world, seed=3)
    scored = "SELECT profile_id, last_activity, silent_s, activities, score, tier FROM current_scores ORDER BY 1"
    found = []
    for environment in ({}, spark_environment):
        done = subprocess.run(
            [Path(sys.executable).with_name("horizon"), "score", "--now", NOW.isoformat()],
            env={**os.environ, **command_environment(world), **environment},
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
        found.append(world.rows(scored))
    assert len(found[0]) > 30
    assert found[0] == found[1]


def command_environment(world: World) -> dict[str, str]:
    told = world.horizon.settings
    return {name: str(getattr(told, name)) for name in ("PG_DSN", "HORIZON_HOME", "LOG_PATH")}


def test_a_properties_file_that_is_not_there_is_named(
    world: World, spark: Spark, tmp_path: Path
) -> None:
    missing = replace(spark, properties_file=str(tmp_path / "none.conf"))
    with pytest.raises(UsageError, match=r"SPARK_PROPERTIES names .*none\.conf"):
        asked(world, SCORES, PARAMETERS, missing)
