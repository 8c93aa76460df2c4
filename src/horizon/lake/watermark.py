"""How far the lake has come: it travels in the Iceberg snapshot's own summary, so that data and
watermark change in one step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self

from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot

from horizon.errors import LakeError

_PREFIX: Final = "horizon."


@dataclass(frozen=True)
class Watermark:
    """What is in the lake: what ``seen`` of ``era`` sees, and, while a large window is taken in
    several steps, of what ``until`` of ``until_era`` sees all that was received before ``upto``."""

    era: int = 0
    seen: str = "1:1:"  # sees nothing
    until_era: int | None = None
    until: str | None = None
    upto: datetime | None = None

    def properties(self) -> dict[str, str]:
        """For a snapshot's summary; every commit of ours says it, also one that adds nothing."""
        said = {
            "era": str(self.era), "seen": self.seen,
            "until-era": "" if self.until_era is None else str(self.until_era),
            "until": self.until or "",
            "upto": self.upto.isoformat() if self.upto else "",
        }  # fmt: skip
        return {f"{_PREFIX}{name}": value for name, value in said.items()}

    def parameters(self) -> dict[str, Any]:
        """For queries."""
        return {
            "era": self.era, "seen": self.seen, "until_era": self.until_era, "until": self.until,
            "upto": self.upto,
        }  # fmt: skip

    @classmethod
    def read(cls, summary: Mapping[str, str]) -> Self | None:
        """None where the snapshot is not one of ours."""
        said = {name: summary.get(f"{_PREFIX}{name}") for name in ("era", "seen")}
        if not said["era"] or not said["seen"]:
            return None
        until_era, until = summary.get(f"{_PREFIX}until-era"), summary.get(f"{_PREFIX}until")
        upto = summary.get(f"{_PREFIX}upto")
        return cls(
            int(said["era"]), said["seen"], int(until_era) if until_era else None, until or None,
            datetime.fromisoformat(upto) if upto else None,
        )  # fmt: skip


def watermark_of(table: Table) -> Watermark:
    """The current snapshot's, or its nearest ancestor's that has one: another tool's commit, say a
    compaction by Spark, repeats none and changes no rows.

    Raises LakeError where there are rows and none of them: from the start, all would come twice.
    """
    chain = bearer_of(table)
    if not chain:
        return Watermark()
    found = Watermark.read(_summary(chain[-1]))
    if found is None:
        raise LakeError(
            f"No snapshot that {table.metadata_location} still has says how far the lake came: let "
            "no other tool expire snapshots; docs/lake.md says how to bring it back."
        )
    return found


def bearer_of(table: Table) -> list[Snapshot]:
    """From the current snapshot to the nearest ancestor that tells a watermark, or the oldest."""
    chain: list[Snapshot] = []
    snapshot = table.current_snapshot()
    while snapshot is not None:
        chain.append(snapshot)
        parent = snapshot.parent_snapshot_id
        if Watermark.read(_summary(snapshot)) is not None or parent is None:
            break
        snapshot = table.snapshot_by_id(parent)
    return chain


def _summary(snapshot: Snapshot) -> Mapping[str, str]:
    return snapshot.summary.additional_properties if snapshot.summary else {}
