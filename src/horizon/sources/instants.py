"""A mapping's times, in whatever form a file holds them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from horizon.sources.bad_line import BadLineError
from horizon.sources.mapping import ISO, UNIX_UNITS, Mapping


def instant_reader(mapping: Mapping) -> Callable[[Any], str]:
    """Reads the mapping's times into ISO 8601 in UTC. Of a local time that comes twice in
    autumn, the first one is taken. Raises BadLineError."""
    zone = ZoneInfo(mapping.time_zone) if mapping.time_zone else UTC
    parse = _parser(mapping.time_format)
    like = "" if mapping.time_format == ISO else f" like {mapping.time_format}"

    def read(value: Any) -> str:
        try:
            instant = _typed(value) or parse(value)
            return _aware(instant, zone).astimezone(UTC).isoformat()
        except (ValueError, TypeError, OverflowError, OSError) as exc:
            raise BadLineError("time", f"{mapping.time_column} is not a time{like}") from exc

    return read


def _typed(value: Any) -> datetime | None:
    """A column that holds times or days already."""
    if isinstance(value, datetime):
        return value
    return datetime.combine(value, time()) if isinstance(value, date) else None


def _aware(instant: datetime, zone: tzinfo) -> datetime:
    return instant if instant.tzinfo else instant.replace(tzinfo=zone)


def _parser(time_format: str) -> Callable[[Any], datetime]:
    if time_format == ISO:
        return datetime.fromisoformat
    if time_format not in UNIX_UNITS:
        return lambda text: datetime.strptime(text, time_format)  # noqa: DTZ007
    unit = UNIX_UNITS[time_format]

    def since_1970(value: Any) -> datetime:
        # NaN and infinity are refused by fromtimestamp; True would be a second.
        return datetime.fromtimestamp(float("" if value is True else value) / unit, UTC)

    return since_1970
