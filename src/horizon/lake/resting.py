"""The last activity of each list of nodes before a day, so that a score needs no older files.

An Iceberg table of its own. Its snapshot tells which of the events it covers: those that happened
before ``frontier`` of the lake's snapshot ``covers``. A query reads it, the files of the days from
the frontier on, and what was added since to days before it. It is not a truth of its own: without
it, or where it cannot be trusted, a query reads all files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Final

import pyarrow as pa
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC
from pyiceberg.schema import Schema
from pyiceberg.table import StaticTable, Table
from pyiceberg.table.snapshots import Operation
from pyiceberg.types import BooleanType, ListType, NestedField, TimestamptzType, UUIDType

from horizon import clock
from horizon.errors import LakeFileError
from horizon.lake import cleaning
from horizon.lake.engines import Engine
from horizon.lake.faults import naming
from horizon.lake.planning import planned
from horizon.lake.scanning import live_files
from horizon.lake.table import NAMESPACE, RESTING, Lake
from horizon.lake.view import of_the_lake_alone
from horizon.lake.watermark import Watermark

_NODES: Final = ListType(element_id=6, element=UUIDType(), element_required=True)
SCHEMA: Final = Schema(
    NestedField(1, "node", UUIDType(), required=True),
    NestedField(2, "nodes", _NODES, required=True),
    NestedField(3, "time", TimestamptzType(), required=True),
    NestedField(4, "received_at", TimestamptzType(), required=True),
    NestedField(5, "activity", BooleanType(), required=True),
)
PROPERTIES: Final = {
    "format-version": "2",
    "write.metadata.metrics.default": "none",
    "write.parquet.compression-codec": "zstd",
    "write.parquet.compression-level": "1",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
}
# As events: one of the last activity stands for all that were before it. Nobody asks of such a day
# when it was received: it exists for every now from the frontier on.
LAST: Final = """
SELECT nodes[1] AS node, nodes, max(time) AS time, max(time) AS received_at, true AS activity
FROM lake WHERE activity AND time < %(frontier)s GROUP BY nodes ORDER BY node
"""


@dataclass(frozen=True)
class Resting:
    """What a snapshot of the summary covers."""

    frontier: date
    covers: int  # a snapshot of the events
    sequence: int  # its number: a file with a higher one came later

    def properties(self) -> dict[str, str]:
        return {
            "horizon.frontier": self.frontier.isoformat(),
            "horizon.covers": str(self.covers),
            "horizon.sequence": str(self.sequence),
        }

    @classmethod
    def read(cls, summary: Table) -> Resting | None:
        snapshot = summary.current_snapshot()
        said: Mapping[str, str] = {}
        if snapshot is not None and snapshot.summary is not None:
            said = snapshot.summary.additional_properties
        if "horizon.frontier" not in said:
            return None
        return cls(
            date.fromisoformat(said["horizon.frontier"]),
            int(said["horizon.covers"]), int(said["horizon.sequence"]),
        )  # fmt: skip

    def holds_for(self, events: Table) -> bool:
        """Nothing but what adds rows, or keeps them the same, came since it was made.

        Another program's delete or overwrite may have taken rows away. A commit of ours never
        does, but for an erasure, which makes the summary anew.
        """
        snapshot = events.current_snapshot()
        while snapshot is not None and snapshot.snapshot_id != self.covers:
            said = snapshot.summary
            if said is None or (
                said.operation in (Operation.DELETE, Operation.OVERWRITE)
                and Watermark.read(said.additional_properties) is None
            ):
                return False
            parent = snapshot.parent_snapshot_id
            snapshot = events.snapshot_by_id(parent) if parent is not None else None
        return snapshot is not None


def found(
    pointer: str, properties: Mapping[str, str], events: Table
) -> tuple[Resting, Table] | None:
    """The summary as a transaction sees it, where it holds for the events as it sees those.

    Raises LakeError where a file of its own is missing or damaged, or out of reach.
    """
    with naming(pointer):
        summary = StaticTable.from_metadata(pointer, dict(properties))
    return _believed(summary, events)


def _believed(summary: Table, events: Table) -> tuple[Resting, Table] | None:
    with naming(summary.metadata_location):
        resting = Resting.read(summary)
    if resting is None or not resting.holds_for(events):
        return None
    for task in live_files(summary):
        file = task.file
        with naming(file.file_path):
            size_bytes = len(summary.io.new_input(file.file_path))
            if size_bytes != file.file_size_in_bytes:
                raise ValueError(f"{size_bytes:,} bytes, not {file.file_size_in_bytes:,}")
    return resting, summary


def refresh(lake: Lake, engine: Engine, before: datetime) -> int:
    """Make it anew for the days before that time, from the one before and what came since.

    Returns how many rows it has. Raises LakeError. To be called from the lake's maintenance, before
    snapshots expire: a summary whose snapshot is gone is not believed.
    """
    events = lake.for_writing()
    now = events.current_snapshot()
    if now is None:
        return 0
    frontier = datetime.combine(before.astimezone(UTC).date(), time(), UTC)
    try:
        summary = _for_writing(lake)
        rows = _rows(lake, engine, events, frontier, _believed(summary, events))
    except LakeFileError:
        # All that it has is in the events; where the file is theirs, we hear again.
        rows = _rows(lake, engine, events, frontier, None)
        lake.catalog().drop_table((NAMESPACE, RESTING))
        summary = _for_writing(lake)
    if rows is None:
        return 0  # nothing is that old
    told = Resting(frontier.date(), now.snapshot_id, now.sequence_number or 0)
    schema = SCHEMA.as_arrow()
    # An overwrite of nothing would warn.
    put = summary.overwrite if summary.current_snapshot() else summary.append
    put(
        pa.Table.from_batches(rows.cast(schema).to_batches(), schema),
        snapshot_properties=told.properties(),
    )
    _forget(summary, clock.now())
    return int(rows.num_rows)


def _rows(
    lake: Lake, engine: Engine, events: Table, frontier: datetime,
    before: tuple[Resting, Table] | None,
) -> pa.Table | None:  # fmt: skip
    if before is not None and before[0].frontier > frontier.date():
        before = None
    sources = planned(events, before, until=frontier.date())
    if not sources.lake:
        return None
    view = of_the_lake_alone(sources.lake, lake.properties)
    return engine.run(LAST, view, {"frontier": frontier})


def _forget(summary: Table, now: datetime) -> None:
    """Its older snapshots, but those that a query may still read, and then their files."""
    old = cleaning.replaced(summary, now - cleaning.READERS)
    if old:
        summary.maintenance.expire_snapshots().by_ids(old).commit()
    cleaning.remove_unnamed(summary, [], now)


def _for_writing(lake: Lake) -> Table:
    catalog = lake.catalog()
    try:
        summary = catalog.load_table((NAMESPACE, RESTING))
        cleaning.names(summary)  # the lists of older snapshots as well: _forget reads them
    except NoSuchTableError:
        return catalog.create_table_if_not_exists(
            (NAMESPACE, RESTING), SCHEMA, lake.new_place(RESTING),
            UNPARTITIONED_PARTITION_SPEC, properties=PROPERTIES,
        )  # fmt: skip
    return summary
