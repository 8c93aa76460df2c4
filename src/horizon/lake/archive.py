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

from pyiceberg.table import Table

from horizon.errors import LakeError
from horizon.lake import commit
from horizon.lake.reading import statement, stream
from horizon.lake.table import QUERIES, Lake
from horizon.lake.watermark import Watermark, watermark_of
from horizon.lake.writing import Written, discard, write
from horizon.postgres.database import Connection
from horizon.stage import StageResult, Window

STEP_EVENTS = 1_000_000  # of whole days: a day that has more is one step all the same


@dataclass(frozen=True)
class _Step:
    """The window's rows of these days of receipt, which move the watermark on."""

    first: datetime
    last: datetime
    events: int
    after: Watermark


def run(tx: Connection, window: Window, *, lake: Lake) -> Iterator[StageResult]:
    """One result a step; the watermark is the Iceberg snapshot's own."""
    with lake.told():
        table = lake.for_writing()
    mark = watermark_of(table)
    if mark.until is not None:  # a window that was not finished, and then what came since
        yield from _window(tx, lake, table, mark)
        mark = _whole(mark)
    yield from _window(tx, lake, table, replace(mark, until_era=window.era, until=window.until))


def _window(tx: Connection, lake: Lake, table: Table, mark: Watermark) -> Iterator[StageResult]:
    steps = _steps(tx, mark)
    # Its transaction ends here: who makes a partition would wait as long as files are written.
    yield StageResult({"events": 0, "files": 0, "bytes": 0})
    for step in steps:
        values = {**_parameters(mark), "first": step.first, "last": step.last}
        text = statement(tx, QUERIES["rows_of"], values)
        with lake.told():
            written = _take(lake, table, text, step)
        yield StageResult({
            "events": written.events, "files": len(written.files), "bytes": written.size_bytes,
        })  # fmt: skip


def _take(lake: Lake, table: Table, text: str, step: _Step) -> Written:
    with stream(lake.database, text) as batches:
        written = write(table, batches)
    if written.events != step.events:
        discard(table.io, written.files)
        raise LakeError(
            f"{step.events:,} events were to be archived and {written.events:,} were read: some "
            "were erased meanwhile; run `horizon archive` again."
        )
    if not commit.append(table, written.files, step.after):
        discard(table.io, written.files)
    return written


def _parameters(mark: Watermark) -> dict[str, Any]:
    return {"era": mark.era, "seen": mark.seen, "until_era": mark.until_era, "until": mark.until}


def _steps(tx: Connection, mark: Watermark) -> list[_Step]:
    """Of the rest of a window; its last one makes what ``until`` sees the watermark."""
    days = tx.execute(QUERIES["days"], _parameters(mark)).fetchall()
    left = [row for row in days if mark.upto is None or _midnight(row.day) >= mark.upto]
    groups: list[list[Any]] = []
    for row in left:
        if groups and sum(one.events for one in groups[-1]) + row.events <= STEP_EVENTS:
            groups[-1].append(row)
        else:
            groups.append([row])
    steps = []
    for group in groups:
        first, last = _midnight(group[0].day), _midnight(group[-1].day + timedelta(days=1))
        after = _whole(mark) if group is groups[-1] else replace(mark, upto=last)
        steps.append(_Step(first, last, sum(row.events for row in group), after))
    return steps


def _whole(mark: Watermark) -> Watermark:
    assert mark.until_era is not None and mark.until is not None
    return Watermark(mark.until_era, mark.until)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
