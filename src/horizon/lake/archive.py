"""Takes what is new in the hot store to the lake: each row once, whenever it commits.

A window is what one snapshot sees and the last one did not. A large one is taken in steps of
whole days of receipt, each an Iceberg commit that carries the watermark. A run that dies
leaves files that no snapshot names; the next one reads the same rows again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from psycopg import sql
from pyiceberg.exceptions import CommitFailedException, CommitStateUnknownException
from pyiceberg.table import Table

from horizon.errors import HorizonError
from horizon.lake.reading import stream
from horizon.lake.table import QUERIES, Lake
from horizon.lake.watermark import Watermark, watermark_of
from horizon.lake.writing import Written, write
from horizon.postgres.database import Connection
from horizon.stage import StageResult, Window

STEP_EVENTS = 1_000_000  # of whole days: a day that has more is one step all the same


@dataclass(frozen=True)
class _Step:
    """The window's rows of these days of receipt; ``after`` is the watermark that they bring."""

    first: datetime
    last: datetime
    events: int
    after: Watermark


def run(tx: Connection, window: Window, *, lake: Lake) -> Iterator[StageResult]:
    """One result a step; the watermark is the Iceberg snapshot's own."""
    table = lake.for_writing()
    before = _opened(watermark_of(table), window)
    steps = _steps(tx, before)
    if not steps:
        yield StageResult({"events": 0, "files": 0, "bytes": 0})
    for step in steps:
        written = write(table, stream(lake.database, _rows_of(tx, before, step)))
        _commit(table, written, step.after)
        yield StageResult({
            "events": written.events, "files": len(written.files), "bytes": written.size_bytes,
        })  # fmt: skip


def _opened(before: Watermark, window: Window) -> Watermark:
    """With a window: the one that was not finished, or all that is there now."""
    if before.until is not None:
        return before
    return replace(before, until_era=window.era, until=window.until)


def _parameters(mark: Watermark) -> dict[str, Any]:
    return {"era": mark.era, "seen": mark.seen, "until_era": mark.until_era, "until": mark.until}


def _steps(tx: Connection, mark: Watermark) -> list[_Step]:
    assert mark.until is not None and mark.until_era is not None
    rows = [
        row for row in tx.execute(QUERIES["days"], _parameters(mark))
        if mark.upto is None or _midnight(row.day) >= mark.upto
    ]  # fmt: skip
    groups: list[list[Any]] = []
    for row in rows:
        if groups and sum(one.events for one in groups[-1]) + row.events <= STEP_EVENTS:
            groups[-1].append(row)
        else:
            groups.append([row])
    steps = []
    for at, group in enumerate(groups):
        last = _midnight(group[-1].day + timedelta(days=1))
        after = replace(mark, upto=last)
        if at == len(groups) - 1:
            after = Watermark(mark.until_era, mark.until)
        events = sum(row.events for row in group)
        steps.append(_Step(_midnight(group[0].day), last, events, after))
    return steps


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _rows_of(tx: Connection, mark: Watermark, step: _Step) -> str:
    """With its values in it: ADBC copies only a statement without parameters."""
    values = {**_parameters(mark), "first": step.first, "last": step.last}
    text = QUERIES["rows_of"].rstrip(";")
    for name in values:
        text = text.replace(f"%({name})s", f"{{{name}}}")
    filled = sql.SQL(text).format(**{name: sql.Literal(value) for name, value in values.items()})
    return filled.as_string(tx)


def _commit(table: Table, written: Written, after: Watermark) -> None:
    try:
        with (
            table.transaction() as change,
            change.update_snapshot(snapshot_properties=after.properties()).merge_append() as append,
        ):
            for file in written.files:
                append.append_data_file(file)
    except (CommitFailedException, CommitStateUnknownException) as exc:
        raise HorizonError(
            f"The lake's catalog did not take the commit ({exc}): run `horizon archive` again, it "
            "finds out how far it came."
        ) from exc
