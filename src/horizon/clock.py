"""Time comes in from here and goes down as a parameter, so that every stage can be run "then"."""

from __future__ import annotations

from datetime import UTC, datetime

from horizon.errors import UsageError


def now() -> datetime:
    return datetime.now(UTC)


def parse_instant(text: str, option: str = "--now") -> datetime:
    """Read an ISO 8601 date or time; without an offset it is UTC.

    Raises UsageError.
    """
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as exc:
        raise UsageError(
            f"{option} {text!r} is not a time: write it like 1998-06-30 or 1998-06-30T12:00:00Z."
        ) from exc
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def utc_text(instant: datetime) -> str:
    """``2025-09-25T12:25:27Z``: the log's form, whole seconds."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
