"""Which files a query has to read, by Iceberg's own lists of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pyiceberg.manifest import DataFile, DataFileContent, ManifestEntry, ManifestFile
from pyiceberg.table import StaticTable, Table

from horizon.errors import LakeError
from horizon.lake.faults import naming
from horizon.lake.view import File, Files
from horizon.lake.watermark import Watermark, watermark_of

if TYPE_CHECKING:
    from horizon.lake.resting import Resting

COLUMNS = ("node", "nodes", "nodes.element", "time", "received_at", "activity")
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class Planned:
    lake: tuple[Files, ...]
    watermark: Watermark
    snapshot_id: int | None


def plan(
    pointer: str, resting_pointer: str | None, properties: Mapping[str, str], rests: datetime | None
) -> Planned:
    """Raises LakeError where a file of Iceberg's own is missing or damaged; it is named."""
    with naming(pointer):
        events = StaticTable.from_metadata(pointer, dict(properties))
    if resting_pointer is None or rests is None:
        return planned(events)
    from horizon.lake import resting

    try:
        with naming(resting_pointer):
            summary = resting.found(resting_pointer, properties, events)
    except LakeError:
        summary = None  # all that it has can be read from the events
    if summary is not None and summary[0].frontier > rests.astimezone(UTC).date():
        summary = None  # it says too little of the window
    return planned(events, summary)


def planned(
    events: Table, summary: tuple[Resting, Table] | None = None, until: date | None = None
) -> Planned:
    """The events' files, or the summary's and what it does not cover; ``until`` a day of events."""
    parts = []
    if summary is not None:
        resting, table = summary
        parts.append(_part(table, list(_files(table, None, None))))
        parts.append(_part(events, list(_files(events, resting, until))))
    else:
        parts.append(_part(events, list(_files(events, None, until))))
    snapshot = events.current_snapshot()
    return Planned(
        tuple(part for part in parts if part.files), watermark_of(events),
        snapshot.snapshot_id if snapshot else None,
    )  # fmt: skip


def _part(table: Table, files: list[File]) -> Files:
    ids = {name: table.schema().find_field(name).field_id for name in COLUMNS}
    return Files(ids, tuple(files))


def _files(table: Table, resting: Resting | None, until: date | None) -> Iterator[File]:
    snapshot = table.current_snapshot()
    if snapshot is None:
        return
    with naming(snapshot.manifest_list):
        manifests = snapshot.manifests(table.io)
    for manifest in manifests:
        if resting is not None and _covered(manifest, resting):
            continue
        with naming(manifest.manifest_path):
            entries = manifest.fetch_manifest_entry(table.io)
        for entry in entries:
            if _wanted(entry, resting, until):
                yield _file(entry.data_file)


def _covered(manifest: ManifestFile, resting: Resting) -> bool:
    """All its files are of days before the frontier, and were there when the summary was made."""
    days = manifest.partitions or []
    if manifest.sequence_number > resting.sequence or len(days) != 1 or not days[0].upper_bound:
        return False
    return int.from_bytes(days[0].upper_bound, "little", signed=True) < _number(resting.frontier)


def _wanted(entry: ManifestEntry, resting: Resting | None, until: date | None) -> bool:
    day = _day(entry.data_file)
    if until is not None and day is not None and day >= _number(until):
        return False
    if resting is None or day is None or day >= _number(resting.frontier):
        return True
    return (entry.sequence_number or 0) > resting.sequence


def _day(file: DataFile) -> int | None:
    """Of a table by days; another program may have written others beside it."""
    value: Any = file.partition[0] if len(file.partition) == 1 else None
    if isinstance(value, date):
        return _number(value)
    return value if isinstance(value, int) else None


def _number(day: date) -> int:
    return (day - _EPOCH) // timedelta(days=1)


def _file(data: DataFile) -> File:
    if data.content != DataFileContent.DATA:
        raise LakeError(
            f"{data.file_path} says which rows of other files are deleted, and nothing but merging "
            "readers know that: let the program that wrote it use copy-on-write, then run "
            "`horizon lake compact`."
        )
    return File(data.file_path, data.file_size_in_bytes, data.record_count)
