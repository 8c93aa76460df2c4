"""Drops the days whose time is over: refused events, ids by which a copy is known again, and events
that the lake has."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import psycopg

from horizon.postgres.database import Connection
from horizon.postgres.queries import Queries
from horizon.stage import StageResult, Window

_queries = Queries("horizon.privacy")

DROPS: Final = {
    "dropped_rejected": "drop_rejected", "dropped_ids": "drop_ids", "dropped_events": "drop_events",
}  # fmt: skip


@dataclass(frozen=True)
class Keep:
    rejected_days: int
    ids_days: int
    hot_days: int | None = None  # of events; none: all stay in the hot store

    def parameters(self, now: datetime) -> dict[str, date | None]:
        """The first days that stay.

        An event may be as late as its id is kept, and a copy may come as much later: the ids of an
        hour stay for twice as long. What is later still lies under a day about its receipt.
        """
        return {
            "rejected_from": _day(now - timedelta(days=self.rejected_days)),
            "ids_from": _day(now - timedelta(days=2 * self.ids_days)),
            "hot_from": _day(now - timedelta(days=self.hot_days)) if self.hot_days else None,
        }


def is_due(tx: Connection, keep: Keep, now: datetime) -> bool:
    row = tx.execute(_queries["days_over"], keep.parameters(now)).fetchone()
    return row is not None and row.days > 0


def verify_from(tx: Connection, keep: Keep, now: datetime) -> date | None:
    """From which day on lake and hot store are to be compared, so that days can leave."""
    values = {**keep.parameters(now), "yesterday": now - timedelta(days=1)}
    row = tx.execute(_queries["verify_from"], values).fetchone()
    return row.day if row is not None else None


def run(tx: Connection, window: Window, *, keep: Keep) -> StageResult:
    """A day is a partition: dropped, and none of its rows deleted."""
    values = keep.parameters(window.now)
    dropped: dict[str, Any] = dict.fromkeys(DROPS, 0)
    try:
        with tx.transaction():
            # Dropping waits for every reader of the table, and holds up whoever comes after.
            tx.execute("SET LOCAL lock_timeout = '300ms'")
            for name, query in DROPS.items():
                dropped[name] = tx.execute(_queries[query], values).rowcount
            tx.execute("SET LOCAL lock_timeout TO DEFAULT")
    except psycopg.errors.LockNotAvailable:
        dropped = dict.fromkeys(dropped, 0)  # the next run does it
    row = tx.execute(_queries["days_over"], values).fetchone()
    assert row is not None
    return StageResult({**dropped, "left": row.days})


def _day(instant: datetime) -> date:
    return instant.astimezone(UTC).date()
