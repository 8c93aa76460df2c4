"""What makes two events the same one: source, messageId and the hour of the original timestamp."""

from __future__ import annotations

import hashlib
import struct
from datetime import UTC, datetime, timedelta
from uuid import UUID

# Where an event without a usable timestamp is remembered: the same place each time it is sent.
NO_HOUR = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_HOUR = datetime(2200, 1, 1, tzinfo=UTC)
_HOUR = timedelta(hours=1)


def hour_of(original: datetime | None) -> datetime:
    """The hour that an event's id is kept under; NO_HOUR for an absent or absurd timestamp."""
    if original is None or not NO_HOUR <= original < _LAST_HOUR:
        return NO_HOUR
    return original.replace(minute=0, second=0, microsecond=0)


def event_id(source_id: int, message_id: str, original: datetime | None) -> UUID:
    """BLAKE2b-128 of the three: the same event has the same id wherever it is read."""
    hours = (hour_of(original) - NO_HOUR) // _HOUR
    framed = struct.pack(">qq", source_id, hours) + message_id.encode()
    return UUID(bytes=hashlib.blake2b(framed, digest_size=16).digest())
