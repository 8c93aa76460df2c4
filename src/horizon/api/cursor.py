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
_EARLIEST = 1000
_PLACE = struct.Struct(">q16s")  # microseconds, id


class Place(NamedTuple):
    """In a list that is ordered by time, newest first, and then by id."""

    time: datetime
    id: UUID


LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)
FIRST = Place(datetime(9999, 12, 31, tzinfo=UTC), UUID(int=2**128 - 1))


def write_place(place: Place) -> str:
    microseconds = (place.time - _EPOCH) // timedelta(microseconds=1)
    return _text(_PLACE.pack(microseconds, place.id.bytes))


def read_place(text: str | None) -> Place:
    """Raises Refusal."""
    if text is None:
        return FIRST
    try:
        microseconds, id_bytes = _PLACE.unpack(_bytes(text))
        time = _EPOCH + timedelta(microseconds=microseconds)
        if time.year < _EARLIEST:  # nothing of ours is that old, and days are taken off it
            raise _bad()
        return Place(time, UUID(bytes=id_bytes))
    except (struct.error, OverflowError) as exc:
        raise _bad() from exc


def write_name(name: str) -> str:
    return _text(name.encode())


def read_name(text: str | None) -> str:
    """The name that the page before ended with. Raises Refusal."""
    try:
        name = "" if text is None else _bytes(text).decode()
    except UnicodeDecodeError as exc:
        raise _bad() from exc
    if "\0" in name:
        raise _bad()
    return name


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
