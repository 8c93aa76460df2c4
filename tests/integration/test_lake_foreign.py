"""Others read and write the lake without our code: Spark SQL, pyiceberg, DuckDB's extension."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import URL

from horizon.lake.table import Lake
from horizon.lake.watermark import Watermark, watermark_of
from horizon.postgres.database import Role
from horizon.postgres.queries import Queries
from tests.lake_worlds import archive, asked, postgres_says, view_of
from tests.spark import jdbc_session
from tests.spark import spark_environment as spark_environment
from tests.world import DAY, NOW, World

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")]

ROOT = Path(__file__).parents[2]
OWN_EXTENSION = ROOT / ".venv" / "sdks" / "duckdb-iceberg"
SCORES = Queries("horizon.scoring", "definitions.sql")["scores"]
PARAMETERS = {
    "now": NOW,
    "since": NOW - 14 * DAY,
    "window_s": 14 * 86400.0,
    "high": 0.7,
    "medium": 0.5,
}
EVENTS = "horizon.horizon.events"
# What is compared, as text: each reader has types of its own for ids and times.
ROWS = """SELECT event_id::text, nodes::text, to_char(time, 'YYYY-MM-DD HH24:MI:SS.US'), activity, properties
          FROM events ORDER BY 1"""


@pytest.fixture
def lake(world: World) -> Lake:
    """Forty events of ten people over four days, some of whom have two nodes."""
    world.put(*(
        world.track(
            f"user-{n % 10}", (n % 4) * DAY, properties={"price": n, "ü": "\"'\n"},
            **({"anonymousId": f"visitor-{n}"} if n % 3 == 0 else {}),
        )
        for n in range(40)
    ))  # fmt: skip
    world.identify_all()
    archive(world)
    return Lake.of(world.horizon.settings, world.horizon.database)


def in_the_hot_store(world: World) -> list[tuple[Any, ...]]:
    return [
        (row[0], row[1].strip("{}").split(","), *row[2:]) for row in world.rows(ROWS)
    ]  # fmt: skip


def by_spark(session: Any) -> list[tuple[Any, ...]]:
    rows = session.sql(
        "SELECT event_id, nodes, date_format(time, 'yyyy-MM-dd HH:mm:ss.SSSSSS'), activity, "
        f"properties FROM {EVENTS} ORDER BY 1"
    )
    return list(map(tuple, rows.collect()))


def test_spark_reads_what_pyiceberg_wrote(
    world: World, lake: Lake, spark_environment: dict[str, str]
) -> None:
    session = jdbc_session(spark_environment, lake)
    rows = by_spark(session)
    assert len(rows) == 40
    assert any(len(row[1]) == 2 for row in rows)
    assert rows == in_the_hot_store(world)
    read = session.sql(f"SELECT DISTINCT _file FROM {EVENTS} WHERE time >= '2026-06-15'")
    assert read.count() < session.sql(f"SELECT DISTINCT _file FROM {EVENTS}").count()


def test_sparks_commits_beside_ours_keep_the_watermark(
    world: World, lake: Lake, spark_environment: dict[str, str]
) -> None:
    """A compaction and an insert of Spark's, then an archive of ours: each row once for all."""
    session = jdbc_session(spark_environment, lake)
    mark = watermark_of(lake.for_writing())
    world.put(*(world.track("late", DAY) for _ in range(3)))
    archive(world)
    assert watermark_of(lake.for_writing()) != mark
    mark = watermark_of(lake.for_writing())

    done = session.sql(
        f"CALL horizon.system.rewrite_data_files(table => '{EVENTS}', "
        "options => map('rewrite-all', 'true'))"
    ).collect()[0]
    assert done.rewritten_data_files_count > done.added_data_files_count
    table = lake.for_writing()
    assert Watermark.read(table.current_snapshot().summary.additional_properties) is None
    assert watermark_of(table) == mark
    assert by_spark(session) == in_the_hot_store(world)
    assert asked(world, SCORES, PARAMETERS) == postgres_says(world, SCORES, PARAMETERS)

    session.sql(
        f"INSERT INTO {EVENTS} BY NAME SELECT uuid() AS event_id, * EXCEPT (event_id) "
        f"FROM {EVENTS} ORDER BY message_id LIMIT 5"
    )
    assert watermark_of(lake.for_writing()) == mark
    assert lake.for_writing().scan().to_arrow().num_rows == 48

    world.put(*(world.track("later", DAY) for _ in range(2)))
    assert view_of(world).tail.num_rows == 2
    archive(world)
    archive(world)
    assert view_of(world).tail.num_rows == 0
    ours = {row[0] for row in in_the_hot_store(world)}
    assert len(ours) == 45
    found = [row[0] for row in by_spark(session)]
    assert ours <= set(found)
    assert len(found) == len(set(found)) == 50


