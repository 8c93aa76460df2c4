"""Mappings: TOML files that say how the lines or rows of a file become events."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import msgspec

from horizon.errors import MappingError

BLANKS = "blanks"
# Times that strptime has no word for; a column that holds times already needs no format.
ISO = "iso8601"
UNIX_UNITS = {"unix": 1, "unix_ms": 1_000}  # how many make a second
_TEXT_KEYS = ("delimiter", "header", "columns", "encoding", "line_breaks")  # of CSV alone

Text = Annotated[str, msgspec.Meta(min_length=1)]


class Property(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    column: Text
    type: Literal["int", "float", "str"] | None = None  # none: as it is, in CSV text


class Mapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``columns`` names the columns where no header does; with a header it replaces its names.
    In JSON lines and Parquet a column is a field; ``user.id`` is one inside of another."""

    name: str  # what errors call it; no key of the file
    format: Literal["csv", "jsonl", "parquet"]
    delimiter: Text = ","
    header: bool = True
    columns: tuple[Text, ...] = ()
    encoding: Text = "utf-8"
    line_breaks: bool = False  # whether quoted cells hold some
    user_id_column: Text
    time_column: Text
    time_format: Text = ISO
    time_zone: Text | None = None  # none: the format holds %z, or UTC is meant
    type: Literal["track", "page", "screen"] = "track"
    event: Text
    properties: dict[str, Property] = {}

    def used_columns(self) -> Iterator[tuple[str, str]]:
        """Each key that names a column, and the column."""
        yield "user_id_column", self.user_id_column
        yield "time_column", self.time_column
        for name, wanted in self.properties.items():
            yield f"properties.{name}", wanted.column


# What the error says of each key: how a right value looks.
EXAMPLES = {
    "format": 'format = "csv", "jsonl" or "parquet"',
    "delimiter": 'delimiter = ",", any one character, or "blanks" for columns aligned with blanks',
    "header": "header = true, or false where the first line is data already",
    "columns": 'columns = ["customer_id", "date"], each name once',
    "encoding": 'encoding = "utf-8", "latin-1" or another that holds ASCII',
    "line_breaks": "line_breaks = true where quoted cells hold line breaks, or false",
    "user_id_column": 'user_id_column = "customer_id"',
    "time_column": 'time_column = "date"',
    "time_format": 'time_format = "%Y-%m-%d %H:%M:%S", as strptime reads it, with year and day, or '
    '"iso8601", "unix" or "unix_ms"',
    "time_zone": 'time_zone = "Europe/Berlin" or "UTC", or none where time_format holds %z',
    "type": 'type = "track", "page" or "screen"',
    "event": 'event = "Order Completed"',
    "properties": 'total = { column = "amount", type = "float" }, with type int, float or str',
}


def load_mapping(wanted: str | Path) -> Mapping:
    """Read a mapping file, or one of our own by its bare name, such as ``cdnow``.

    Raises MappingError with the file, the key and how it should look.
    """
    path = Path(wanted)
    own = resources.files("horizon.sources") / "mappings" / f"{path.name}.toml"
    try:
        if path.name == str(wanted) and not path.exists() and own.is_file():
            return read_mapping(own.read_text(encoding="utf-8"), own.name)
        return read_mapping(path.read_text(encoding="utf-8"), str(wanted))
    except (OSError, UnicodeDecodeError) as exc:
        said = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8 text"
        raise MappingError(
            f"The mapping {wanted} cannot be read ({said}): give a TOML file, or the name of one "
            "of Horizon's own, such as cdnow."
        ) from exc


def read_mapping(text: str, name: str) -> Mapping:
    """Check a mapping's text; ``name`` is what errors call it. Raises MappingError."""
    try:
        values = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as exc:
        raise MappingError(f"The mapping {name} is not TOML ({exc}): mend that line.") from exc
    _check_keys(values, name)
    for key in _TEXT_KEYS:
        if key in values and values["format"] != "csv":
            raise _wrong(name, key, f"is of CSV and cannot stand in one of {values['format']}")
    mapping = msgspec.convert({**values, "name": name}, Mapping)
    for key, problem in _contradictions(mapping):
        raise _wrong(name, key, problem)
    return mapping


