"""What makes two events the same one: source, messageId and the hour of the original timestamp."""

from __future__ import annotations

import hashlib
import struct
from datetime import UTC, date, datetime, timedelta

EPOCH = date(1970, 1, 1)
_START = datetime(1970, 1, 1, tzinfo=UTC)
HOUR_US = 3_600_000_000
_LAST_HOUR_S = datetime(2200, 1, 1, tzinfo=UTC).timestamp()

_frame = struct.Struct(">qq").pack
key_start = struct.Struct(">q").pack  # microseconds since 1970
_blake2b = hashlib.blake2b


def hours_of(original: datetime | None) -> int:
    """Hours since 1970 that an event's id is kept under; 0 for an absent or absurd timestamp."""
    if original is None:
        return 0
    seconds = original.timestamp()
    return int(seconds // 3600) if 0 <= seconds < _LAST_HOUR_S else 0


def key_of(source_id: int, message_id: str, original: datetime | None) -> bytes:
    """The hour (8 bytes, in microseconds), then the id: BLAKE2b-128 of source, hour, messageId.

    The same event has the same key wherever it is read, and keys sort as table event_ids does.
    """
    hours = hours_of(original)
    framed = _frame(source_id, hours) + message_id.encode()
    return key_start(hours * HOUR_US) + _blake2b(framed, digest_size=16).digest()


def time_of(key: bytes) -> datetime:
    """Where it lies in table event_ids."""
    return _START + timedelta(microseconds=int.from_bytes(key[:8], "big"))


def copy_key(source_id: int, received_at: datetime, *parts: bytes) -> bytes:
    """Of a refused event, which may have no time that can be read: under the day of its receipt."""
    day = (received_at.astimezone(UTC).date() - EPOCH).days
    framed = b"".join(b"%d:%b" % (len(part), part) for part in (b"%d" % source_id, *parts))
    return (
        key_start(day * 24 * HOUR_US)
        + _blake2b(framed, digest_size=16, person=b"rejected").digest()
    )
