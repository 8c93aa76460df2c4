"""Compares hot store and lake by the day of receipt: how many events, and a checksum over all of
their fields. A day that left the hot store is compared with what was agreed on before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from threading import local
from typing import Final, NamedTuple

import duckdb
import pyarrow as pa
from pyiceberg.expressions import AlwaysTrue, BooleanExpression
from pyiceberg.table import FileScanTask, Table

from horizon.errors import LakeError
from horizon.lake.faults import naming
from horizon.lake.scanning import live_files, rows_of
from horizon.lake.table import QUERIES, Lake
from horizon.lake.watermark import watermark_of
from horizon.postgres.database import Connection
from horizon.postgres.queries import Queries
from horizon.stage import StageResult, Window

DUCKDB = Queries("horizon.lake", "duckdb.sql")
THREADS: Final = 2  # each reads a file; beside them PostgreSQL computes
NAMED: Final = 3  # days or files that a sentence names
FIRST: Final = date(1970, 1, 1)


class Sums(NamedTuple):
    events: int = 0
    checksum: int = 0

    def plus(self, other: Sums) -> Sums:
        return Sums(self.events + other.events, self.checksum + other.checksum)


@dataclass(frozen=True)
class Day:
    day: date
    lake: Sums
    hot: Sums | None  # None: it left the hot store
    agreed: Sums | None  # what was agreed on before

    @property
    def differs(self) -> str:
        """In words; empty where they agree."""
        there, name = (self.hot, "hot store") if self.hot is not None else (self.agreed, "agreed")
        if there is None:
            return "only the lake has it, and nothing was agreed on before"
        if there == self.lake:
            return ""
        if there.events != self.lake.events:
            more = self.lake.events - there.events
            return f"the lake has {abs(more):,} {'more' if more > 0 else 'fewer'} than the {name}"
        return "the same number, and some differ in a field"


@dataclass(frozen=True)
class Verified:
    days: list[Day] = field(default_factory=list)
    files: int = 0
    broken: list[str] = field(default_factory=list)  # a sentence a file

    @property
    def differing(self) -> list[Day]:
        return [day for day in self.days if day.differs]


def run(
    tx: Connection, window: Window, *, lake: Lake, since: date | None = None,
    told: Callable[[Verified], None] = lambda _: None,
) -> Iterator[StageResult]:  # fmt: skip
    """What agrees is noted in any case. Raises LakeError where something does not."""
    found = verify(tx, lake, since or FIRST)
    told(found)
    _note(tx, found, window.now)
    yield StageResult({
        "events": sum(day.lake.events for day in found.days), "files": found.files,
        "days": len(found.days), "differing": len(found.differing),
    })  # fmt: skip
    if found.broken or found.differing:
        raise LakeError(_complaint(found))


def verify(tx: Connection, lake: Lake, since: date) -> Verified:
    """Compare all days from ``since`` on. What is to be in the lake says its own watermark, so that
    what is archived or received meanwhile makes no difference."""
    table = lake.seen_by(tx)
    if table is None:
        agreed = _agreed(tx, since)
        return Verified([Day(day, Sums(), None, known) for day, known in agreed.items()])
    values = {"since": datetime.combine(since, time(), UTC), **watermark_of(table).parameters()}
    reading = _Reading(table)
    tasks = live_files(table, _from(since))
    with ThreadPoolExecutor(THREADS, "verify") as pool:
        ahead = [pool.submit(reading.sums, task) for task in tasks]
        hot = {
            row.day: Sums(row.events, int(row.checksum))
            for row in tx.execute(QUERIES["day_sums"], values)
        }
        found = [one.result() for one in ahead]
    in_lake: dict[date, Sums] = {}
    for sums in found:
        for day, one in sums.items():
            if day >= since:
                in_lake[day] = in_lake.get(day, Sums()).plus(one)
    agreed = _agreed(tx, since)
    days = [
        Day(day, in_lake.get(day, Sums()), hot.get(day), agreed.get(day))
        for day in sorted(in_lake.keys() | hot.keys() | agreed.keys())
    ]
    return Verified(days, len(tasks), reading.broken)


def _agreed(tx: Connection, since: date) -> dict[date, Sums]:
    rows = tx.execute(QUERIES["agreed_days"], {"since": since})
    return {row.day: Sums(row.events, int(row.checksum)) for row in rows}


def _from(since: date) -> str | BooleanExpression:
    if since <= FIRST:
        return AlwaysTrue()
    return f"received_at >= '{datetime.combine(since, time(), UTC).isoformat()}'"


class _Reading:
    """Reads files in threads; a broken one is told, and the others are read all the same."""

    def __init__(self, table: Table) -> None:
        self.broken: list[str] = []
        self._table = table
        self._own = local()

    def sums(self, task: FileScanTask) -> dict[date, Sums]:
        try:
            # As a whole: an exception within a reader loses what it says on its way through DuckDB.
            batches = list(rows_of(self._table, [task]))
            if not batches:
                return {}
            rows = pa.Table.from_batches(batches)
            with naming(task.file.file_path):
                return self._computed(rows)
        except LakeError as exc:
            self.broken.append(str(exc))
        return {}

    def _computed(self, batches: pa.Table) -> dict[date, Sums]:
        session = self._session()
        session.register("batches", batches)
        rows = session.execute(DUCKDB["sums"]).fetchall()
        session.unregister("batches")
        return {day: Sums(int(events), int(checksum)) for day, events, checksum in rows}

    def _session(self) -> duckdb.DuckDBPyConnection:
        if not hasattr(self._own, "session"):
            self._own.session = duckdb.connect(config={"threads": 1})
            self._own.session.execute("SET TimeZone = 'UTC'")
        session: duckdb.DuckDBPyConnection = self._own.session
        return session


def _note(tx: Connection, found: Verified, now: datetime) -> None:
    agreed = [day for day in found.days if not day.differs]
    tx.execute(QUERIES["agree"], {
        "days": [one.day for one in agreed], "events": [one.lake.events for one in agreed],
        "checksums": [one.lake.checksum for one in agreed], "clock": now,
    })  # fmt: skip
    differing = [one.day for one in found.differing if one.hot is not None]
    tx.execute(QUERIES["disagree"], {"days": differing})


def _complaint(found: Verified) -> str:
    if found.broken:
        more = len(found.broken) - 1
        first = found.broken[0].rstrip(".")
        return f"{first}{f'; so it is with {more} files more' if more else ''}."
    days = found.differing
    named = ", ".join(f"{one.day} ({one.differs})" for one in days[:NAMED])
    rest = f" and {len(days) - NAMED} days more" if len(days) > NAMED else ""
    return (
        f"Lake and hot store differ in the events received on {named}{rest}: no day of these is "
        "dropped; docs/lake.md says how a lake is built anew from the hot store."
    )
