"""What every format offers: its lines or rows in batches, and the message that each one is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import msgspec

from horizon.errors import UsageError
from horizon.sources.archived import complete
from horizon.sources.bad_line import BadLineError
from horizon.sources.fields import FieldReader
from horizon.sources.lines import Batch, OnProgress, Position, TextLines
from horizon.sources.mapping import Mapping
from horizon.sources.rows import Message, RowReader, decode_line, split_line
from horizon.sources.stored import Limits, Stored

_PARQUET = b"PAR1"
_object = msgspec.json.Decoder(dict[str, Any]).decode


class Reader(Protocol):
    """Reads one file. Its items are lines or rows; ``batches`` may be asked from any position
    that it gave before, in another process too."""

    unit: str  # what an item is called

    def digest(self, on_progress: OnProgress) -> str:
        """The same for the same content, and for no other."""

    def batches(self, start: Position) -> Iterator[Batch]: ...

    def message(self, message_id: str, item: Any) -> Message | bytes | None:
        """The item as a message of Segment's API; None for a blank line. Raises BadLineError."""

    def body(self, item: Any) -> bytes:
        """The item as it is kept where it is rejected."""

    def done_bytes(self) -> int:
        """How far the file is read."""


def reader_of(stored: Stored, mapping: Mapping | None, limits: Limits) -> Reader:
    """The reader of this file's format, told by its content. Raises UsageError and MappingError."""
    stored.seek(0)
    is_parquet = stored.read(len(_PARQUET)) == _PARQUET
    if is_parquet != (mapping is not None and mapping.format == "parquet") and mapping is not None:
        held = "is a Parquet file" if is_parquet else "is no Parquet file"
        raise UsageError(
            f"{stored.name} {held}, and {mapping.name} is for {mapping.format}: set its format."
        )
    if is_parquet:
        from horizon.sources.parquet import ParquetReader  # 60 ms and 60 MB that few files need

        return ParquetReader(stored, mapping, limits)
    lines = TextLines(stored, limits)
    if mapping is not None and mapping.format == "csv":
        return CsvReader(lines, mapping)
    return JsonLinesReader(lines, mapping)


class _TextReader:
    unit = "line"

    def __init__(self, lines: TextLines) -> None:
        self._lines = lines

    def digest(self, on_progress: OnProgress) -> str:
        return self._lines.digest(on_progress)

    def batches(self, start: Position) -> Iterator[Batch]:
        return self._lines.batches(start)

    def body(self, item: bytes) -> bytes:
        return item.rstrip(b"\r\n")

    def done_bytes(self) -> int:
        return self._lines.stored.tell()

    def _check_length(self, item: bytes) -> None:
        if len(item) > self._lines.most_bytes:
            raise BadLineError(
                "too_long", f"the line is longer than FILE_LINE_BYTES, {self._lines.most_bytes}"
            )


class CsvReader(_TextReader):
    """Lines of cells, as the mapping says; the header's columns have to be those it names."""

    def __init__(self, lines: TextLines, mapping: Mapping) -> None:
        super().__init__(lines)
        self._first = Position()
        self._quote = b'"' if mapping.line_breaks else b""
        columns = mapping.columns
        if mapping.header:
            raw, self._first = lines.first()
            columns = mapping.columns or tuple(self._header(raw, mapping))
        self._rows = RowReader(mapping, columns)

    def batches(self, start: Position) -> Iterator[Batch]:
        return self._lines.batches(max(start, self._first), self._quote)

    def message(self, message_id: str, item: bytes) -> Message | None:
        self._check_length(item)
        return self._rows.message(message_id, item)

    def _header(self, raw: bytes, mapping: Mapping) -> list[str]:
        try:
            self._check_length(raw)
            return split_line(decode_line(raw, mapping.encoding), mapping.delimiter)
        except BadLineError as bad:
            raise UsageError(
                f"{self._lines.stored.name} has a first line that {mapping.name} cannot read "
                f"({bad.message}): set the mapping's encoding and delimiter to the file's."
            ) from bad


class JsonLinesReader(_TextReader):
    """An object a line: a message itself, or what the mapping makes one of."""

    def __init__(self, lines: TextLines, mapping: Mapping | None) -> None:
        super().__init__(lines)
        start = lines.head.lstrip(b"\xef\xbb\xbf \t\r\n")
        if start.startswith(b"["):
            raise UsageError(
                f"{lines.stored.name} is one JSON array: write an object a line, such as with "
                "`jq -c '.[]'`."
            )
        if start and not start.startswith(b"{"):
            raise UsageError(
                f"{lines.stored.name} holds no JSON lines: say how its columns become events, "
                "with --mapping."
            )
        self._fields = FieldReader(mapping) if mapping else None

    def message(self, message_id: str, item: bytes) -> bytes | None:
        self._check_length(item)
        if item.isspace():
            return None
        try:
            if self._fields is None:
                return complete(item, message_id)
            return self._fields.message(message_id, _object(item))
        except RecursionError as exc:
            raise BadLineError("nested_too_deep", "it is nested too deep: flatten it") from exc
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise BadLineError("invalid_json", "it is no JSON object in UTF-8") from exc
