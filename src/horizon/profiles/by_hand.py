"""What operators said of who is who, and when they took it back, as the audit has it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from msgspec import Struct

from horizon.profiles.evidence import QUERIES, Evidence

SAID: Final = {
    "profile:split": "split", "profile:uncut": "cut lifted", "profile:joined": "joined",
    "profile:unjoined": "join taken back", "identity:rules:adopted": "rules adopted",
}  # fmt: skip


class Said(Struct, frozen=True):
    """``identifiers``: of a split what was cut out and what it was kept from. ``number``: of a cut,
    or of a version of the rules. ``profiles``: their numbers, after it."""

    at: datetime
    actor: str
    what: str
    number: int | None
    identifiers: list[str]
    nodes: list[UUID]
    profiles: list[int]
    why: str | None


def operator_changes(evidence: Evidence, most: int) -> list[Said]:
    """The newest first. Asks the audit, which the worker may not read and the console may."""
    rows = evidence.tx.execute(QUERIES["operator_changes"], {"most": most}).fetchall()
    known = evidence.nodes(node for row in rows for node in _nodes(row))
    return [
        Said(
            row.at, row.actor, SAID[row.action], _number(row),
            [str(known[node]) for node in _nodes(row) if node in known], _nodes(row),
            _profiles(row), row.details.get("why"),
        )
        for row in rows
    ]  # fmt: skip


def _nodes(row: Any) -> list[UUID]:
    if row.cut_id is not None:
        return [row.node, row.anchor]
    return [UUID(node) for node in row.details.get("nodes", ())]


def _number(row: Any) -> int | None:
    return int(row.object) if row.action == "identity:rules:adopted" else row.cut_id


def _profiles(row: Any) -> list[int]:
    """Of adopted rules it is how many were made."""
    profiles = row.details.get("profiles", ())
    return list(profiles) if isinstance(profiles, list) else []
