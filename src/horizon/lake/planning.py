"""Which files a query has to read, by Iceberg's own lists of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pyiceberg.table import FileScanTask, StaticTable, Table

from horizon.errors import LakeError
from horizon.lake.view import File, Files
from horizon.lake.watermark import Watermark, watermark_of

COLUMNS = ("node", "nodes", "time", "received_at", "activity")


@dataclass(frozen=True)
class Planned:
    lake: tuple[Files, ...]
    watermark: Watermark
    snapshot_id: int | None


def plan(pointer: str, properties: Mapping[str, str]) -> Planned:
    """Raises LakeError where a file of Iceberg's own is missing or damaged; it is named."""
    try:
        table = StaticTable.from_metadata(pointer, dict(properties))
        files = tuple(map(_file, table.scan().plan_files()))
    except (OSError, ValueError, EOFError) as exc:
        raise LakeError(
            f"The lake's list of files cannot be read ({exc}), as {pointer} names it: bring that "
            "file back from a backup; `horizon lake verify` says what is missing."
        ) from exc
    snapshot = table.current_snapshot()
    return Planned(
        (Files(_ids(table), files),) if files else (),
        watermark_of(table),
        snapshot.snapshot_id if snapshot else None,
    )


def _ids(table: Table) -> dict[str, int]:
    return {name: table.schema().find_field(name).field_id for name in COLUMNS}


def _file(task: FileScanTask) -> File:
    if task.delete_files:
        raise LakeError(
            f"{task.file.file_path} has rows deleted by another file, which only merging readers "
            "know: let the program that wrote it use copy-on-write, and compact the table."
        )
    return file_of(task.file)


def file_of(data: Any) -> File:
    return File(data.file_path, data.file_size_in_bytes, data.record_count)
