"""What tests of the lake's engines ask for: events archived, and a definition's rows to compare."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from psycopg import IsolationLevel

from horizon.lake import archive
from horizon.lake.engines import Engine, engine_of
from horizon.lake.engines.definitions import over_the_hot_store
from horizon.lake.table import Lake
from horizon.lake.view import View, current_view
from horizon.postgres.database import Role, closing_connection
from horizon.postgres.era import current_era
from horizon.stage import Window
from tests.world import World


def archive_all(world: World) -> None:
    """Take all that is committed to the lake."""
    horizon = world.horizon
    lake = Lake.of(horizon.settings, horizon.database)
    with closing_connection(horizon.database.connect(Role.WORKER)) as tx:
        tx.isolation_level = IsolationLevel.REPEATABLE_READ
        row = tx.execute("SELECT pg_current_snapshot()::text AS until").fetchone()
        from uuid import uuid4

        window = Window(world.now, uuid4(), uuid4(), current_era(tx), row.until)
        for _ in archive.run(tx, window, lake=lake):
            pass


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
    world: World, definition: str, parameters: dict[str, Any]
) -> list[tuple[Any, ...]]:
    """The same by PostgreSQL over the hot store, which tests never drop anything of."""
    with world.horizon.database.transaction(Role.WORKER) as tx:
        found = tx.execute(over_the_hot_store(definition), parameters).fetchall()
    return sorted((tuple(map(_plain, row)) for row in found), key=repr)


def _plain(value: Any) -> Any:
    if hasattr(value, "tzinfo"):
        return pa.scalar(value, pa.timestamp("us", tz="UTC")).cast(pa.int64()).as_py()
    return value
