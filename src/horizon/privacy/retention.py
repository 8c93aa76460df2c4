"""Drops the days whose time is over: refused events, and ids by which a copy is known again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg

from horizon.postgres.database import Connection
from horizon.postgres.queries import Queries
from horizon.stage import StageResult, Window

_queries = Queries("horizon.privacy")


@dataclass(frozen=True)
class Keep:
    rejected_days: int
    ids_days: int

    def parameters(self, now: datetime) -> dict[str, date]:
        """The first days that stay.

        An event may be as late as its id is kept, and a copy may come as much later: the ids of an
        hour stay for twice as long. What is later still lies under a day about its receipt.
        """
        return {
            "rejected_from": _day(now - timedelta(days=self.rejected_days)),
            "ids_from": _day(now - timedelta(days=2 * self.ids_days)),
        }


def is_due(tx: Connection, keep: Keep, now: datetime) -> bool:
    row = tx.execute(_queries["days_over"], keep.parameters(now)).fetchone()
    return row is not None and row.days > 0


def run(tx: Connection, window: Window, *, keep: Keep) -> StageResult:
    """A day is a partition: dropped, and none of its rows deleted."""
    values = keep.parameters(window.now)
    dropped: dict[str, Any] = {"dropped_rejected": 0, "dropped_ids": 0}
    try:
        with tx.transaction():
            # Dropping waits for every reader of the table, and holds up whoever comes after.
            tx.execute("SET LOCAL lock_timeout = '300ms'")
            for name, query in (
                ("dropped_rejected", "drop_rejected"), ("dropped_ids", "drop_ids"),
            ):  # fmt: skip
                dropped[name] = tx.execute(_queries[query], values).rowcount
            tx.execute("SET LOCAL lock_timeout TO DEFAULT")
    except psycopg.errors.LockNotAvailable:
        dropped = dict.fromkeys(dropped, 0)  # the next run does it
    row = tx.execute(_queries["days_over"], values).fetchone()
    assert row is not None
    return StageResult({**dropped, "left": row.days})


def _day(instant: datetime) -> date:
    return instant.astimezone(UTC).date()
