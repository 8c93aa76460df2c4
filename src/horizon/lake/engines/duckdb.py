"""DuckDB: the engine of one machine. Its memory is bounded; what does not fit lies on the disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import duckdb
import pyarrow as pa

from horizon.errors import LakeError
from horizon.lake.engines.definitions import carried
from horizon.lake.view import Files, View
from horizon.postgres.queries import Queries
from horizon.settings import Settings

QUERIES = Queries("horizon.lake.engines", "duckdb.sql")

_TYPES = {
    "node": "UUID", "nodes": "UUID[]", "time": "TIMESTAMPTZ", "received_at": "TIMESTAMPTZ",
    "activity": "BOOLEAN",
}  # fmt: skip


@dataclass(frozen=True)
class DuckDB:
    memory_bytes: int
    spill: Path  # a folder; what lies there is gone with the query
    name: str = "duckdb"

    @classmethod
    def of(cls, settings: Settings) -> Self:
        return cls(settings.ENGINE_MEMORY_BYTES, settings.spill_folder)

    def run(self, definition: str, view: View, parameters: Mapping[str, Any]) -> pa.Table:
        with self._session() as session:
            try:
                _relate(session, view)
                query = carried(definition, self.name)
                return _plain(session.sql(query, params=dict(parameters)).to_arrow_table())
            except duckdb.OutOfMemoryException as exc:
                raise LakeError(
                    f"The query needs more than memory and disk have ({exc}): give "
                    f"ENGINE_MEMORY_BYTES more, or {self.spill} more room."
                ) from exc
            except (duckdb.Error, OSError) as exc:
                from horizon.lake.engines.found import complaint

                raise complaint(view, exc) from exc

    @contextmanager
    def _session(self) -> Iterator[duckdb.DuckDBPyConnection]:
        session = duckdb.connect(
            config={
                "memory_limit": f"{self.memory_bytes}B",
                "temp_directory": str(self.spill),
                # An extension would be a program from elsewhere, fetched in the middle of a run.
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
                "preserve_insertion_order": "false",
            }
        )
        try:
            session.execute("SET TimeZone = 'UTC'; SET arrow_lossless_conversion = true")
            yield session
        finally:
            session.close()


def _plain(table: pa.Table) -> pa.Table:
    """Its booleans have a byte each, so that UUIDs are not text."""
    for at, one in enumerate(table.schema):
        if isinstance(one.type, pa.Bool8Type):
            chunks = [chunk.storage.cast(pa.bool_()) for chunk in table.column(at).chunks]
            table = table.set_column(at, one.name, pa.chunked_array(chunks, pa.bool_()))
    return table


def _relate(session: duckdb.DuckDBPyConnection, view: View) -> None:
    """Make the relations ``events`` and ``map``."""
    for name, table in (("tail", view.tail), ("map", view.map), ("dead", view.dead)):
        session.register(name, table)
    if not view.lake:
        session.execute(QUERIES["hot_alone"])
        return
    scans = " UNION ALL ".join(_scan(session, view, files) for files in view.lake)
    session.execute(f"CREATE TEMP VIEW lake AS {scans}")
    if view.dead.num_rows == 0:
        session.execute(QUERIES["nobody_dead"])
        return
    session.execute(QUERIES["make_astray"])
    session.execute(QUERIES["some_dead"])


def _scan(session: duckdb.DuckDBPyConnection, view: View, files: Files) -> str:
    """By field ids, as Iceberg wants it: names may have changed since a file was written."""
    from horizon.lake.engines.found import readable

    columns = ", ".join(
        f"{files.ids[name]}: {{name: '{name}', type: '{kind}', default_value: NULL}}"
        for name, kind in _TYPES.items()
    )
    paths = ", ".join(
        "'" + path.replace("'", "''") + "'" for path in readable(session, view.properties, files)
    )
    return f"SELECT * FROM read_parquet([{paths}], schema = MAP {{{columns}}})"  # noqa: S608
