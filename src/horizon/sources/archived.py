"""A line that is a message of Segment's API: as an SDK wrote it, or as an archive keeps it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from horizon.events.times import read_time

_EARLIEST = datetime.min.replace(tzinfo=UTC)


class _Head(msgspec.Struct, rename="camel", gc=False):
    message_id: Any = None
    timestamp: Any = None


class _Times(msgspec.Struct, rename="camel"):
    original_timestamp: Any = None
    sent_at: Any = None
    received_at: Any = None


_head = msgspec.json.Decoder(_Head).decode
_times = msgspec.json.Decoder(_Times).decode
_parts = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def complete(line: bytes, message_id: str) -> bytes:
    """The line with what makes it the same event each time: a messageId and a timestamp.

    Its own messageId is kept. Raises msgspec.DecodeError for what is no JSON object.
    """
    head = _head(line)
    nameless, timeless = _is_blank(head.message_id), _is_blank(head.timestamp)
    if not (nameless or timeless):
        return line
    parts = _parts(line)
    if nameless:
        parts["messageId"] = msgspec.Raw(msgspec.json.encode(message_id))
    if timeless and (time := _archived_time(_times(line))) is not None:
        parts["timestamp"] = msgspec.Raw(msgspec.json.encode(time.isoformat()))
    return msgspec.json.encode(parts)


def _is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _archived_time(times: _Times) -> datetime | None:
    """When it happened by the archive's three clocks, as Segment computes ``timestamp``; when it
    was received where only that is known."""
    original, sent, received = map(
        read_time, (times.original_timestamp, times.sent_at, times.received_at)
    )
    if original is None or sent is None or received is None:
        return original or received
    try:
        return max(received - (sent - original), _EARLIEST)
    except OverflowError:
        return original
