"""A partition a day of each table that what comes in is written to."""

from __future__ import annotations

import time
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


_known: dict[tuple[str, str, int], _Days] = {}  # by server, database and days ahead


def ensure_partitions(
    tx: Connection, first_day: date, last_day: date, ahead: int = DAYS_AHEAD
) -> None:
    """Have partitions for these days and those after; without one, rows wait in the default.

    Making one waits for every reader of the default partition and holds up whoever comes after.
    So days to come are tried once a minute at most, and nobody is held up longer than a second.
    """
    place = (f"{tx.info.host}:{tx.info.port}", tx.info.dbname, ahead)
    first_day = max(first_day, last_day - timedelta(days=DAYS_BACK))
    known = _known.get(place)
    if known and known.covers(first_day, last_day) and time.monotonic() < known.until_s:
        return
    days = {"first_day": first_day, "last_day": last_day + timedelta(days=ahead)}
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
