"""What tests of the lake's engines ask for: events archived, and a definition's rows to compare."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
from psycopg import IsolationLevel

from horizon.lake import resting
from horizon.lake.engines import Engine, engine_of
from horizon.lake.engines.definitions import over_the_hot_store
from horizon.lake.table import Lake
from horizon.lake.view import View, current_view
from horizon.pipeline import stages
from horizon.postgres.database import Role, closing_connection
from horizon.postgres.queries import Queries
from tests.world import NOW, World

SCORES = Queries("horizon.scoring", "definitions.sql")["scores"]


def score_parameters(now: datetime = NOW, days: float = 14) -> dict[str, Any]:
    since = now - timedelta(days=days)
    return {"now": now, "since": since, "window_s": days * 86_400, "high": 0.7, "medium": 0.5}


def archive(world: World) -> None:
    """Take all that is committed to the lake."""
    stages.archive(world.horizon, world.now)


def lake_of(world: World) -> Lake:
    return Lake.of(world.horizon.settings, world.horizon.database)


def rest(world: World, before: datetime) -> int:
    """Make the summary of the events before that day."""
    return resting.refresh(lake_of(world), engine_of(world.horizon.settings), before)


def view_of(world: World, **more: Any) -> View:
    with closing_connection(world.horizon.database.connect(Role.WORKER)) as tx:
        tx.isolation_level = IsolationLevel.REPEATABLE_READ
        return current_view(tx, world.horizon.settings, **more)


def asked(
    world: World,
    definition: str,
    parameters: dict[str, Any],
    engine: Engine | None = None,
    **more: Any,
) -> list[tuple[Any, ...]]:
    """An engine's rows over the current view, times in microseconds, in order."""
    engine = engine or engine_of(world.horizon.settings)
    return rows_of(engine.run(definition, view_of(world, **more), parameters))


def rows_of(table: pa.Table) -> list[tuple[Any, ...]]:
    columns = [
        (column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column).to_pylist()
        for column in table.columns
    ]
    return sorted(zip(*columns, strict=True), key=repr)


def postgres_says(
    world: World, definition: Any, parameters: dict[str, Any]
) -> list[tuple[Any, ...]]:
    """The same by PostgreSQL over the hot store, which tests drop nothing of."""
    with world.horizon.database.transaction(Role.WORKER) as tx:
        found = tx.execute(over_the_hot_store(definition), parameters).fetchall()
    return sorted((tuple(map(_plain, row)) for row in found), key=repr)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return pa.scalar(value, pa.timestamp("us", tz="UTC")).cast(pa.int64()).as_py()
    return value


def files_read(view: View) -> int:
    return sum(len(part.files) for part in view.lake)
