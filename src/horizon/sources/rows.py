"""One line of a CSV file becomes one message, as Segment's API would have brought it."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any

from horizon.errors import MappingError
from horizon.sources.bad_line import BadLineError
from horizon.sources.instants import instant_reader
from horizon.sources.mapping import BLANKS, Mapping

Message = dict[str, Any]

_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_LARGEST = 2**63 - 1


def decode_line(raw: bytes, encoding: str) -> str:
    """A line's text without its line end, LF or CRLF. Raises BadLineError."""
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
        raise BadLineError(
            "quotes",
            f"its quotes cannot be read ({exc}); where cells hold line breaks, set line_breaks",
        ) from exc
    return [cell.strip() for cell in cells]


class RowReader:
    """Reads lines of a file with these columns."""

    def __init__(self, mapping: Mapping, columns: Sequence[str]) -> None:
        places = _places(mapping, columns)
        self._mapping = mapping
        self._width = len(columns)
        self._user_id = itemgetter(places["user_id_column"])
        self._time = itemgetter(places["time_column"])
        self._properties = [
            (name, wanted.column, places[f"properties.{name}"], READERS[wanted.type or "str"])
            for name, wanted in mapping.properties.items()
        ]
        # A file repeats its days: strptime alone would take a third of the whole.
        self._instant = lru_cache(maxsize=4096)(instant_reader(mapping))

    def message(self, message_id: str, raw: bytes) -> Message | None:
        """The message of a line, or None where it is blank. Raises BadLineError."""
        cells = split_line(decode_line(raw, self._mapping.encoding), self._mapping.delimiter)
        if not any(cells):
            return None
        if len(cells) != self._width:
            raise BadLineError("columns", f"it has {len(cells)} columns instead of {self._width}")
        return message_of(
            self._mapping, message_id, self._user_id(cells), self._instant(self._time(cells)),
            self._read_properties(cells),
        )  # fmt: skip

    def _read_properties(self, cells: Sequence[str]) -> Message:
        properties = {}
        for name, column, place, read in self._properties:
            cell = cells[place]
            if cell:  # an empty cell is a property that nobody knows
                properties[name] = read_property(read, cell, column)
        return properties


def message_of(
    mapping: Mapping, message_id: str, user_id: Any, timestamp: str, properties: Message
) -> Message:
    return {
        "type": mapping.type,
        "event" if mapping.type == "track" else "name": mapping.event,
        "messageId": message_id,
        "userId": user_id,
        "timestamp": timestamp,
        "properties": properties,
    }


def _places(mapping: Mapping, columns: Sequence[str]) -> dict[str, int]:
    for key, column in mapping.used_columns():
        if columns.count(column) != 1:
            found = "is not in the file" if column not in columns else "is twice in the file"
            raise MappingError(
                f"The mapping {mapping.name}: {key} names the column {column}, which {found}: its "
                f"columns are {', '.join(columns) or 'none'}."
            )
    return {key: columns.index(column) for key, column in mapping.used_columns()}


def read_property(read: Callable[[str], Any], cell: str, column: str) -> Any:
    """Raises BadLineError."""
    try:
        return read(cell)
    except ValueError as exc:
        raise BadLineError("property", f"{column} {exc}") from exc


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


READERS: dict[str, Callable[[str], int | float | str]] = {
    "int": _read_int,
    "float": _read_float,
    "str": str,
}
