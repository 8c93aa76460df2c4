"""A partition a day of each table that what comes in is written to."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import date, timedelta
from typing import NamedTuple

import psycopg

from horizon.postgres.database import Connection
from horizon.postgres.queries import Queries

DAYS_AHEAD = 2
DAYS_BACK = 31  # of one batch: older rows belong to the default partition
_RETRY_S = 60.0

_queries = Queries("horizon.events")


class _Days(NamedTuple):
    """Whose partitions this process need not ask for again for a while."""

    first: date
    last: date
    until_s: float

    def covers(self, first: date, last: date) -> bool:
        return self.first <= first and last <= self.last


_known: dict[tuple[str, str], _Days] = {}  # by the server's address and the database's name
_known_ids: set[tuple[str, str, date]] = set()  # one more a month


def ensure_partitions(tx: Connection, first_day: date, last_day: date) -> None:
    """Have partitions for these days and the two after; without one, rows wait in the default.

    Making one waits for every reader of the default partition and holds up whoever comes after.
    So days to come are tried once a minute at most, and nobody is held up longer than a second.
    """
    place = _place(tx)
    first_day = max(first_day, last_day - timedelta(days=DAYS_BACK))
    known = _known.get(place)
    if known and known.covers(first_day, last_day) and time.monotonic() < known.until_s:
        return
    days = {"first_day": first_day, "last_day": last_day + timedelta(days=DAYS_AHEAD)}
    missing = [row.day for row in tx.execute(_queries["missing_partitions"], days)]
    if not missing or missing[0] > last_day:  # what we make is not there before we commit
        _known[place] = _Days(first_day, last_day, time.monotonic() + _RETRY_S)
    if missing:
        _make(tx, "make_partitions", days)


def ensure_ids_partition(tx: Connection, day: date) -> None:
    """Have a day's partition of ids alone: one of some day that is past."""
    place = (*_place(tx), day)
    if place in _known_ids:
        return
    row = tx.execute(_queries["ids_partition"], {"day": day}).fetchone()
    if row is not None and row.there:
        _known_ids.add(place)
    else:
        _make(tx, "make_ids_partition", {"day": day})


def _make(tx: Connection, name: str, days: Mapping[str, date]) -> None:
    try:
        with tx.transaction():
            tx.execute("SET LOCAL lock_timeout = '1s'")
            tx.execute(_queries[name], days)
            tx.execute("SET LOCAL lock_timeout TO DEFAULT")
    except psycopg.errors.LockNotAvailable:
        pass  # a long reader; the rows go to the default partition and move later


def _place(tx: Connection) -> tuple[str, str]:
    return f"{tx.info.host}:{tx.info.port}", tx.info.dbname
