"""Data files of a step: by the day that events happened on, sorted within by node."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.io.pyarrow import _dataframe_to_data_files
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

# Held at once: this much is sorted and written while as much is read.
CHUNK_BYTES = 256 * 2**20


@dataclass
class Written:
    events: int = 0
    files: list[DataFile] = field(default_factory=list)

    @property
    def size_bytes(self) -> int:
        return sum(file.file_size_in_bytes for file in self.files)


def write(table: Table, batches: Iterable[pa.RecordBatch]) -> Written:
    """The files are on disk; no snapshot names them yet."""
    written = Written()
    schema = table.schema().as_arrow()
    with ThreadPoolExecutor(1, "lake") as pool:
        under_way: Future[list[DataFile]] | None = None
        for chunk in _chunks(batches):
            written.events += chunk.num_rows
            if under_way is not None:
                written.files += under_way.result()
            under_way = pool.submit(_write_chunk, table, schema, chunk)
        if under_way is not None:
            written.files += under_way.result()
    return written


def _chunks(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    held: list[pa.RecordBatch] = []
    size_bytes = 0
    for batch in batches:
        held.append(batch)
        size_bytes += batch.nbytes
        if size_bytes >= CHUNK_BYTES:
            yield pa.Table.from_batches(held)
            held, size_bytes = [], 0
    if held:
        yield pa.Table.from_batches(held)


def _write_chunk(table: Table, schema: pa.Schema, chunk: pa.Table) -> list[DataFile]:
    order = pc.sort_indices(pa.table({"node": _plain(chunk["node"])}), [("node", "ascending")])
    ordered = chunk.take(order).cast(schema)
    return list(_dataframe_to_data_files(table.metadata, ordered, table.io))


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Extension types cannot be sorted, what they are stored as can."""
    if isinstance(column.type, pa.BaseExtensionType):
        return pa.chunked_array([chunk.storage for chunk in column.chunks])
    return column
