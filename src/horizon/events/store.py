"""Keeps events, each one once, in the transaction of its caller."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

import msgspec
import psycopg

from horizon.events import rows
from horizon.events.ids import late_days
from horizon.events.model import Event
from horizon.events.rejection import RejectedEvent as RejectedEvent
from horizon.events.rows import Row, row_of
from horizon.postgres.database import Connection
from horizon.postgres.queries import Queries

DAYS_AHEAD = 2
DAYS_BACK = 31  # of one batch: older rows belong to the default partition
_RETRY_S = 60.0

_REJECTED_TYPES = (
    "int4", "timestamptz", "int8", "text", "text", "text", "bool", "text", "timestamptz", "text",
)  # fmt: skip

_queries = Queries("horizon.events")


class _Days(NamedTuple):
    """Whose partitions this process need not ask for again for a while."""

    first: date
    last: date
    until_s: float

    def covers(self, first: date, last: date) -> bool:
        return self.first <= first and last <= self.last


_known: dict[tuple[str, str], _Days] = {}  # by the server's address and the database's name


def store(
    tx: Connection, events: Sequence[Event], rejected: Sequence[RejectedEvent] = (), *, era: int
) -> int:
    """Write the events that were not there yet, and the refused ones; say how many were new.

    Two writers with the same ids wait for each other: an event counts where it commits first.
    For READ COMMITTED: a stricter transaction fails where a copy was committed meanwhile.
    """
    received = [event.received_at for event in events]
    return store_rows(tx, [row_of(event) for event in events], received, rejected, era=era)


def store_rows(
    tx: Connection,
    found: Sequence[Row],
    received: Iterable[datetime],
    rejected: Sequence[RejectedEvent] = (),
    *,
    era: int,
    careful: bool = True,
) -> int:
    """``store``, of rows that are made already; ``received``: the times they were received at.

    Not ``careful``, a copy fails the transaction: two round trips less where hardly any comes.
    Raises UniqueViolation then.
    """
    # Reversed, so that of copies within the batch the first one counts.
    bodies = dict(reversed(found))
    if bodies or rejected:
        instants = {*received, *(one.received_at for one in rejected)}
        days = [_day(instant) for instant in instants]
        ensure_partitions(tx, min(days), max(days))
    if bodies:
        new = _claim(tx, sorted(bodies), careful=careful)
        if late := late_days(new, max(days)):
            tx.execute(_queries["note_late_days"], {"days": list(late), "received_on": max(days)})
        if new:
            _copy(tx, "copy_events", rows.events_copy([bodies[key] for key in new], era))
    else:
        new = []
    if rejected:
        with tx.cursor() as cursor, cursor.copy(_queries["copy_rejected"]) as copy:
            copy.set_types(_REJECTED_TYPES)
            for one in rejected:
                copy.write_row(msgspec.structs.astuple(one))
    return len(new)


def ensure_partitions(tx: Connection, first_day: date, last_day: date) -> None:
    """Have partitions for these days and the two after; without one, rows wait in the default.

    Making one waits for every reader of the default partition and holds up whoever comes after.
    So days to come are tried once a minute at most, and nobody is held up longer than a second.
    """
    place = (f"{tx.info.host}:{tx.info.port}", tx.info.dbname)
    first_day = max(first_day, last_day - timedelta(days=DAYS_BACK))
    known = _known.get(place)
    if known and known.covers(first_day, last_day) and time.monotonic() < known.until_s:
        return
    days = {"first_day": first_day, "last_day": last_day + timedelta(days=DAYS_AHEAD)}
    missing = [row.day for row in tx.execute(_queries["missing_partitions"], days)]
    if not missing or missing[0] > last_day:  # what we make is not there before we commit
        _known[place] = _Days(first_day, last_day, time.monotonic() + _RETRY_S)
    if not missing:
        return
    try:
        with tx.transaction():
            tx.execute("SET LOCAL lock_timeout = '1s'")
            tx.execute(_queries["make_partitions"], days)
            tx.execute("SET LOCAL lock_timeout TO DEFAULT")
    except psycopg.errors.LockNotAvailable:
        pass  # a long reader; the rows go to the default partition and move later


def _day(instant: datetime) -> date:
    return instant.astimezone(UTC).date()


def _claim(tx: Connection, keys: Sequence[bytes], *, careful: bool) -> Sequence[bytes]:
    """Of the sorted keys those that nobody had, sorted; they are taken now."""
    if not careful:
        _copy(tx, "copy_ids", rows.ids_copy(keys))
        return keys
    try:
        with tx.transaction():
            _copy(tx, "copy_ids", rows.ids_copy(keys))
    except (psycopg.errors.UniqueViolation, psycopg.errors.CheckViolation):
        # CheckViolation: while we waited, the default partition gave rows away to a new one.
        found = tx.execute(_queries["claim_ids"], {"keys": list(keys)})
        return sorted(bytes(row.key) for row in found)
    return keys


def _copy(tx: Connection, name: str, body: bytes) -> None:
    with tx.cursor() as cursor, cursor.copy(_queries[name]) as copy:
        copy.write(body)
