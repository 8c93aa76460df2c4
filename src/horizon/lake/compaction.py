"""Many small files of a day become few sorted ones, in one commit that changes no row.

An archive may commit meanwhile: the catalog takes the commit of one, and a compaction that lost
tries again over what is there now, as long as all files that it replaces are still in it.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from pyiceberg.exceptions import (
    CommitFailedException,
    CommitStateUnknownException,
    ValidationException,
)
from pyiceberg.manifest import DataFile
from pyiceberg.table import FileScanTask, Table

from horizon.errors import LakeError
from horizon.lake.scanning import live_files, rows_of
from horizon.lake.watermark import watermark_of
from horizon.lake.writing import Written, write

# A file is small while both hold: what a full chunk of writing.py becomes is not small again.
SMALL_BYTES: Final = 16 * 2**20
SMALL_EVENTS: Final = 100_000
FEW: Final = 8  # of a day are left alone: to open one takes some milliseconds
# Of small files, rewritten in one commit. Each is read as a whole; see writing.py for memory.
COMMIT_BYTES: Final = 128 * 2**20
TRIES: Final = 20
WAIT_S: Final = 0.05  # after the first lost commit, and so much longer after each more


@dataclass(frozen=True)
class Compacted:
    """One commit's, or with zeros that there was nothing to do."""

    files_before: int = 0
    files_after: int = 0
    events: int = 0
    size_bytes: int = 0


def small_files(table: Table, few: int) -> list[list[FileScanTask]]:
    """Of each day that has more than ``few``."""
    days: defaultdict[Any, list[FileScanTask]] = defaultdict(list)
    for task in live_files(table):
        file = task.file
        if file.file_size_in_bytes < SMALL_BYTES and file.record_count < SMALL_EVENTS:
            days[(file.spec_id, str(file.partition))].append(task)
    return [tasks for _, tasks in sorted(days.items()) if len(tasks) > few]


def compact(table: Table, few: int) -> Iterator[Compacted]:
    """One result a commit. Raises LakeError; what was committed until then stays."""
    for tasks in _commits(small_files(table, few)):
        written = write(table, rows_of(table, tasks))
        expected = sum(task.file.record_count for task in tasks)
        deleted = any(task.delete_files for task in tasks)
        if written.events != expected and not deleted:
            raise LakeError(
                f"{tasks[0].file.file_path} and those beside it hold {written.events:,} events and "
                f"should hold {expected:,}: nothing was changed; run `horizon lake verify`."
            )
        _replace(table, [task.file for task in tasks], written)
        yield Compacted(len(tasks), len(written.files), written.events, written.size_bytes)


def _commits(days: list[list[FileScanTask]]) -> Iterator[list[FileScanTask]]:
    """Whole days together, as many as one commit takes."""
    held: list[FileScanTask] = []
    size_bytes = 0
    for tasks in days:
        held += tasks
        size_bytes += sum(task.file.file_size_in_bytes for task in tasks)
        if size_bytes >= COMMIT_BYTES:
            yield held
            held, size_bytes = [], 0
    if held:
        yield held


def _replace(table: Table, old: list[DataFile], new: Written) -> None:
    """Swap files for others with the same rows, whoever commits meanwhile."""
    for number in range(TRIES):
        if number:
            time.sleep(WAIT_S * number)
            table.refresh()
            if _came(table, new):  # the catalog took it, and its answer was lost
                return
        if table.current_snapshot() is None:
            break
        try:
            _commit(table, old, new)
        except ValidationException:
            break  # somebody else has replaced one of them
        except (CommitFailedException, CommitStateUnknownException):
            continue
        return
    else:
        raise LakeError(
            "Somebody else changed the lake again and again while it was compacted, so nothing was "
            "changed: run `horizon lake compact` when less is written."
        )
    raise LakeError(
        "Somebody else compacted or rewrote the same files of the lake, and their work stands: run "
        "`horizon lake compact` again for what is left."
    )


def _came(table: Table, new: Written) -> bool:
    mine = {file.file_path for file in new.files}
    return any(task.file.file_path in mine for task in live_files(table))


def _commit(table: Table, old: list[DataFile], new: Written) -> None:
    """With the watermark of the snapshot that it follows: on any other the catalog refuses."""
    said = watermark_of(table).properties()
    with (
        table.transaction() as change,
        change.update_snapshot(snapshot_properties=said).overwrite() as swap,
    ):
        for file in old:
            swap.delete_data_file(file)
        for file in new.files:
            swap.append_data_file(file)
