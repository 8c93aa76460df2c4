"""What may be put into a mail: plain text, numbers and lists of rows, made harmless."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from horizon.delivery.sandbox import Outline
from horizon.errors import TemplateError

MAX_VALUE_CHARS: Final = 5_000
MAX_WORK: Final = 200_000  # two seconds, for the slowest filters on the longest values

# Control characters, line separators, direction overrides (they make a name rewrite the rest of
# the line) and halves of surrogate pairs (they cannot be encoded). A line break in a first name
# would otherwise begin a paragraph, or a header, of its own.
_UNPRINTABLE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]+"
)
_URL: Final = re.compile(r"(?:https?://(?!/)|mailto:)[^\s\"'<>\\{}]+", re.IGNORECASE)


def is_link(value: str) -> bool:
    """Whether ``value`` is an http(s) or mailto address and nothing else."""
    return value.isprintable() and _URL.fullmatch(value) is not None


def plain_values(outline: Outline, given: Mapping[str, object]) -> dict[str, object]:
    """Those of the ``given`` values that the template uses, as exact str, int, float and list.

    Raises TemplateError for a missing value, a wrong kind, a bad link and too long a list.
    """
    values: dict[str, object] = {}
    for name in outline.variables:
        if name not in given:
            raise TemplateError(f"the variable '{name}' is missing; pass it")
        values[name] = _plain(name, given[name])
    if outline.loops:
        _check_work(outline.loops, values)
    return values


def _plain(name: str, value: object) -> object:
    if name.endswith("_url") and not (isinstance(value, str) and is_link(value)):
        raise TemplateError(
            f"the variable '{name}' is not a link; pass an address that begins with https://, "
            "http:// or mailto: and has no spaces or quotes"
        )
    return _rows(name, value) if type(value) is list else _scalar(name, value)


def _scalar(name: str, value: object) -> str | int | float:
    if isinstance(value, str):
        return _text(name, value)
    # Exact kinds: int() of a Decimal with a large exponent takes hours, and an object of another
    # class may claim by __html__ that it is markup.
    if type(value) is int or type(value) is float or type(value) is bool:
        return value
    raise TemplateError(
        f"the variable '{name}' is a {type(value).__name__}; pass text, a number or a list of rows"
    )


def _text(name: str, value: str) -> str:
    # A subclass of str may have a way of its own to be printed (markupsafe, enumerations).
    text = str.__str__(value)
    if len(text) > MAX_VALUE_CHARS:
        raise TemplateError(
            f"the variable '{name}' has more than {MAX_VALUE_CHARS} characters; shorten it"
        )
    return (text if text.isprintable() else _UNPRINTABLE.sub(" ", text)).strip()


def _rows(name: str, value: list[object]) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for row in value:
        if not isinstance(row, Mapping):
            raise TemplateError(f"the list '{name}' holds a {type(row).__name__}; pass mappings")
        rows.append({str(key): _scalar(f"{name}.{key}", item) for key, item in row.items()})
    return rows


def _check_work(loops: Mapping[str, int], values: Mapping[str, object]) -> None:
    work = 0
    for name, cost in loops.items():
        rows = values[name]
        if not isinstance(rows, list):
            raise TemplateError(f"the template loops over '{name}'; pass a list of mappings")
        work += cost * sum(1 + _chars(row) // 100 for row in rows)
    if work > MAX_WORK:
        raise TemplateError(
            f"the lists make {work} steps where {MAX_WORK} are allowed; pass shorter lists"
        )


def _chars(row: Mapping[str, object]) -> int:
    return sum(len(item) for item in row.values() if type(item) is str)
