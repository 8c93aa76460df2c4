"""Keeps the lake quick and small: compaction, then old snapshots, then files that none names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from horizon.lake import cleaning, compaction
from horizon.lake.compaction import Compacted
from horizon.lake.table import QUERIES, Lake
from horizon.postgres.database import Connection
from horizon.stage import StageResult, Window

DUE_FILES = 100  # of a day: an append over so many small ones takes 0.1 s more
DUE_SNAPSHOTS = 100  # each makes the table's own file 1 KB larger, which every commit writes
# After a restore the database that was there before is kept: it may come back for its lake.
AFTER_RESTORE = timedelta(days=7)
BACKUPS_KEPT = timedelta(days=30)  # so long a backup finds its lake


def is_due(lake: Lake, tx: Connection, now: datetime) -> bool:
    """Looks at the lists of files alone."""
    table = lake.seen_by(tx)
    if table is None:
        return False
    return (
        len(cleaning.over(table, now - cleaning.READERS)) >= DUE_SNAPSHOTS
        or bool(compaction.small_files(table, DUE_FILES))
    )  # fmt: skip


def run(
    tx: Connection, window: Window, *, lake: Lake, rest: Callable[[datetime], int] = lambda _: 0
) -> Iterator[StageResult]:
    """One result a commit. Whatever an archive does meanwhile, no row comes or goes.

    ``rest`` makes the summary of resting.py anew, which believes no snapshot that is gone.
    """
    if lake.seen_by(tx) is None:
        yield _result(Compacted())
        return
    with lake.told():
        table = lake.for_writing()
        for compacted in compaction.compact(table, compaction.FEW):
            yield _result(compacted)
        rest(window.now)
        expired = cleaning.expire(table, window.now)
        removed = cleaning.Removed()
        if not _rests(tx, window.now):
            removed = cleaning.remove_unnamed(table, _pinned(tx, window.now), window.now)
    yield _result(Compacted(), expired, removed)


def _result(
    compacted: Compacted, expired: int = 0, removed: cleaning.Removed | None = None
) -> StageResult:
    gone = removed or cleaning.Removed()
    return StageResult({
        "events": compacted.events, "replaced": compacted.files_before,
        "files": compacted.files_after, "bytes": compacted.size_bytes, "expired": expired,
        "removed": gone.files, "freed_bytes": gone.size_bytes,
    })  # fmt: skip


def _rests(tx: Connection, now: datetime) -> bool:
    row = tx.execute(QUERIES["restored"], {"since": now - AFTER_RESTORE}).fetchone()
    return row is not None and bool(row.found)


def _pinned(tx: Connection, now: datetime) -> list[str]:
    rows = tx.execute(QUERIES["pinned"], {"since": now - BACKUPS_KEPT}).fetchall()
    return [row.lake for row in rows]
