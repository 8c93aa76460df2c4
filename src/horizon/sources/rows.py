"""One line of a file becomes one message, as Segment's API would have brought it."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from operator import itemgetter
from typing import Any
from zoneinfo import ZoneInfo

from horizon.errors import MappingError
from horizon.sources.lines import MAX_LINE_BYTES
from horizon.sources.mapping import BLANKS, Mapping

Message = dict[str, Any]

_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_LARGEST = 2**63 - 1


class BadLineError(Exception):
    """Why a line is no event. The message names columns, never what a person's line held."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def decode_line(raw: bytes, encoding: str) -> str:
    """A line's text without its line end, LF or CRLF. Raises BadLineError."""
    if len(raw) > MAX_LINE_BYTES:
        raise BadLineError("too_long", f"the line is longer than {MAX_LINE_BYTES} bytes")
    try:
        return raw.decode(encoding).rstrip("\r\n")
    except UnicodeDecodeError as exc:
        raise BadLineError("encoding", f"byte {exc.start + 1} is not {encoding}") from exc


def split_line(text: str, delimiter: str) -> list[str]:
    """A line's cells, without blanks around them. Raises BadLineError where a quote stays open."""
    if delimiter == BLANKS:
        return text.split()
    try:
        cells = next(csv.reader([text], delimiter=delimiter, strict=True), [])
    except csv.Error as exc:
        raise BadLineError("quotes", f"its quotes cannot be read ({exc})") from exc
    return [cell.strip() for cell in cells]


class RowReader:
    """Reads lines of a file with these columns; ``digest`` is the file's, for message ids."""

    def __init__(self, mapping: Mapping, columns: Sequence[str], digest: str) -> None:
        places = _places(mapping, columns)
        self._mapping = mapping
        self._width = len(columns)
        self._prefix = digest[:32]
        self._user_id = itemgetter(places["user_id_column"])
        self._time = itemgetter(places["time_column"])
        self._properties = [
            (name, wanted.column, places[f"properties.{name}"], _READERS[wanted.type])
            for name, wanted in mapping.properties.items()
        ]
        # A file repeats its days: strptime alone would take a third of the whole.
        self._instant = lru_cache(maxsize=4096)(instant_reader(mapping))

    def message(self, number: int, raw: bytes) -> Message | None:
        """The message of line ``number``, or None where it is blank. Raises BadLineError."""
        cells = split_line(decode_line(raw, self._mapping.encoding), self._mapping.delimiter)
        if not any(cells):
            return None
        if len(cells) != self._width:
            raise BadLineError("columns", f"it has {len(cells)} columns instead of {self._width}")
        return {
            "type": self._mapping.type,
            "event" if self._mapping.type == "track" else "name": self._mapping.event,
            "messageId": f"{self._prefix}:{number}",
            "userId": self._user_id(cells),
            "timestamp": self._instant(self._time(cells)),
            "properties": self._read_properties(cells),
        }

    def _read_properties(self, cells: Sequence[str]) -> Message:
        properties = {}
        for name, column, place, read in self._properties:
            cell = cells[place]
            if cell:  # an empty cell is a property that nobody knows
                try:
                    properties[name] = read(cell)
                except ValueError as exc:
                    raise BadLineError("property", f"{column} {exc}") from exc
        return properties


def _places(mapping: Mapping, columns: Sequence[str]) -> dict[str, int]:
    for key, column in mapping.used_columns():
        if columns.count(column) != 1:
            found = "is not in the file" if column not in columns else "is twice in the file"
            raise MappingError(
                f"The mapping {mapping.name}: {key} names the column {column}, which {found}: its "
                f"columns are {', '.join(columns) or 'none'}."
            )
    return {key: columns.index(column) for key, column in mapping.used_columns()}


def instant_reader(mapping: Mapping) -> Callable[[str], str]:
    """Reads the mapping's times into ISO 8601 in UTC. Of a local time that comes twice in
    autumn, the first one is taken."""
    zone = ZoneInfo(mapping.time_zone) if mapping.time_zone else None

    def read(cell: str) -> str:
        try:
            local = datetime.strptime(cell, mapping.time_format)  # noqa: DTZ007
            return (local.replace(tzinfo=zone) if zone else local).astimezone(UTC).isoformat()
        except (ValueError, OverflowError) as exc:
            said = f"{mapping.time_column} is not a time like {mapping.time_format}"
            raise BadLineError("time", said) from exc

    return read


def _read_int(cell: str) -> int:
    # int() alone would take 1_000 and digits of other scripts, and JSON holds 64 bits.
    if not _INTEGER.fullmatch(cell) or abs(int(cell)) > _LARGEST:
        raise ValueError("is not a whole number of at most 64 bits")
    return int(cell)


def _read_float(cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or "_" in cell:
        raise ValueError("is not a number like 11.77")
    return value


_READERS: dict[str, Callable[[str], int | float | str]] = {
    "int": _read_int,
    "float": _read_float,
    "str": str,
}
