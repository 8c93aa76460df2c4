"""Data files of a step: by the day that events happened on, sorted within by node."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, timedelta
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.io import FileIO
from pyiceberg.io.pyarrow import (
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
)
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.table import Table
from pyiceberg.table.locations import load_location_provider
from pyiceberg.typedef import Record

from horizon.errors import LakeError
from horizon.lake import checksum
from horizon.lake.faults import naming
from horizon.lake.schema import REPEATED

# Of rows in memory; while one is sorted and written the next one is read.
CHUNK_BYTES = 256 * 2**20
GROUP_ROWS = 122_880  # DuckDB reads a group with each of its threads
_DAY_US = 86_400_000_000


@dataclass
class Written:
    events: int = 0
    files: list[DataFile] = field(default_factory=list)

    @property
    def size_bytes(self) -> int:
        return sum(file.file_size_in_bytes for file in self.files)


def write(table: Table, batches: Iterable[pa.RecordBatch]) -> Written:
    """The files are on disk, and hold what was read; no snapshot names them yet.

    Where that fails there are none. Raises LakeError, with the name of a file that could not be
    written or holds something else.
    """
    written = Written()
    with ThreadPoolExecutor(1, "lake") as pool:
        try:
            under_way: Future[None] | None = None
            for chunk in _chunks(batches):
                if under_way is not None:
                    under_way.result()
                under_way = pool.submit(_write_chunk, table, chunk, written)
                del chunk
            if under_way is not None:
                under_way.result()
        except BaseException:
            pool.shutdown()
            discard(table.io, written.files)
            raise
    return written


def discard(io: FileIO, files: Iterable[DataFile]) -> None:
    for file in files:
        with contextlib.suppress(OSError):
            io.delete(file.file_path)


def _chunks(batches: Iterable[pa.RecordBatch]) -> Iterator[list[pa.RecordBatch]]:
    held: list[pa.RecordBatch] = []
    size_bytes = 0
    for batch in batches:
        held.append(batch)
        size_bytes += batch.nbytes
        if size_bytes >= CHUNK_BYTES:
            yield held
            held, size_bytes = [], 0
    if held:
        yield held


def _write_chunk(table: Table, batches: list[pa.RecordBatch], written: Written) -> None:
    chunk = pa.Table.from_batches(batches)
    batches.clear()
    read = checksum.of_table(chunk)
    files: list[DataFile] = []
    for day, events in _by_day(chunk, table.schema().as_arrow()):
        file = _write_file(table, day, events)
        written.files.append(file)
        files.append(file)
    with naming(files[0].file_path):
        found = checksum.of_files(table.io, [file.file_path for file in files])
    if found != read:
        raise LakeError(
            f"The lake's files {', '.join(file.file_path for file in files[:3])} do not hold what "
            "was written into them: look at the disk, then run `horizon archive` again; nothing "
            "was lost."
        )
    written.events += read.events


def _by_day(chunk: pa.Table, schema: pa.Schema) -> Iterator[tuple[date, pa.Table]]:
    """The events of each UTC day that they happened on, sorted by node."""
    days = np.concatenate([_of_eight(one) for one in chunk["time"].chunks]) // _DAY_US
    nodes = np.concatenate([_nodes(one) for one in chunk["node"].chunks])
    order = pa.array(np.lexsort((nodes["low"], nodes["high"], days)))
    days = np.sort(days)
    ordered = pa.Table.from_arrays([_taken(chunk, one, order) for one in schema], schema=schema)
    starts = np.flatnonzero(np.diff(days, prepend=days[0] - 1))
    for start, end in zip(starts, [*starts[1:], len(days)], strict=True):
        yield date(1970, 1, 1) + timedelta(int(days[start])), ordered.slice(start, end - start)


def _taken(chunk: pa.Table, one: pa.Field, order: pa.Array) -> pa.Array:
    """A column in that order; NULL where another tool gave the table a column of its own."""
    if one.name not in chunk.column_names:
        return pa.nulls(len(order), one.type)
    return chunk[one.name].combine_chunks().take(order).cast(one.type)


def _of_eight(column: pa.Array) -> npt.NDArray[np.int64]:
    return np.frombuffer(column.buffers()[1], np.int64)[column.offset :][: len(column)]


def _nodes(column: pa.Array) -> npt.NDArray[np.void]:
    """Extension types cannot be sorted, what they are stored as can: two big-endian halves."""
    halves = np.dtype([("high", ">u8"), ("low", ">u8")])
    stored = column.storage
    return np.frombuffer(stored.buffers()[1], halves)[stored.offset :][: len(stored)]


def _write_file(table: Table, day: date, events: pa.Table) -> DataFile:
    metadata, schema = table.metadata, table.schema()
    places = load_location_provider(metadata.location, metadata.properties)
    location = places.new_data_location(f"day={day}/{uuid4()}.parquet")
    output = table.io.new_output(location)
    with naming(location), output.create() as stream, pq.ParquetWriter(
        stream, events.schema, compression="zstd", compression_level=1, store_schema=False,
        use_dictionary=list(REPEATED), write_page_checksum=True,
    ) as writer:  # fmt: skip
        writer.write_table(events, GROUP_ROWS)
    statistics = data_file_statistics_from_parquet_metadata(
        writer.writer.metadata,
        compute_statistics_plan(schema, metadata.properties),
        parquet_path_to_id_mapping(schema),
    )
    return DataFile.from_args(
        content=DataFileContent.DATA, file_path=location, file_format=FileFormat.PARQUET,
        partition=Record((day - date(1970, 1, 1)).days), file_size_in_bytes=len(output),
        sort_order_id=None, spec_id=metadata.default_spec_id, equality_ids=None,
        key_metadata=None, **statistics.to_serialized_dict(),
    )  # fmt: skip
