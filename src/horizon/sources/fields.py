"""One JSON object or Parquet row becomes one message, its columns named as in CSV."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from horizon.sources.bad_line import BadLineError
from horizon.sources.instants import instant_reader
from horizon.sources.mapping import Mapping
from horizon.sources.rows import READERS, Message, message_of, read_property

Row = dict[str, Any]

# Amounts are numbers in JSON, with the digits that they have.
_encode = msgspec.json.Encoder(decimal_format="number", enc_hook=str).encode


def as_json(row: Row) -> bytes:
    """A row as JSON: times as ISO 8601, bytes in base64, decimals as numbers with all digits."""
    try:
        return _encode(row)
    except (TypeError, ValueError, OverflowError, RecursionError) as exc:
        raise BadLineError("value", "it holds a value that JSON does not know") from exc


class FieldReader:
    """Reads rows whose values have types already."""

    def __init__(self, mapping: Mapping) -> None:
        self._mapping = mapping
        self._user_id = _finder(mapping.user_id_column)
        self._time = _finder(mapping.time_column)
        self._instant = instant_reader(mapping)
        self._properties = [
            (name, wanted.column, _finder(wanted.column), READERS.get(wanted.type or ""))
            for name, wanted in mapping.properties.items()
        ]

    def message(self, message_id: str, row: Row) -> bytes:
        """Raises BadLineError."""
        message = message_of(
            self._mapping, message_id, self._user_id(row), self._instant(self._time(row)),
            self._read_properties(row),
        )  # fmt: skip
        return as_json(message)

    def _read_properties(self, row: Row) -> Message:
        properties = {}
        for name, column, find, read in self._properties:
            value = find(row)
            if value is None or value == "":
                continue
            if read is not None:
                if isinstance(value, dict | list | bool):
                    raise BadLineError("property", f"{column} is no single value")
                value = read_property(read, str(value), column)
            properties[name] = value
        return properties


def _finder(column: str) -> Callable[[Row], Any]:
    """The field of this name; where there is none, ``a.b`` is the field b of a."""
    first, *others = column.split(".")

    def find(row: Row) -> Any:
        if column in row or not others:
            return row.get(column)
        value = row.get(first)
        for name in others:
            if not isinstance(value, dict):
                return None
            value = value.get(name)
        return value

    return find
