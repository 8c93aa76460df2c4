"""Old snapshots of the lake, and files that none names any more."""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

from pyarrow import fs
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.table import StaticTable, Table
from pyiceberg.table.snapshots import Snapshot

from horizon.errors import LakeError
from horizon.lake.faults import naming
from horizon.lake.watermark import bearer_of

# A query that began on a snapshot reads its files so long at most.
READERS: Final = timedelta(hours=2)
# A writer's files are named by a snapshot so long after they were begun at most.
WRITERS: Final = timedelta(hours=6)
TRIES: Final = 5
METADATA_KEPT: Final = 20  # older versions of the table's own file, for a look back


@dataclass(frozen=True)
class Removed:
    files: int = 0
    size_bytes: int = 0


def expire(table: Table, now: datetime, readers: timedelta = READERS) -> int:
    """Forget snapshots that were replaced longer ago than a reader reads; how many they were.

    What stays: the current one, all up to the nearest that tells the watermark, and what a branch
    or a tag names. The age is that of the replacement: a reader may have begun just before it.
    """
    for _ in range(TRIES):
        gone = over(table, now - readers)
        if not gone:
            return 0
        try:
            table.maintenance.expire_snapshots().by_ids(gone).commit()
        except CommitFailedException:
            table.refresh()
            continue
        return len(gone)
    return 0  # an archive is quicker; the next maintenance does it


def over(table: Table, before: datetime) -> list[int]:
    return replaced(table, before, _up_to_watermark(table))


def replaced(table: Table, before: datetime, kept: Set[int] = frozenset()) -> list[int]:
    """Snapshots that another took the place of before that time, and that nothing names."""
    replaced_ms: dict[int, int] = {}
    for snapshot in table.metadata.snapshots:
        if snapshot.parent_snapshot_id is not None:
            later = replaced_ms.get(snapshot.parent_snapshot_id, 0)
            replaced_ms[snapshot.parent_snapshot_id] = max(later, snapshot.timestamp_ms)
    named = {ref.snapshot_id for ref in table.metadata.refs.values()}
    before_ms = before.timestamp() * 1000
    return [
        one.snapshot_id for one in table.metadata.snapshots
        if one.snapshot_id not in named and one.snapshot_id not in kept
        and max(replaced_ms.get(one.snapshot_id, 0), one.timestamp_ms) < before_ms
    ]  # fmt: skip


def _up_to_watermark(table: Table) -> set[int]:
    return {snapshot.snapshot_id for snapshot in bearer_of(table)}


def remove_unnamed(
    table: Table, pinned: list[str], now: datetime, writers: timedelta = WRITERS
) -> Removed:
    """Delete the table's files that no snapshot names and that are older than any writer's.

    ``pinned`` are metadata files of backups: what their snapshot names stays. Listed before the
    table is read, so that what was committed meanwhile is not missed. Raises LakeError, before the
    first file is gone, where a list of files cannot be read: nobody knows then what is named.
    """
    before = now - writers
    system, listed = _files(table, before)
    if not listed:
        return Removed()
    table.refresh()
    named = names(table)
    for location in pinned:
        named |= set(_named_by_backup(table, location))
    gone = [(path, size) for path, size in listed if path not in named]
    for path, _ in gone:
        with naming(path):
            system.delete_file(path)
    return Removed(len(gone), sum(size for _, size in gone))


def _files(table: Table, before: datetime) -> tuple[fs.FileSystem, list[tuple[str, int]]]:
    scheme, netloc, path = PyArrowFileIO.parse_location(table.location(), dict(table.io.properties))
    assert isinstance(table.io, PyArrowFileIO)
    with naming(table.location()):
        system = table.io.fs_by_scheme(scheme, netloc)
        infos = system.get_file_info(fs.FileSelector(path, recursive=True, allow_not_found=True))
    return system, [
        (info.path, int(info.size or 0)) for info in infos
        if info.type == fs.FileType.File and info.mtime_ns is not None
        and info.mtime_ns < before.timestamp() * 1e9
    ]  # fmt: skip


def names(table: Table) -> set[str]:
    """All files that it names, as Arrow lists them. Raises LakeError where it cannot be told."""
    return set(_named(table))


def _named(table: Table) -> Iterator[str]:
    yield _path(table.metadata_location)
    for entry in table.metadata.metadata_log[-METADATA_KEPT:]:
        yield _path(entry.metadata_file)
    for statistics in (*table.metadata.statistics, *table.metadata.partition_statistics):
        yield _path(statistics.statistics_path)
    seen: set[str] = set()
    for snapshot in table.metadata.snapshots:
        yield from _named_by(table, snapshot, seen)


def _named_by(table: Table, snapshot: Snapshot, seen: set[str]) -> Iterator[str]:
    yield _path(snapshot.manifest_list)
    with naming(snapshot.manifest_list):
        manifests = snapshot.manifests(table.io)
    for manifest in manifests:
        if manifest.manifest_path in seen:
            continue
        seen.add(manifest.manifest_path)
        yield _path(manifest.manifest_path)
        with naming(manifest.manifest_path):
            entries = manifest.fetch_manifest_entry(table.io)
        for entry in entries:
            yield _path(entry.data_file.file_path)


def _named_by_backup(table: Table, location: str) -> Iterator[str]:
    yield _path(location)
    try:
        with naming(location):
            then = StaticTable.from_metadata(location, dict(table.io.properties))
    except LakeError:
        return  # a backup whose lake is gone already keeps nothing
    snapshot = then.current_snapshot()
    if snapshot is not None:
        yield from _named_by(table, snapshot, set())


def _path(location: str) -> str:
    """As Arrow lists it. Spark writes file:/x and s3a://b/x for file:///x and s3://b/x."""
    parts = urlsplit(location)
    if parts.scheme in ("", "file"):
        return parts.path
    return f"{parts.netloc}{parts.path}"
