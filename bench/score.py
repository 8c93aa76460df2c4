"""The score stage: [score.sql] over hot events; [score.lake], [score.memory], [score.spark] and
[score.history] over archived ones."""

from __future__ import annotations

import multiprocessing
import os
import resource
import statistics
import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from adbc_driver_postgresql import dbapi
from psycopg import sql
from pyiceberg.table import Table

from bench import score_spark
from bench.harness import Figure, medians, scratch_installation, seconds
from horizon import clock
from horizon.lake import commit, resting, writing
from horizon.lake.engines import engine_of
from horizon.lake.engines.definitions import over_the_hot_store
from horizon.lake.files import local_path
from horizon.lake.table import Lake
from horizon.lake.view import View, current_view
from horizon.lake.watermark import Watermark
from horizon.pipeline.installation import Installation
from horizon.pipeline.stages import score_stage
from horizon.postgres.database import Role
from horizon.postgres.queries import Queries
from horizon.scoring.stage import DEFINITIONS
from horizon.settings import Settings

PAIRS = 5
QUERIES = Queries("bench")
DAYS = 31
# What one would type who knows where the files are, and that nobody is dead.
BARE = """
SELECT profile_id, last_activity, silent_s, activities, least(1, silent_s / (14 * 86400)) AS score
FROM (
    SELECT profile_id, max(last_activity) AS last_activity, sum(activities)::int AS activities,
           (epoch_us($now) - epoch_us(max(last_activity))) / 1e6 AS silent_s
    FROM (
        SELECT node, max(time) AS last_activity,
               count(*) FILTER (WHERE time > $now - INTERVAL 14 DAY) AS activities
        FROM read_parquet($files) WHERE activity AND least(time, received_at) <= $now GROUP BY node
    ) JOIN map USING (node) GROUP BY profile_id
)
"""


def figures(quick: bool) -> Iterator[Figure]:
    yield _sql(*((200_000, 20_000) if quick else (1_000_000, 100_000)))
    events, profiles = (1_000_000, 50_000) if quick else (10_000_000, 500_000)
    with scratch_installation() as horizon:
        yield from _lake(horizon, clock.now(), events, profiles)


def _sql(events: int, profiles: int) -> Figure:
    """Everything is hot: the stage beside what PostgreSQL alone takes for the same definition."""
    with scratch_installation() as horizon:
        now = clock.now()
        size = {"events": events, "profiles": profiles, "now": now}
        with horizon.database.transaction(Role.OWNER) as tx:
            tx.execute(QUERIES["make_month"], size)
            tx.execute(QUERIES["score_events"], size)
        _people(horizon, size)
        stage = score_stage(horizon.settings)
        value, reference = medians(
            PAIRS, lambda: horizon.runner.run(stage, now), lambda: _by_postgresql(horizon, now)
        )
    return Figure("score.sql", round(value, 3), "s", round(reference, 3), events)


def _lake(horizon: Installation, now: datetime, events: int, profiles: int) -> Iterator[Figure]:
    _people(horizon, {"profiles": profiles, "now": now})
    lake = Lake.of(horizon.settings, horizon.database)
    table = lake.for_writing()
    view = _view(horizon)
    today = now.astimezone(UTC).date()
    _fill(table, view, events, [today - timedelta(days=n) for n in range(1, DAYS + 1)])
    os.sync()
    stage = score_stage(horizon.settings)
    view = _view(horizon)
    value, reference = medians(
        PAIRS, lambda: horizon.runner.run(stage, now), lambda: _bare(horizon, view, now)
    )
    yield Figure("score.lake", round(value, 3), "s", round(reference, 3), events)
    peak_mb = _peak_mb(horizon.settings, now)
    yield Figure("score.memory", peak_mb, "MB", 2000, events)
    yield from score_spark.figures(horizon, now, events)
    history = [today - timedelta(days=n) for n in range(DAYS + 1, 11 * DAYS + 1)]
    _fill(table, view, 10 * events, history)
    os.sync()  # what was just written is not this stage's to write out
    refresh = seconds(
        lambda: resting.refresh(lake, engine_of(horizon.settings), now - timedelta(days=15))
    )
    runs = [seconds(lambda: horizon.runner.run(stage, now)) for _ in range(PAIRS)]
    yield Figure(
        "score.history", round(statistics.median(runs), 3), "s", round(value, 3), 11 * events
    )
    yield Figure("score.summary", round(refresh, 3), "s", round(value, 3), 11 * events)


