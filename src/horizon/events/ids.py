"""What makes two events the same one: source, messageId and the hour of the original timestamp."""

from __future__ import annotations

import hashlib
import struct
from datetime import UTC, datetime

# Where an event without a usable timestamp is remembered: the same place each time it is sent.
NO_HOUR = datetime(1970, 1, 1, tzinfo=UTC)
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


def key_of(source_id: int, message_id: str, original: datetime | None) -> bytes:
    """The hour in 8 bytes, then the event's id: BLAKE2b-128 of source, hour and messageId.

    The same event has the same key wherever it is read, and keys sort as table event_ids does.
    """
    hours = hours_of(original)
    framed = _frame(source_id, hours) + message_id.encode()
    return _hours(hours) + _blake2b(framed, digest_size=16).digest()
