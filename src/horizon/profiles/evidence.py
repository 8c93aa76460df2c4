"""Identifiers, edges and their events, read from the tables; addresses masked unless asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from horizon.personal import masked
from horizon.postgres.database import Connection
from horizon.postgres.queries import Queries
from horizon.profiles.model import Cut, Edge, Event, Node
from horizon.profiles.rules import Limits, anchor, no_limits, why

QUERIES = Queries("horizon.profiles")

MOST_EDGES = 50_000  # read at once: a profile of more is told in part


@dataclass(frozen=True)
class Evidence:
    """One moment of the graph, in the caller's transaction."""

    tx: Connection
    limits: Limits = no_limits
    unmasked: bool = False

    def shown(self, value: str, kind: str) -> str:
        return value if self.unmasked else masked(value, kind) or ""

    def node(self, row: Any) -> Node:
        value = self.shown(row.value, row.kind)
        return Node(row.node, row.kind, value, row.profile_id, row.dead, row.first_seen)

    def nodes(self, wanted: Iterable[UUID]) -> dict[UUID, Node]:
        rows = self.tx.execute(QUERIES["nodes"], {"nodes": list(set(wanted))})
        return {row.node: self.node(row) for row in rows}

    def profile_nodes(self, profile_id: int, most: int) -> list[Node]:
        """The strongest first."""
        rows = self.tx.execute(QUERIES["profile_nodes"], {"profile_id": profile_id, "most": most})
        return sorted((self.node(row) for row in rows), key=lambda one: one.strength)

    def strongest(self, profile_id: int, but: UUID | None = None) -> Node | None:
        """The profile's strongest oldest identifier, of all that it has but one."""
        values = {"profile_id": profile_id, "but": but}
        rows = self.tx.execute(QUERIES["oldest_of_each_kind"], values)
        return anchor(self.node(row) for row in rows)

    def edges(self, nodes: Iterable[UUID], known: Mapping[UUID, Node] | None = None) -> list[Edge]:
        """Every edge with an end among ``nodes``, without its event's name."""
        values = {"nodes": list(nodes), "most": MOST_EDGES}
        rows = self.tx.execute(QUERIES["edges"], values).fetchall()
        known = dict(known or {})
        ends = {end for row in rows for end in (row.weak, row.strong)}
        known |= self.nodes(ends - known.keys())
        return [
            self._edge(row, known[row.weak], known[row.strong])
            for row in rows
            if row.weak in known and row.strong in known
        ]

    def _edge(self, row: Any, weak: Node, strong: Node) -> Edge:
        reason = why(row.refused_by, (weak, strong), self.limits)
        event = Event(row.event_id, None, None, row.source, row.time)
        return Edge(weak, strong, row.how, row.time, row.refused_by, reason, event)

    def with_events(self, edges: Sequence[Edge]) -> list[Edge]:
        """The same edges, each with its first event's type and name where that is still there."""
        asked = [edge for edge in edges if edge.event.event_id is not None]
        if not asked:
            return list(edges)
        ends = list({end for edge in asked for end in edge.ends})
        firsts = [row.node for row in self.tx.execute(QUERIES["stronger"], {"nodes": ends})]
        rows = self.tx.execute(QUERIES["edge_events"], {
            "firsts": firsts, "event_ids": [edge.event.event_id for edge in asked],
            "since": min(edge.time for edge in asked),
        })  # fmt: skip
        found = {row.event_id: row for row in rows}
        return [_told(edge, found.get(edge.event.event_id)) for edge in edges]

    def cuts(self, nodes: Iterable[UUID] | None = None) -> list[Cut]:
        values = {"nodes": None if nodes is None else list(nodes)}
        rows = self.tx.execute(QUERIES["cuts"], values).fetchall()
        known = self.nodes(end for row in rows for end in (row.node, row.anchor))
        return [
            Cut(row.cut_id, known[row.node], known[row.anchor], row.made_at, row.lifted_at)
            for row in rows
            if row.node in known and row.anchor in known
        ]


def _told(edge: Edge, row: Any) -> Edge:
    if row is None:
        return edge
    event = Event(row.event_id, row.type, row.name, edge.event.source, edge.time)
    return Edge(edge.weak, edge.strong, edge.how, edge.time, edge.refused_by, edge.why, event)
