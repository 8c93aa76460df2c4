"""What a redrawing of the map did to profiles: which were merged, split, and what changed hands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order

from horizon.identity.graph import JOINS, Bools, Graph, Solution
from horizon.identity.wire import Digests, Ints, uuids

LIVE, HUB, BLOCKED, ERASED = range(4)  # how read_nodes tells of nodes
REFUSED, FRESH = 1, 2  # and read_edges of edges


@dataclass(frozen=True)
class Known:
    """Nodes in the order of their digests, and the edges between them, as the tables have them."""

    kinds: tuple[str, ...]
    nodes: Digests
    profile: Ints  # 0: it is out, or fresh
    born_as: Ints
    dead: Ints
    erased: Bools
    how: Ints  # of each edge
    state: Ints
    graph: Graph

    @property
    def fresh(self) -> Bools:
        return np.asarray((self.profile == 0) & (self.dead == LIVE))


@dataclass(frozen=True)
class Placing:
    """Which profile each node has now; 0 for those that are out."""

    profile: Ints
    born_as: Ints
    dead: Ints
    made: Ints


@dataclass(frozen=True)
class Merged:
    """A profile that another one took in, and the edge that did it."""

    profile_id: int
    into: int
    edge: tuple[UUID, UUID] | None


@dataclass(frozen=True)
class Change:
    """What one redrawing did to the map."""

    made: int  # profiles
    merged: list[Merged]
    split: list[tuple[int, int]]  # the profile that is there (again), and the one it came out of
    moved: Digests  # nodes that were of another profile before
    turned: Digests  # that have died, or have come alive again
    rehomed: int  # of these: neither merged nor split, they went over to another owner
    hubs: int  # new ones
    refused: int  # of the fresh edges


_NONE: Final = np.zeros(0, "S16")
UNCHANGED: Final = Change(0, [], [], _NONE, _NONE, 0, 0, 0)


def tell(known: Known, solution: Solution, placing: Placing) -> Change:
    before, after = known.profile, placing.profile
    merged = _merged(known, placing)
    into = dict(merged)
    edges = _edges(known, solution, placing, merged) if merged else {}
    moved = (before > 0) & (after != before)
    came = moved & (after > 0) & np.isin(after, _appeared(known, placing))
    came &= ~np.isin(before, np.array(list(into), np.int64))
    pairs = np.unique(np.stack((after[came], before[came])), axis=1)
    went = np.flatnonzero(moved & ~came & (after > 0))
    apart = known.state == FRESH
    return Change(
        made=len(placing.made),
        merged=[Merged(one, other, edges.get(one)) for one, other in merged],
        split=[(there, was) for there, was in pairs.T.tolist()],
        moved=known.nodes[moved],
        turned=known.nodes[~known.fresh & ((known.dead == LIVE) != (placing.dead == LIVE))],
        rehomed=sum(
            into.get(was) != now
            for was, now in zip(before[went].tolist(), after[went].tolist(), strict=True)
        ),
        hubs=int((solution.hub & (known.dead != HUB)).sum()),
        refused=int((apart & (solution.refused != JOINS)).sum()),
    )


def _merged(known: Known, placing: Placing) -> list[tuple[int, int]]:
    """Profiles that were there and lead to another one now, and which; by number."""
    born, after = known.born_as, placing.profile
    led = np.flatnonzero((born > 0) & (known.profile == born) & (after > 0) & (after != born))
    led = led[np.argsort(born[led])]
    return list(zip(born[led].tolist(), after[led].tolist(), strict=True))


def _appeared(known: Known, placing: Placing) -> Ints:
    """Profiles that are there now and were not before."""
    there = np.unique(placing.profile[placing.profile > 0])
    return there[~np.isin(there, known.profile)]


def _edges(
    known: Known, solution: Solution, placing: Placing, merged: list[tuple[int, int]]
) -> dict[int, tuple[UUID, UUID]]:
    """Of each absorbed profile the edge that ties it to the one that took it in.

    Where only others tie the two, fresh identifiers or profiles that were merged as well: the
    edge with which the shortest way from the one to the other begins.
    """
    graph, before = known.graph, known.profile
    # What was one profile and still is one vertex; what had none is one by itself.
    parts = np.where(before > 0, before, -1 - np.arange(len(before)))
    _, part = np.unique(np.stack((placing.profile, parts)), axis=1, return_inverse=True)
    part = part.ravel()
    joins = solution.refused == JOINS
    edges = np.flatnonzero(joins & (part[graph.weak] != part[graph.strong]))
    edges = edges[np.lexsort((
        graph.strong[edges], graph.weak[edges], graph.time[edges], ~graph.contracts[edges],
        known.state[edges] != FRESH,
    ))]  # fmt: skip
    at = {born: node for node, born in enumerate(placing.born_as.tolist()) if born}
    root = int(part.max()) + 1
    ends = part[graph.weak[edges]], part[graph.strong[edges]]
    targets = np.unique(part[[at[into] for _, into in merged]])
    near = np.concatenate((ends[0], np.full(len(targets), root)))
    far = np.concatenate((ends[1], targets))
    ways = coo_array((np.ones(len(near), np.bool_), (near, far)), (root + 1, root + 1)).tocsr()
    _, nearer = breadth_first_order(ways, root, directed=False)
    away = np.where(nearer[ends[0]] == ends[1], ends[0], -1)
    away = np.where(nearer[ends[1]] == ends[0], ends[1], away)
    first = dict(zip(*(one.tolist() for one in np.unique(away, return_index=True)), strict=True))
    found = {}
    for absorbed, _ in merged:
        edge = first.get(int(part[at[absorbed]]))
        if edge is not None:
            weak, strong = uuids(known.nodes[[graph.weak[edges[edge]], graph.strong[edges[edge]]]])
            found[absorbed] = (weak, strong)
    return found
