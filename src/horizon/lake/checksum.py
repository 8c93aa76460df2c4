"""Whether two places hold the same events: how many, and a sum over a digest of all fields."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.io import FileIO

from horizon.lake.files import local_path
from horizon.lake.schema import NAMES

_LANES = 1  # who writes files has the other processors


@dataclass(frozen=True)
class Checksum:
    """Of a set of events, whatever their order; those of two sets add up."""

    events: int = 0
    digests: int = 0

    def __add__(self, other: Self) -> Checksum:
        return Checksum(self.events + other.events, self.digests + other.digests)


def of_table(events: pa.Table) -> Checksum:
    with _engine() as engine:
        return _of(engine.from_arrow(events))


def of_files(io: FileIO, locations: Sequence[str]) -> Checksum:
    """Of what lies in the files, and not of what a writer had in its hands a moment ago."""
    paths = [local_path(location) for location in locations]
    if all(paths):
        with _engine() as engine:
            return _of(engine.read_parquet([str(path) for path in paths]))
    return sum((of_table(table) for table in _downloaded(io, locations)), start=Checksum())


def _downloaded(io: FileIO, locations: Iterable[str]) -> Iterable[pa.Table]:
    for location in locations:
        with io.new_input(location).open() as file:
            yield pq.read_table(file)


def _engine() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(config={"threads": _LANES, "autoinstall_known_extensions": False})


def _of(events: duckdb.DuckDBPyRelation) -> Checksum:
    (row,) = events.aggregate(f"count(*), sum(hash({', '.join(NAMES)}))").fetchall()
    return Checksum(row[0], int(row[1] or 0))
