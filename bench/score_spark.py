"""[score.spark]: a score's definition on Spark beside the same on DuckDB, over the same view.

Spark is two executors on this machine. Its answer has to be DuckDB's, which for what fits one
machine is the quicker one.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
from psycopg import IsolationLevel

from bench.harness import Figure, medians
from bench.spark import NoSparkError, spark_at_hand
from horizon.errors import HorizonError
from horizon.lake.engines.duckdb import DuckDB
from horizon.lake.view import View, current_view
from horizon.pipeline.installation import Installation
from horizon.postgres.database import Role, closing_connection
from horizon.postgres.queries import Queries
from horizon.scoring.rules import DAY_S
from horizon.settings import Settings

PAIRS = 3
DAYS = 14


def figures(horizon: Installation, now: datetime, size: int) -> Iterator[Figure]:
    """Of an installation whose events are in the lake. Without Spark it says so, and gives none."""
    try:
        with _spark_settings(horizon.settings) as settings:
            yield _figure(settings, _view(horizon), now, size)
    except NoSparkError as exc:
        print(f"[score.spark] is left out. {exc}", file=sys.stderr)


@contextmanager
def _spark_settings(settings: Settings) -> Iterator[Settings]:
    folder = Path(tempfile.mkdtemp(prefix="horizon-bench-spark-"))
    try:
        with spark_at_hand(folder, java="") as told:
            known = {name: told[name] for name in ("ENGINE", "SPARK_MASTER", "SPARK_PROPERTIES")}
            yield settings.changed(**known)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _view(horizon: Installation) -> View:
    with closing_connection(horizon.database.connect(Role.WORKER)) as tx:
        tx.isolation_level = IsolationLevel.REPEATABLE_READ
        return current_view(tx, horizon.settings)


def _figure(settings: Settings, view: View, now: datetime, size: int) -> Figure:
    from horizon.lake.engines.spark import Spark

    definition = Queries("horizon.scoring", "definitions.sql")["scores"]
    parameters: dict[str, Any] = {
        "now": now, "since": now - timedelta(days=DAYS), "window_s": DAYS * float(DAY_S),
        "high": settings.SCORE_HIGH, "medium": settings.SCORE_MEDIUM,
    }  # fmt: skip
    spark, duckdb = Spark.of(settings), DuckDB.of(settings)
    # The first one starts Spark and compiles it: 15 s and more, once for a process.
    if _plain(spark.run(definition, view, parameters)) != _plain(
        duckdb.run(definition, view, parameters)
    ):
        raise HorizonError("Spark's scores are not DuckDB's.")
    value, reference = medians(
        PAIRS,
        lambda: spark.run(definition, view, parameters),
        lambda: duckdb.run(definition, view, parameters),
    )
    return Figure("score.spark", round(value, 3), "s", round(reference, 3), size)


def _plain(rows: pa.Table) -> list[dict[str, Any]]:
    """In one order, by their values: each engine has Arrow types of its own for them."""
    ordered: list[dict[str, Any]] = rows.sort_by("profile_id").to_pylist()
    return ordered
