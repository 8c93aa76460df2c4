"""How the graph stands: what is out of matching, what was refused, what the last runs did."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import Struct

from horizon.postgres.database import Connection
from horizon.profiles.evidence import QUERIES, Evidence

MOST_RUNS = 5


class Dead(Struct, frozen=True):
    """An identifier that ties nobody. ``profiles``: how many it would have made one of."""

    identifier: str
    node: UUID
    neighbours: int
    kinds: str | None
    profiles: int
    first_seen: datetime
    first_tie: datetime | None
    last_tie: datetime | None


class Neighbour(Struct, frozen=True):
    """What an identifier is tied to. ``first_tie``: of the first event that had both.

    ``last_event``: of the last one that the hot store has; None where it has none any more.
    """

    identifier: str
    node: UUID
    profile_id: int | None
    first_tie: datetime
    last_event: datetime | None


class Kind(Struct, frozen=True):
    kind: str
    identifiers: int
    hubs: int
    blocked: int
    erased: int


class Ties(Struct, frozen=True):
    """How many edges of one way were refused by what; None: they join."""

    how: str
    refused_by: str | None
    edges: int


class Run(Struct, frozen=True):
    started_at: datetime
    status: str
    figures: dict[str, Any]


class Standing(Struct, frozen=True):
    profiles: int
    contested: int
    absorbed: int
    kinds: Sequence[Kind]
    ties: Sequence[Ties]
    runs: Sequence[Run]


def dead_nodes(evidence: Evidence, dead: str, most: int) -> list[Dead]:
    """Those with the most neighbours first; ``dead`` is hub or blocked."""
    found = []
    for row in evidence.tx.execute(QUERIES["dead_nodes"], {"dead": dead, "most": most}):
        name = f"{row.kind}:{evidence.shown(row.value, row.kind)}"
        found.append(Dead(name, row.node, row.neighbours, row.kinds, row.profiles, row.first_seen,
                          row.first_tie, row.last_tie))  # fmt: skip
    return found


def neighbours(evidence: Evidence, node: UUID, most: int) -> tuple[list[Neighbour], int]:
    """Who was tied to it last, and how many are tied to it in all."""
    rows = evidence.tx.execute(QUERIES["neighbours"], {"node": node, "most": most}).fetchall()
    found = [
        Neighbour(str(evidence.node(row)), row.node, row.profile_id, row.first_tie, row.last_event)
        for row in rows
    ]
    return found, rows[0].neighbours if rows else 0


def hub_count(tx: Connection) -> int:
    row = tx.execute(QUERIES["hub_count"]).fetchone()
    return row.hubs if row else 0


def standing(evidence: Evidence) -> Standing:
    tx = evidence.tx
    counts = tx.execute(QUERIES["profile_counts"]).fetchone()
    assert counts is not None
    return Standing(
        counts.profiles, counts.contested, counts.absorbed,
        [Kind(*row) for row in tx.execute(QUERIES["node_counts"])],
        [Ties(*row) for row in tx.execute(QUERIES["edge_counts"])],
        [Run(row.started_at, row.status, row.figures or {})
         for row in tx.execute(QUERIES["last_runs"], {"most": MOST_RUNS})],
    )  # fmt: skip
