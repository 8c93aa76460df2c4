"""What makes two events the same one: source, messageId and the hour of the original timestamp."""

from __future__ import annotations

import hashlib
import struct
from bisect import bisect_left
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

_EPOCH = date(1970, 1, 1)
LATE_DAYS = 30  # whose copy may come when the ids of its day are gone
_LAST_HOUR_S = datetime(2200, 1, 1, tzinfo=UTC).timestamp()

_frame = struct.Struct(">qq").pack
_hours = struct.Struct(">q").pack
_blake2b = hashlib.blake2b


def hours_of(original: datetime | None) -> int:
    """Hours since 1970 that an event's id is kept under; 0 for an absent or absurd timestamp."""
    if original is None:
        return 0
    seconds = original.timestamp()
    return int(seconds // 3600) if 0 <= seconds < _LAST_HOUR_S else 0


def late_days(keys: Sequence[bytes], received_on: date) -> set[date]:
    """The days, of sorted keys, that lie more than LATE_DAYS before their receipt."""
    first = _hours((received_on - _EPOCH).days * 24 - LATE_DAYS * 24)
    late = keys[bisect_left(keys, _hours(1)) : bisect_left(keys, first)]
    days = {int.from_bytes(key[:8], "big") // 24 for key in late}
    return {_EPOCH + timedelta(days=day) for day in days}


def key_of(source_id: int, message_id: str, original: datetime | None) -> bytes:
    """The hour in 8 bytes, then the event's id: BLAKE2b-128 of source, hour and messageId.

    The same event has the same key wherever it is read, and keys sort as table event_ids does.
    """
    hours = hours_of(original)
    framed = _frame(source_id, hours) + message_id.encode()
    return _hours(hours) + _blake2b(framed, digest_size=16).digest()
