"""One step into the catalog: its files and its watermark, both or none, and once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pyiceberg.exceptions import CommitFailedException, CommitStateUnknownException
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table
from sqlalchemy.exc import SQLAlchemyError

from horizon.errors import LakeError
from horizon.lake.watermark import Watermark, watermark_of

TRIES: Final = 5  # against a compaction, which commits in between

_DOUBTS = (CommitFailedException, CommitStateUnknownException, SQLAlchemyError)


def append(table: Table, files: Sequence[DataFile], after: Watermark) -> bool:
    """Name the files in a snapshot that has this watermark.

    Where it is refused or the answer was lost, the watermark in the catalog tells what became of
    it: whoever else moved it to ``after`` took the same rows. False says that somebody did, and
    not with these files. Raises LakeError where it was moved elsewhere.
    """
    before = watermark_of(table)
    for _ in range(TRIES):
        try:
            _append(table, files, after)
        except _DOUBTS as exc:
            table.refresh()
            found = watermark_of(table)
            if found == after:
                return _names(table, files)
            if found != before:
                raise _taken(exc) from exc
            failed = exc
        else:
            return True
    raise _taken(failed) from failed


def _append(table: Table, files: Sequence[DataFile], after: Watermark) -> None:
    with (
        table.transaction() as change,
        change.update_snapshot(snapshot_properties=after.properties()).merge_append() as append,
    ):
        for file in files:
            append.append_data_file(file)


def _names(table: Table, files: Sequence[DataFile]) -> bool:
    """Whether the table has these files, of which one tells of all."""
    mine = {file.file_path for file in files[:1]}
    return not mine or any(task.file.file_path in mine for task in table.scan().plan_files())


def _taken(exc: Exception) -> LakeError:
    said = " ".join(str(exc).split("\n")[0].split())
    return LakeError(
        f"The lake's catalog did not take the commit ({said}): run `horizon archive` again, it "
        "finds out how far the lake has come."
    )
