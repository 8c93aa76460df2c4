"""The lake's data files, one at a time: a file that is missing or damaged is named."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import pyarrow as pa
from pyiceberg.expressions import AlwaysTrue, BooleanExpression
from pyiceberg.io.pyarrow import ArrowScan
from pyiceberg.table import FileScanTask, Table

from horizon.lake.faults import naming

ALWAYS_TRUE: Final = AlwaysTrue()


def live_files(
    table: Table, row_filter: str | BooleanExpression = ALWAYS_TRUE
) -> list[FileScanTask]:
    """Those of the current snapshot. Raises LakeError, which names the list that cannot be read."""
    snapshot = table.current_snapshot()
    if snapshot is None:
        return []
    with naming(snapshot.manifest_list):
        manifests = snapshot.manifests(table.io)
    for manifest in manifests:
        with naming(manifest.manifest_path):
            manifest.fetch_manifest_entry(table.io)
    return list(table.scan(row_filter).plan_files())


def rows_of(table: Table, tasks: Iterable[FileScanTask]) -> Iterator[pa.RecordBatch]:
    """By the table's schema as it is now: a file from before a column has nulls in it."""
    scan = ArrowScan(table.metadata, table.io, table.schema(), ALWAYS_TRUE)
    for task in tasks:
        with naming(task.file.file_path):
            batches = list(scan.to_record_batches([task]))
        yield from batches
