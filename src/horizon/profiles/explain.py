"""Why two identifiers are one person, or why they are not."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from horizon.profiles import rules
from horizon.profiles.evidence import MOST_EDGES, Evidence
from horizon.profiles.model import Chain, Edge, Node


def explain(evidence: Evidence, one: Node, other: Node) -> Chain:
    together = one.profile_id is not None and one.profile_id == other.profile_id
    edges = reach(evidence, one, other, together=together)
    way = rules.chain(edges, one.node, other.node)
    steps = evidence.with_events(way or [])
    return Chain(one, other, together, steps, rules.told(together, way, one, other))


def reach(evidence: Evidence, one: Node, other: Node, *, together: bool) -> list[Edge]:
    """The edges around both, read in rounds until there are no more, or very many.

    Not only until they meet, since a longer chain may have fewer refused edges. What lies behind a
    hub is not read: a hub ties nobody, and very many have one in common.
    """
    edges: dict[tuple[UUID, UUID, str], Edge] = {}
    known: dict[UUID, Node] = {one.node: one, other.node: other}
    read: set[UUID] = set()
    frontier = {one.node, other.node}
    while frontier and len(edges) < MOST_EDGES:
        read |= frontier
        found = evidence.edges(frontier, known)
        if together:
            found = [edge for edge in found if edge.refused_by is None]
        edges |= {(*edge.ends, edge.how): edge for edge in found}
        ends = {end.node: end for edge in found for end in (edge.weak, edge.strong)}
        known |= ends
        frontier = _next(ends, read)
    return list(edges.values())


def _next(ends: Mapping[UUID, Node], read: set[UUID]) -> set[UUID]:
    return {node for node, end in ends.items() if node not in read and end.dead is None}
