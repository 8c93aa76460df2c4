"""The chain of evidence between two identifiers, and words for what keeps two apart.

Of several chains the best is the one with the fewest refused edges, then the fewest edges, then
the one whose weakest edge is the strongest, then the second weakest, and so on. An edge is the
stronger the surer it is (the operator's word, another spelling, an alias call, an event), then the
stronger the kind of its weaker end, then the earlier, then by its nodes: never equal.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from uuid import UUID

from horizon.events.kinds import rank_of
from horizon.profiles.model import Edge, Node

SURENESS = {"manual": 0, "same": 1, "alias": 2, "event": 3}

Strength = tuple[int, int, datetime, UUID, UUID]
Limits = Callable[[str], tuple[int, str]]  # of a kind: how many, within which window


def strength(edge: Edge) -> Strength:
    """The least is the strongest."""
    sureness = SURENESS.get(edge.how, len(SURENESS))
    return sureness, rank_of(edge.weak.kind), edge.time, edge.weak.node, edge.strong.node


def chain(edges: Iterable[Edge], one: UUID, other: UUID) -> list[Edge] | None:
    """The best chain from ``one`` to ``other``; None where there is none.

    Dijkstra's way: the order above stays the same when both chains get the same edge more.
    """
    near: dict[UUID, list[Edge]] = defaultdict(list)
    for edge in edges:
        for end in edge.ends:
            near[end].append(edge)
    done: set[UUID] = set()
    found: list[tuple[int, int, list[Strength], UUID, list[Edge]]] = [(0, 0, [], one, [])]
    while found:
        refused, length, links, node, way = heapq.heappop(found)
        if node == other:
            return way
        if node in done:
            continue
        done.add(node)
        for edge in near[node]:
            next_node = edge.other(node).node
            if next_node not in done:
                more = sorted([*links, strength(edge)], reverse=True)
                cost = refused + (edge.refused_by is not None), length + 1, more
                heapq.heappush(found, (*cost, next_node, [*way, edge]))
    return None


def anchor(nodes: Iterable[Node]) -> Node | None:
    """A profile's strongest oldest identifier."""
    return min(nodes, key=lambda one: one.strength, default=None)


def ordered(weak: Node, strong: Node) -> tuple[Node, Node]:
    """The two as an edge has them: the weaker kind first."""
    return (weak, strong) if weak.strength > strong.strength else (strong, weak)


def no_limits(_: str) -> tuple[int, str]:
    return 0, "ever"


def why(refused_by: str | None, ends: Sequence[Node], limits: Limits) -> str | None:
    """What refused an edge, in words: a rule, a cut, or what is out."""
    if refused_by is None:
        return None
    what, _, kind = refused_by.partition(":")
    if what == "limit":
        most, window = limits(kind)
        told = f"at most {most} {kind}" if most else f"no more {kind}"
        return f"{told}{'' if window == 'ever' else f' a {window}'} on one profile"
    if what == "cut":
        return "a cut keeps the two apart"
    if what == "unjoined":
        return "the join by hand was taken back"
    if what in ("hub", "blocked"):
        was = "a hub" if what == "hub" else "blocked by the rules"
        return " and ".join(_out(one) for one in ends if one.dead) or f"one of them was {was}"
    return refused_by


def _out(node: Node) -> str:
    return {
        "hub": f"{node} is a hub, which too many people share",
        "blocked": f"{node} is blocked by the rules",
    }.get(node.dead or "", f"{node} was erased")


def told(together: bool, steps: Sequence[Edge] | None, one: Node, other: Node) -> str:
    """The answer in a sentence."""
    if one.node == other.node:
        return f"{one} is one identifier."
    if steps is None and together:
        return "They are one profile, but nothing that is kept says why."
    if steps is None:
        return "Nothing ties them: they are two profiles, and no chain of events leads across."
    if together:
        way = "directly" if len(steps) == 1 else f"by a chain of {len(steps)}"
        return f"They are one profile: tied {way}."
    refused = [edge for edge in steps if edge.refused_by is not None]
    if not refused:
        return "They are not one profile yet: the next run of the identity stage joins them."
    reasons = "; ".join(dict.fromkeys(edge.why or "" for edge in refused))
    return f"They are two profiles. This would tie them, but was refused: {reasons}."
