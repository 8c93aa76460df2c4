"""Keeps events, each one once, in the transaction of its caller."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID

import msgspec
import psycopg

from horizon.events.ids import hour_of
from horizon.events.model import Event
from horizon.events.rejection import RejectedEvent as RejectedEvent
from horizon.postgres.database import Connection
from horizon.postgres.queries import Queries

Key = tuple[datetime, UUID]

DAYS_AHEAD = 2
DAYS_BACK = 31  # of one batch: older rows belong to the default partition
_RETRY_S = 60.0

_EVENT_TYPES = (
    "uuid", "int4", "text", "text", "text", "text", "text", "text", "text", "text", "uuid[]",
    "timestamptz", "timestamptz", "timestamptz", "text", "bool", "bool", "text", "text", "text",
    "text", "int4",
)  # fmt: skip
_REJECTED_TYPES = (
    "int4", "timestamptz", "int8", "text", "text", "text", "bool", "text", "timestamptz", "text",
)  # fmt: skip

_queries = Queries("horizon.events")
_next_try_s = 0.0


def store(
    tx: Connection, events: Sequence[Event], rejected: Sequence[RejectedEvent] = (), *, era: int
) -> int:
    """Write the events that were not there yet, and the refused ones; say how many were new.

    Two writers with the same ids wait for each other: an event counts where it commits first.
    For READ COMMITTED: a stricter transaction fails where a copy was committed meanwhile.
    """
    if events or rejected:
        received = [event.received_at for event in events]
        received += [refused.received_at for refused in rejected]
        ensure_partitions(tx, _day(min(received)), _day(max(received)))
    # Reversed, so that of copies within the batch the first one counts.
    ids = {(hour_of(one.original_timestamp), one.event_id): one for one in reversed(events)}
    new = _claim(tx, sorted(ids)) if ids else []
    if new:
        rows = ((*msgspec.structs.astuple(ids[key]), era) for key in new)
        _copy(tx, "copy_events", _EVENT_TYPES, rows)
    if rejected:
        _copy(tx, "copy_rejected", _REJECTED_TYPES, map(msgspec.structs.astuple, rejected))
    return len(new)


def ensure_partitions(tx: Connection, first_day: date, last_day: date) -> None:
    """Have partitions for these days and the two after; without one, rows wait in the default.

    Making one waits for every reader of the default partition and holds up whoever comes after.
    So days to come are tried once a minute at most, and nobody is held up longer than a second.
    """
    global _next_try_s
    first_day = max(first_day, last_day - timedelta(days=DAYS_BACK))
    days = {"first_day": first_day, "last_day": last_day + timedelta(days=DAYS_AHEAD)}
    missing = [row.day for row in tx.execute(_queries["missing_partitions"], days)]
    if not missing or (missing[0] > last_day and time.monotonic() < _next_try_s):
        return
    _next_try_s = time.monotonic() + _RETRY_S
    try:
        with tx.transaction():
            tx.execute("SET LOCAL lock_timeout = '1s'")
            tx.execute(_queries["make_partitions"], days)
            tx.execute("SET LOCAL lock_timeout TO DEFAULT")
    except psycopg.errors.LockNotAvailable:
        pass  # a long reader; the rows go to the default partition and move later


def _day(instant: datetime) -> date:
    return instant.astimezone(UTC).date()


def _claim(tx: Connection, keys: list[Key]) -> list[Key]:
    """Of the sorted keys those that nobody had; they are taken now."""
    try:
        with tx.transaction():
            _copy(tx, "copy_ids", ("timestamptz", "uuid"), keys)
    except (psycopg.errors.UniqueViolation, psycopg.errors.CheckViolation):
        # CheckViolation: while we waited, the default partition gave rows away to a new one.
        hours, digests = zip(*keys, strict=True)
        found = tx.execute(_queries["claim_ids"], {"hours": list(hours), "digests": list(digests)})
        return [(row.hour, row.digest) for row in found]
    return keys


def _copy(tx: Connection, name: str, types: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
    statement: LiteralString = _queries[name]
    with tx.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(types)
        for row in rows:
            copy.write_row(row)
