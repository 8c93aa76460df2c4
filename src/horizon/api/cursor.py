"""Where a page ended: opaque, and harmless when somebody forges one. It only says where in the
profile's own list, which the token reads anyway, the next page begins."""

from __future__ import annotations

import base64
import binascii
import struct
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from horizon.serving.http import Refusal

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PLACE = struct.Struct(">q16s")  # microseconds, id
PLACE_PATTERN = "^[A-Za-z0-9_-]{32}$"
NAME_PATTERN = "^([A-Za-z0-9_-]{4})*[A-Za-z0-9_-]{2,4}$"


class Place(NamedTuple):
    """In a list that is ordered by time, newest first, and then by id."""

    time: datetime
    id: UUID


LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)
FIRST = Place(datetime(9999, 12, 31, tzinfo=UTC), UUID(int=2**128 - 1))
_EARLIEST, _LATEST = (
    (time - _EPOCH) // timedelta(microseconds=1)
    for time in (datetime(1000, 1, 1, tzinfo=UTC), FIRST.time)
)  # days are taken off it


def write_place(place: Place) -> str:
    microseconds = (place.time - _EPOCH) // timedelta(microseconds=1)
    return _text(_PLACE.pack(microseconds, place.id.bytes))


def read_place(text: str | None) -> Place:
    """Raises Refusal where it has another form; a forged time is brought near ours."""
    if text is None:
        return FIRST
    try:
        microseconds, id_bytes = _PLACE.unpack(_bytes(text))
    except struct.error as exc:
        raise _bad() from exc
    microseconds = min(max(microseconds, _EARLIEST), _LATEST)
    return Place(_EPOCH + timedelta(microseconds=microseconds), UUID(bytes=id_bytes))


def write_name(name: str) -> str:
    return _text(name.encode())


def read_name(text: str | None) -> str:
    """The name that the page before ended with. Raises Refusal."""
    if text == "":
        raise _bad()
    return _bytes(text or "").decode(errors="replace").replace("\0", "\ufffd")


def _text(body: bytes) -> str:
    return base64.urlsafe_b64encode(body).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as exc:
        raise _bad() from exc


def _bad() -> Refusal:
    return Refusal(
        400, "bad_cursor", "Take cursor as the page before gave it in cursor.next, or leave it out."
    )