def test_a_deletion_by_spark_leaves_no_files_that_only_some_readers_know(
    world: World, lake: Lake, spark_environment: dict[str, str]
) -> None:
    """It rewrites files, as each writer of ours does."""
    session = jdbc_session(spark_environment, lake)
    mark = watermark_of(lake.for_writing())
    session.sql(f"DELETE FROM {EVENTS} WHERE user_id = 'user-7'")
    assert watermark_of(lake.for_writing()) == mark
    assert lake.for_writing().scan().to_arrow().num_rows == 36
    assert session.sql(f"SELECT * FROM {EVENTS}").count() == 36
    assert all(not task.delete_files for task in lake.for_writing().scan().plan_files())


BY_PYICEBERG = """
import json, sys
from pyiceberg.catalog.sql import SqlCatalog
uri, warehouse = sys.argv[1:]
table = SqlCatalog("horizon", uri=uri, warehouse=warehouse).load_table("horizon.events")
rows = table.scan(selected_fields=("event_id", "nodes", "time", "activity", "properties")).to_arrow()
assert not any(name.partition(".")[0] == "horizon" for name in sys.modules)
print(json.dumps([
    [str(row["event_id"]), list(map(str, row["nodes"])), row["time"].strftime("%Y-%m-%d %H:%M:%S.%f"),
     row["activity"], row["properties"]]
    for row in rows.to_pylist()
]))
"""


def test_pyiceberg_reads_it_without_our_code(world: World, lake: Lake) -> None:
    url = URL.create(
        "postgresql+psycopg", query={name: str(value) for name, value in conninfo_to_dict(
            lake.database.conninfo(Role.READER)).items()},
    )  # fmt: skip
    uri = url.render_as_string(hide_password=False)
    printed = alone(BY_PYICEBERG, uri, lake.warehouse)
    assert sorted(map(tuple, printed)) == in_the_hot_store(world)


BY_DUCKDB = """
import sys
sys.path.insert(0, sys.argv[1])
import duckdb, json
session = duckdb.connect(config={
    "extension_directory": sys.argv[1] + "/duckdb_ext/extensions",
    "autoinstall_known_extensions": "false",
})
session.execute("LOAD avro; LOAD iceberg; SET TimeZone = 'UTC'")
rows = session.execute('''
    SELECT event_id::text, nodes::text[], strftime(time, '%Y-%m-%d %H:%M:%S.%f'), activity, properties
    FROM iceberg_scan($1)
''', sys.argv[2:])
print(json.dumps(rows.fetchall()))
"""


def test_duckdbs_own_extension_reads_it(world: World, lake: Lake) -> None:
    if not (OWN_EXTENSION / "installed").exists():
        sentence = "DuckDB's extension for Iceberg is missing: sh requirements/sdks.sh"
        if os.environ.get("CI") == "true":
            pytest.fail(sentence)
        pytest.skip(sentence)
    location = lake.for_writing().metadata_location.removeprefix("file://")
    printed = alone(BY_DUCKDB, str(OWN_EXTENSION), location)
    assert sorted(map(tuple, printed)) == in_the_hot_store(world)


def alone(program: str, *arguments: str) -> list[Any]:
    """What a program prints that has none of this process's paths."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", program, *arguments],
        capture_output=True, text=True, timeout=120, check=False, cwd="/",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    found: list[Any] = json.loads(done.stdout)
    return found
