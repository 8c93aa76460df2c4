"""Waiting for a source's first event, after its key was put into an application."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from horizon.events.sources import find_source
from horizon.postgres.database import Connection
from horizon.postgres.era import current_era
from horizon.postgres.queries import Queries
from horizon.sources.registry import sources, unknown

_queries = Queries("horizon.sources")


class FirstEvent(NamedTuple):
    type: str
    name: str | None
    received_at: datetime


@dataclass
class Watcher:
    """Looks for what came since it was made, each ``look`` from where the last one ended."""

    name: str
    source_id: int
    era: int
    seen: str
    since: datetime
    told: set[str] = field(default_factory=set)

    @classmethod
    def begin(cls, tx: Connection, name: str, now: datetime) -> Watcher:
        """Raises UsageError."""
        source = find_source(tx, name)
        if source is None:
            raise unknown(name)
        return cls(name, source.source_id, current_era(tx), _snapshot(tx), now)

    def look(self, tx: Connection) -> FirstEvent | None:
        until = _snapshot(tx)
        values = {"era": self.era, "until": until, "seen": self.seen, "source_id": self.source_id}
        row = tx.execute(_queries["first_event"], values).fetchone()
        self.seen = until
        return FirstEvent(row.type, row.name, row.received_at) if row else None

    def refusals(self, tx: Connection) -> Iterator[str]:
        """What was refused since, each sentence once."""
        values = {"source_id": self.source_id, "since": self.since}
        for row in tx.execute(_queries["refusals_since"], values):
            if row.message not in self.told:
                self.told.add(row.message)
                yield f"{row.code}: {row.message}"

    def key_used(self, tx: Connection) -> bool:
        """Whether a request came with its key, whatever was in it."""
        row: dict[str, Any] = sources(tx, self.name)[0]
        return any(
            used is not None and used >= self.since
            for used in (row["last_used"], row["old_last_used"])
        )


def _snapshot(tx: Connection) -> str:
    row = tx.execute(_queries["poll_snapshot"]).fetchone()
    assert row is not None
    return str(row.until)
