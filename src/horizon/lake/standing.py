"""How the lake stands: how large it is, and how far behind the hot store."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pyiceberg.table import Table

from horizon.lake.compaction import SMALL_BYTES, SMALL_EVENTS
from horizon.lake.scanning import live_files
from horizon.lake.table import QUERIES, Lake
from horizon.lake.watermark import Watermark, watermark_of
from horizon.postgres.database import Connection
from horizon.postgres.era import current_era


@dataclass(frozen=True)
class Standing:
    location: str | None  # none: nothing was archived yet
    events: int
    files: int
    small_files: int
    size_bytes: int
    days: int  # that events happened on
    snapshots: int
    last_commit: datetime | None
    hot_only: int  # events that only the hot store has
    behind_s: float  # since the oldest of those was received
    agreed_days: int
    verified_at: datetime | None


def look(tx: Connection, lake: Lake, clock: datetime) -> Standing:
    """Of files only the lists are read. Raises LakeError, which names the one that cannot be."""
    table = lake.seen_by(tx)
    hot = _hot_only(tx, table)
    agreed = tx.execute(QUERIES["last_agreed"]).fetchone()
    assert agreed is not None
    files = [task.file for task in live_files(table)] if table else []
    snapshot = table.current_snapshot() if table else None
    small = [
        one for one in files
        if one.file_size_in_bytes < SMALL_BYTES and one.record_count < SMALL_EVENTS
    ]  # fmt: skip
    return Standing(
        location=table.location() if table else None,
        events=sum(one.record_count for one in files),
        files=len(files),
        small_files=len(small),
        size_bytes=sum(one.file_size_in_bytes for one in files),
        days=len({str(one.partition) for one in files}),
        snapshots=len(table.metadata.snapshots) if table else 0,
        last_commit=datetime.fromtimestamp(snapshot.timestamp_ms / 1000, UTC) if snapshot else None,
        hot_only=hot.events,
        behind_s=round((clock - hot.since).total_seconds(), 1) if hot.since else 0.0,
        agreed_days=agreed.days,
        verified_at=agreed.verified_at,
    )


def _hot_only(tx: Connection, table: Table | None) -> Any:
    mark = watermark_of(table) if table else Watermark()
    values = {"era_now": current_era(tx), **mark.parameters()}
    row = tx.execute(QUERIES["hot_only"], values).fetchone()
    assert row is not None
    return row