def _check_keys(values: dict[str, Any], name: str) -> None:
    """Convert each key alone, so that the error can name it."""
    for key in sorted(set(values) - set(EXAMPLES)):
        raise MappingError(
            f"The mapping {name}: there is no key {key}: take it out, the keys are "
            f"{', '.join(EXAMPLES)}."
        )
    for field in msgspec.structs.fields(Mapping):
        if field.name not in values:
            if field.required and field.name in EXAMPLES:
                raise _wrong(name, field.name, "is missing")
        elif not _fits(values[field.name], field.type):
            raise _wrong(name, *_culprit(field.name, values[field.name]))


def _culprit(key: str, value: object) -> tuple[str, str]:
    """Which key to name and what is wrong with it; of the properties, the one that is at fault."""
    if key == "properties" and isinstance(value, dict):
        for name, wanted in value.items():
            if not _fits(wanted, Property):
                return f"properties.{name}", f"cannot be {wanted!r}"
    return key, f"cannot be {value!r}"


def _fits(value: object, type_: Any) -> bool:
    try:
        msgspec.convert(value, type_)
    except msgspec.ValidationError:
        return False
    return True


def _contradictions(mapping: Mapping) -> Iterator[tuple[str, str]]:
    """Each key that cannot hold beside the others, or that Python does not know."""
    if mapping.delimiter != BLANKS and (len(mapping.delimiter) > 1 or mapping.delimiter in '"\r\n'):
        yield "delimiter", f"cannot be {mapping.delimiter!r}"
    if not mapping.header and not mapping.columns:
        yield "columns", "is missing, and there is no header to name them"
    if len(set(mapping.columns)) < len(mapping.columns):
        yield "columns", "names one column twice"
    for key, column in mapping.used_columns():
        if mapping.columns and column not in mapping.columns:
            yield key, f"names {column}, which is not in columns"
    if not _holds_ascii(mapping.encoding):
        yield "encoding", f"cannot be {mapping.encoding!r}"
    yield from _time_contradictions(mapping.time_format, mapping.time_zone)


def _time_contradictions(time_format: str, time_zone: str | None) -> Iterator[tuple[str, str]]:
    if time_format in UNIX_UNITS:
        if time_zone is not None:
            yield "time_zone", f"cannot stand beside {time_format} in time_format"
    elif time_format != ISO:
        if (read := _sample_of(time_format)) is None:
            yield "time_format", f"cannot be {time_format!r}"
        elif time_zone is None and read.tzinfo is None:
            yield "time_zone", "is missing"
        elif time_zone is not None and read.tzinfo is not None:
            yield "time_zone", "cannot stand beside %z in time_format"
    if time_zone is not None and not _is_zone(time_zone):
        yield "time_zone", f"cannot be {time_zone!r}"


def _holds_ascii(encoding: str) -> bool:
    """Whether lines can be told apart before they are decoded: not so in UTF-16 or EBCDIC."""
    plain = bytes(range(128))
    try:
        return plain.decode(encoding) == plain.decode()
    except (LookupError, ValueError):
        return False


def _sample_of(time_format: str) -> datetime | None:
    """A time written in this format and read again; None where its day is lost on the way."""
    sample = datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)
    try:
        read = datetime.strptime(sample.strftime(time_format), time_format)  # noqa: DTZ007
    except ValueError:
        return None
    return read if read.date() == sample.date() else None


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError):  # a folder, a path, no such zone
        return False
    return True


def _wrong(name: str, key: str, problem: str) -> MappingError:
    example = EXAMPLES[key.partition(".")[0]]
    return MappingError(f"The mapping {name}: {key} {problem}: it should look like {example}.")


def mapping_digest(mapping: Mapping | None) -> str:
    """The same for mappings that do the same, whatever they are called; empty for none."""
    if mapping is None:
        return ""
    values = msgspec.structs.asdict(mapping)
    del values["name"]
    return hashlib.sha256(msgspec.json.encode(values, order="sorted")).hexdigest()
