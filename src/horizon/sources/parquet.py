"""Parquet files: rows as messages, or as what a mapping makes messages of.

Pages are read as they are wanted: a row group of any size takes the memory of its pages and of the
rows of one batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from horizon.errors import HorizonError, MappingError, UsageError
from horizon.sources import lines
from horizon.sources.archived import complete
from horizon.sources.bad_line import BadLineError
from horizon.sources.fields import FieldReader, Row, as_json
from horizon.sources.lines import CHECKING, Batch, OnProgress, Position
from horizon.sources.mapping import Mapping
from horizon.sources.stored import Limits, Stored
from horizon.sources.unpacking import BUFFER_BYTES, Lent

_OBJECTS = ("properties", "traits", "context")  # which many tables hold as JSON text


class ParquetReader:
    unit = "row"

    def __init__(self, stored: Stored, mapping: Mapping | None, limits: Limits) -> None:
        self._stored = stored
        self._limits = limits
        self._file = self._opened(stored)
        self._check_row_groups()
        schema = self._file.schema_arrow
        self._columns = _wanted(schema, mapping, stored.name)
        self._plain = pa.schema([_plain(schema.field(name)) for name in self._columns])
        self._fields = FieldReader(mapping) if mapping else None
        self._row = 0

    def digest(self, on_progress: OnProgress) -> str:
        self._stored.seek(0)
        sha256, done = hashlib.sha256(), 0
        while read := self._stored.read(BUFFER_BYTES):
            sha256.update(read)
            self._stored.check_unchanged()
            done += len(read)
            on_progress(CHECKING, done, self._stored.size_bytes)
        return sha256.hexdigest()

    def batches(self, start: Position) -> Iterator[Batch]:
        unpacked, self._row = 0, start.offset
        for rows in self._some_rows(start.offset):
            unpacked += rows.nbytes
            if unpacked > self._limits.unpacked_bytes:
                raise UsageError(
                    f"{self._stored.name} unpacks to more than {self._limits.unpacked_bytes} bytes:"
                    " set FILE_UNPACKED_BYTES to more if that is right."
                )
            for some in _in_slices(rows):
                first = self._row + 1
                self._row += some.num_rows
                items = list(enumerate(_values(some), start=first))
                yield Batch(items, Position(self._row, self._row))

    def message(self, message_id: str, item: Row | BadLineError) -> bytes:
        if isinstance(item, BadLineError):
            raise item
        if self._fields is not None:
            return self._fields.message(message_id, item)
        row = {name: _object(name, value) for name, value in item.items() if value is not None}
        try:
            return complete(as_json(row), message_id)
        except msgspec.DecodeError as exc:
            raise BadLineError("invalid_json", "a column of JSON text holds none") from exc

    def body(self, item: Row | BadLineError) -> bytes:
        try:
            return b"" if isinstance(item, BadLineError) else as_json(item)
        except BadLineError:
            return b""

    def done_bytes(self) -> int:
        rows = int(self._file.metadata.num_rows)
        return self._stored.size_bytes * self._row // max(1, rows)

    def _opened(self, stored: Stored) -> Any:
        stored.seek(0)
        try:
            # A buffer: without one a whole column of a row group is held at once.
            return pq.ParquetFile(
                pa.PythonFile(Lent(stored), "r"), buffer_size=BUFFER_BYTES, pre_buffer=False,
                page_checksum_verification=True,
            )  # fmt: skip
        except (pa.ArrowException, OSError) as exc:
            raise self._damaged(exc) from exc

    def _check_row_groups(self) -> None:
        metadata, most = self._file.metadata, self._limits.row_group_bytes
        for number in range(metadata.num_row_groups):
            if (size := metadata.row_group(number).total_byte_size) > most:
                raise UsageError(
                    f"{self._stored.name} has a row group of {size} bytes: write it with smaller "
                    f"ones, or set FILE_ROW_GROUP_BYTES to more than {most}."
                )

    def _some_rows(self, start: int) -> Iterator[Any]:
        """Record batches from this row on."""
        group, row = self._group_of(start)
        found = self._file.iter_batches(
            batch_size=self._batch_rows(), row_groups=range(group, self._file.num_row_groups),
            columns=self._columns, use_threads=False,
        )  # fmt: skip
        try:
            for rows in found:
                row += rows.num_rows
                if row > start:
                    wanted = rows.slice(max(0, rows.num_rows - (row - start)))
                    yield pa.Table.from_batches([wanted]).cast(self._plain, safe=False)
        except (pa.ArrowException, OSError) as exc:
            raise self._damaged(exc) from exc

    def _batch_rows(self) -> int:
        """Fewer where the file says that they are large."""
        metadata = self._file.metadata
        groups = range(metadata.num_row_groups)
        size_bytes: int = sum(metadata.row_group(number).total_byte_size for number in groups)
        fit = lines.BATCH_BYTES * int(metadata.num_rows) // max(1, size_bytes)
        return max(1, min(lines.BATCH_LINES, fit))

    def _group_of(self, row: int) -> tuple[int, int]:
        """The row group that holds the row after this one, and the rows before that group."""
        before = 0
        for number in range(self._file.num_row_groups):
            rows = self._file.metadata.row_group(number).num_rows
            if row < before + rows:
                return number, before
            before += rows
        return self._file.num_row_groups, before

    def _damaged(self, exc: Exception) -> HorizonError:
        said = " ".join(str(exc).split())[:200]
        return HorizonError(
            f"{self._stored.name} cannot be read, it is a damaged Parquet file ({said}): get it "
            "anew."
        )


def _wanted(schema: Any, mapping: Mapping | None, name: str) -> list[str]:
    """The outermost columns to read. Raises MappingError and UsageError."""
    if mapping is None:
        if "type" not in schema.names:
            raise UsageError(
                f"{name} has no column `type`, so its rows are no messages: say how its columns "
                "become events, with --mapping."
            )
        return list(schema.names)
    wanted = {}
    for key, column in mapping.used_columns():
        outer = column if column in schema.names else column.partition(".")[0]
        if not _holds(schema, column):
            raise MappingError(
                f"The mapping {mapping.name}: {key} names the column {column}, which is not in the "
                f"file: its columns are {', '.join(schema.names) or 'none'}."
            )
        wanted[outer] = True
    return list(wanted)


def _holds(schema: Any, column: str) -> bool:
    if schema.names.count(column) == 1:
        return True
    first, *others = column.split(".")
    if not others or schema.names.count(first) != 1:
        return False
    inner = schema.field(first).type
    for name in others:
        if not pa.types.is_struct(inner) or inner.get_field_index(name) < 0:
            return bool(pa.types.is_map(inner))
        inner = inner.field(name).type
    return True


def _plain(field: Any) -> Any:
    return field.with_type(_plain_type(field.type))


def _plain_type(kind: Any) -> Any:
    """The same in microseconds, which is what Python's times hold; nanoseconds are cut."""
    types = pa.types
    if types.is_timestamp(kind):
        return pa.timestamp("us", kind.tz)
    if types.is_duration(kind):
        return pa.duration("us")
    if types.is_time64(kind):
        return pa.time64("us")
    if types.is_struct(kind):
        return pa.struct([_plain(kind.field(place)) for place in range(kind.num_fields)])
    if types.is_map(kind):
        return pa.map_(_plain_type(kind.key_type), _plain_type(kind.item_type))
    if types.is_list(kind) or types.is_large_list(kind):
        return pa.list_(_plain(kind.value_field))
    return kind


def _in_slices(rows: Any) -> Iterator[Any]:
    """Few rows at once where they are large: as Python's values they take more."""
    step = max(1, rows.num_rows * lines.BATCH_BYTES // max(rows.nbytes, lines.BATCH_BYTES))
    for first in range(0, rows.num_rows, step):
        yield rows.slice(first, step)


def _values(rows: Any) -> Iterable[Row | BadLineError]:
    try:
        return list(rows.to_pylist(maps_as_pydicts="lossy"))
    except (ValueError, OverflowError, pa.ArrowException) as exc:
        if rows.num_rows == 1:
            return [BadLineError("value", f"it holds a value that cannot be read ({_short(exc)})")]
        return [row for number in range(rows.num_rows) for row in _values(rows.slice(number, 1))]


def _short(exc: Exception) -> str:
    return "text that is not UTF-8" if isinstance(exc, UnicodeError) else "a time out of range"


def _object(name: str, value: Any) -> Any:
    if name in _OBJECTS and isinstance(value, str):
        return msgspec.Raw(value.encode() or b"null")
    return value
