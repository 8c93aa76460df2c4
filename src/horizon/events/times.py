"""When an event happened, from three clocks of which two may be wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgspec

TimeFlag = Literal["unreadable", "far_ahead"]

FAR = timedelta(hours=24)
# Zero in some language (year 1, 1970) is no time; nobody's customers did anything before it.
_FIRST = datetime(1970, 1, 2, tzinfo=UTC)


def read_time(value: Any) -> datetime | None:
    """An ISO 8601 time in UTC, or None where it cannot be read; without an offset it is UTC."""
    if value is None:  # what most events have as sentAt; two exceptions cost 20 us
        return None
    try:
        instant = value if isinstance(value, datetime) else _parse(value)
        return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)
    except (TypeError, ValueError, OverflowError):  # OverflowError: year 1 with a positive offset
        return None


def _parse(text: Any) -> datetime:
    """Raises ValueError, and TypeError where it is no text."""
    try:
        return msgspec.convert(text, datetime)
    except msgspec.ValidationError:  # stricter than ISO 8601, and a third of the cost
        return datetime.fromisoformat(text)


def settle(
    original: datetime | None, sent_at: datetime | None, received_at: datetime
) -> tuple[datetime, TimeFlag | None]:
    """The event's time with the client's clock error taken out, and what was odd about it."""
    if original is None:
        return received_at, None
    if original < _FIRST:
        return received_at, "unreadable"
    time = _without_clock_error(original, sent_at, received_at)
    if time - received_at > FAR:
        return received_at, "far_ahead"
    return time, None


def _without_clock_error(
    original: datetime, sent_at: datetime | None, received_at: datetime
) -> datetime:
    if sent_at is None or sent_at < _FIRST:
        return original
    try:
        time = received_at - (sent_at - original)
    except OverflowError:
        return original
    return time if time >= _FIRST else original