def _people(horizon: Installation, size: dict[str, Any]) -> None:
    with horizon.database.transaction(Role.OWNER) as tx:
        tx.execute(QUERIES["score_nodes"], size)
    with horizon.database.connect(autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE events")
        connection.execute("VACUUM ANALYZE nodes")


def _view(horizon: Installation) -> View:
    with horizon.database.transaction(Role.WORKER) as tx:
        return current_view(tx, horizon.settings)


def _fill(table: Table, view: View, events: int, days: list[date]) -> None:
    """Straight into the lake, a file a day: what is not asked for is the same in each row."""
    nodes = np.sort(_bytes(view.map["node"]))
    numbers = np.random.default_rng(8)
    files = []
    for day in days:
        picked = nodes[np.sort(numbers.integers(0, len(nodes), events // len(days)))]
        start_us = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1e6)
        times = start_us + numbers.integers(0, 86_400_000_000, len(picked))
        files.append(writing._write_file(table, day, _events(table, picked, times)))
    commit.append(table, files, Watermark(era=1, seen=f"1:{len(days)}:"))


def _bytes(column: pa.ChunkedArray) -> np.ndarray[Any, Any]:
    return np.concatenate([
        np.frombuffer(chunk.storage.buffers()[1], "S16")[chunk.offset :][: len(chunk)]
        for chunk in column.chunks
    ])  # fmt: skip


def _events(table: Table, picked: np.ndarray[Any, Any], times: np.ndarray[Any, Any]) -> pa.Table:
    schema = table.schema().as_arrow()
    rows = len(picked)
    body = pa.py_buffer(np.ascontiguousarray(picked, "S16").tobytes())
    plain = pa.Array.from_buffers(pa.binary(16), rows, [None, body])
    listed = pa.ListArray.from_arrays(np.arange(rows + 1, dtype=np.int32), plain)
    known = {
        "node": plain, "nodes": listed, "time": pa.array(times), "received_at": pa.array(times),
        "event_id": pa.repeat(pa.scalar(uuid.UUID(int=1).bytes, pa.binary(16)), rows),
        "source_id": pa.repeat(pa.scalar(1, pa.int32()), rows),
        "message_id": pa.repeat("m", rows), "type": pa.repeat("track", rows),
        "trusted": pa.repeat(True, rows), "activity": pa.repeat(True, rows),
    }  # fmt: skip
    arrays = [
        known[one.name].cast(one.type) if one.name in known else pa.nulls(rows, one.type)
        for one in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def _bare(horizon: Installation, view: View, now: datetime) -> None:
    """DuckDB's query over the files, the map already in its hands, and ADBC's ingestion."""
    session = duckdb.connect()
    session.execute("SET TimeZone = 'UTC'")
    session.register("map", view.map)
    files = [str(local_path(file.location)) for part in view.lake for file in part.files]
    found = session.sql(BARE, params={"now": now, "files": files}).to_arrow_table()
    session.close()
    with (
        dbapi.connect(horizon.database.conninfo(Role.OWNER)) as connection,
        connection.cursor() as cursor,
    ):
        cursor.adbc_ingest(f"bare_{uuid.uuid4().hex}", found, mode="create")
        connection.commit()


def _peak_mb(settings: Settings, now: datetime) -> float:
    """Of a process that does nothing but this."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return round(pool.apply(_peak_alone, (settings, now)), 1)


def _peak_alone(settings: Settings, now: datetime) -> float:
    from horizon.pipeline.installation import open_installation

    horizon = open_installation(settings)
    horizon.runner.run(score_stage(settings), now)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def _by_postgresql(horizon: Installation, now: datetime) -> None:
    """The same definition into a table without a key, and nothing around it."""
    values = {
        "now": now, "since": now - timedelta(days=14), "window_s": 14 * 86_400, "high": 0.7,
        "medium": 0.5,
    }  # fmt: skip
    with horizon.database.transaction(Role.OWNER) as tx:
        tx.execute("CREATE TABLE bare (LIKE scores)")
        statement = sql.SQL(QUERIES["bare_scores"]).format(
            scores=sql.SQL(over_the_hot_store(DEFINITIONS["scores"]))
        )
        tx.execute(statement, values)
    with horizon.database.transaction(Role.OWNER) as tx:
        tx.execute("DROP TABLE bare")
