"""What an answer means, when to ask again, and what may stand in an endpoint's address. Pure."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from enum import Enum, auto
from typing import Any
from urllib.parse import urlsplit, urlunsplit

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 60.0

# Said of the moment, the address or us, not of the events: the same ones fare better later.
_NOT_THE_EVENTS = frozenset({404, 405, 407, 408, 410, 411, 421, 425, 426, 429, 431})
_OUR_KEY = frozenset({401, 403})
# Said of the way there, not of what was sent; any other 5xx may be the fault of one event.
_ON_THE_WAY = frozenset({502, 503, 504, 507, 508, 509, 520, 521, 522, 523, 524, 530})


class Meaning(Enum):
    TAKEN = auto()
    LATER = auto()  # the same events again
    DOUBTFUL = auto()  # the same again; if it stays so, one of them may be to blame
    REFUSED = auto()  # one of them at least
    KEY_REFUSED = auto()


def meaning_of(status: int) -> Meaning:
    if 200 <= status < 300:
        return Meaning.TAKEN
    if status in _OUR_KEY:
        return Meaning.KEY_REFUSED
    if 400 <= status < 500 and status not in _NOT_THE_EVENTS:
        return Meaning.REFUSED
    if 500 <= status < 600 and status not in _ON_THE_WAY:
        return Meaning.DOUBTFUL
    return Meaning.LATER


def wait_s(attempt: int, retry_after_s: float | None, draw: float | None = None) -> float:
    """How long to wait after this many tries in vain: doubling, with full jitter, and never
    shorter than what the receiver asked for. ``draw`` is from 0 to 1."""
    most = min(FIRST_WAIT_S * 2.0 ** min(attempt - 1, 30), LONGEST_WAIT_S)
    return (retry_after_s or 0.0) + most * (random.random() if draw is None else draw)


def rejected_in(body: bytes, count: int) -> Mapping[int, str]:
    """Which of ``count`` events a receiver refused that took the others, as Horizon says it:
    ``{"rejected": [{"index": 3, "code": "event_too_large"}]}``."""
    if b'"rejected"' not in body:
        return {}
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    items = told.get("rejected") if isinstance(told, dict) else None
    found = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    return {
        item["index"]: _reason(item)
        for item in found
        if type(item.get("index")) is int and 0 <= item["index"] < count
    }


def _reason(item: Mapping[str, Any]) -> str:
    return ": ".join(str(item[name]) for name in ("code", "message") if item.get(name))


def endpoint_of(url: str) -> str:
    """Where batches are posted, of an address as people know it: a host, its /v1, or the whole."""
    parts = urlsplit(url)
    path = parts.path.rstrip("/")
    if not path:
        path = "/v1/batch"
    elif path.endswith("/v1"):
        path += "/batch"
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def place_of(url: str) -> str:
    """The address as it is shown: its path and query may be what lets one in."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
