"""JSON that a database takes: what can be text in JSON but not in ``jsonb`` is mended."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import msgspec

from horizon.events.rejection import Rejected

MAX_DEPTH = 64
MOST_MENDED = 10_000  # in one body: 10 ms
MAX_PARTS = 100_000  # strings and brackets that cut_deep looks at: 50 ms

_UNFIT = re.compile("[\0\ud800-\udfff]")
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")
# What may stand before half of a pair such as \ud83d, and that half. Each looks at a body once.
_LONE = re.compile(
    rb"((?:[^\\]++|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|\\(?!u[dD][89a-fA-F][0-9a-fA-F]{2}).)*+)\\u[dD][89a-fA-F][0-9a-fA-F]{2}",
    re.DOTALL,
)
_NO_NUMBER = re.compile(
    rb'((?:"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[^"NI-]++|(?!-?\b(?:NaN|Infinity)\b)[^"])*+)-?\b(?:NaN|Infinity)\b',
    re.DOTALL,
)
# A string, closed or not (so that none is looked at twice), or a bracket.
_STRUCTURE = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[][{}]', re.DOTALL)


def read_object(raw: bytes, field: str) -> dict[str, Any]:
    """Decode an object so that its encoding can be cast to ``jsonb``. Raises Rejected."""
    try:
        value = _decode(raw)
        if not isinstance(value, dict):
            raise Rejected("invalid_event", f"{field} is not an object: send it as {{...}}.")
        cleaned = _clean(value, MAX_DEPTH)
    except ValueError as exc:
        raise Rejected("invalid_event", f"{field} is not readable as JSON: send UTF-8.") from exc
    except RecursionError as exc:
        raise Rejected(
            "nested_too_deep", f"{field} is nested deeper than {MAX_DEPTH} levels: flatten it."
        ) from exc
    assert isinstance(cleaned, dict)
    return cleaned


def write(value: object) -> str:
    return msgspec.json.encode(value).decode()


def without_lone_surrogates(body: bytes) -> bytes:
    r"""Replace halves of a pair such as ``\ud83d``, which cut-off emoji leave in JavaScript."""
    return _mended(body, _LONE, rb"\ufffd") if _HALF.search(body) else body


def without_no_numbers(body: bytes) -> bytes:
    """Replace NaN and Infinity, which Python's json writes and no JSON has: an SDK's whole batch
    would be lost with them."""
    if b"NaN" not in body and b"Infinity" not in body:
        return body
    return _mended(body, _NO_NUMBER, b"null")


def _mended(body: bytes, pattern: re.Pattern[bytes], instead: bytes) -> bytes:
    """``pattern``: what is right, as a group, then what is not. At most MOST_MENDED of the latter,
    since whoever has no key may send as much."""
    parts: list[bytes] = []
    end = 0
    while len(parts) < 2 * MOST_MENDED and (found := pattern.match(body, end)):
        parts += found[1], instead
        end = found.end()
    return b"".join([*parts, body[end:]])


def cut_deep(body: bytes, level: int, most: int) -> tuple[bytes, dict[bytes, bytes]]:
    """Put a mark in place of each value at this level that is nested deeper than ``most``.

    Gives the rest, and the values by their marks. In one pass, however deep it goes: what reads
    JSON with a stack gives up on all of a batch for one such event. Raises RecursionError where
    that would take long.
    """
    kept: list[bytes] = []
    cut: dict[bytes, bytes] = {}
    depth = deepest = begin = end = 0
    for number, found in enumerate(_STRUCTURE.finditer(body)):
        if number == MAX_PARTS:
            raise RecursionError
        if found[0] in b"[{":
            if depth == level:
                begin, deepest = found.start(), depth
            depth += 1
            deepest = max(deepest, depth)
        elif found[0] in b"]}":
            depth -= 1
            if depth == level and deepest - level > most:
                mark = b'"nested too deep %d"' % len(cut)
                cut[mark] = body[begin : found.end()]
                kept += body[end:begin], mark
                end = found.end()
    return b"".join([*kept, body[end:]]), cut


def _decode(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except msgspec.DecodeError:  # numbers beyond a double, which the slower one takes
        return json.loads(raw)


def _clean(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return _UNFIT.sub("\ufffd", value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if not isinstance(value, dict | list):
        return value
    if depth == 0:
        raise RecursionError
    if isinstance(value, list):
        return [_clean(item, depth - 1) for item in value]
    return {_UNFIT.sub("\ufffd", name): _clean(item, depth - 1) for name, item in value.items()}
