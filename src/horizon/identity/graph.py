"""The partition of nodes into profiles: a function of the set of evidence, never of its order.

docs/identity.md has the definition, why it does not depend on order, and counterexamples to
simpler ones. tests/identity_oracle.py says the same once more, plainly.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from horizon.identity.forest import Evidence, Forest
from horizon.identity.rules import Kind, Rules

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

JOINS: Final = 0
HUB: Final = -1
CUT: Final = -2
BLOCKED: Final = -3
UNJOINED: Final = -4  # and a number above 0: 1 + the kind whose limit refused

_MICROS = 1_000_000
_DAY = 86_400 * _MICROS
_MONDAY = 4 * _DAY  # 1970-01-05


@dataclass(frozen=True)
class Graph:
    """Nodes by number, in the order of their digests; times in microseconds since 1970, UTC."""

    kinds: tuple[str, ...]
    kind: Ints  # of each node, into kinds
    seen: Ints  # first, of each node
    blocked: Bools
    hub: Bools  # known to be one already: what is tied to it may be missing here
    weak: Ints  # of each edge, a node
    strong: Ints
    contracts: Bools  # alias, same, manual: its ends count as one identifier
    unjoined: Bools  # a join by hand that was taken back: it ties nobody, and counts for hubs
    time: Ints
    # Cut, node, and an end that it is kept from: of a cut's rows the first whose end is not out
    # counts. -1: an end that is not out, and not here.
    cuts: Ints


@dataclass(frozen=True)
class Solution:
    """``group`` and ``component``: the first node of each node's; its own where it is out."""

    group: Ints
    component: Ints
    hub: Bools
    refused: Ints  # of each edge: JOINS, UNJOINED, BLOCKED, HUB, CUT or 1 + a kind

    def reason(self, edge: int, kinds: tuple[str, ...]) -> str | None:
        code = int(self.refused[edge])
        if code > 0:
            return f"limit:{kinds[code - 1]}"
        return {
            JOINS: None, UNJOINED: "unjoined", BLOCKED: "blocked", HUB: "hub", CUT: "cut",
        }[code]  # fmt: skip


def solve(graph: Graph, rules: Rules) -> Solution:
    limits = _Limits(graph, rules)
    hub = graph.hub | _hubs(graph, rules, limits)
    live = ~(hub | graph.blocked)
    joins = live[graph.weak] & live[graph.strong] & ~graph.unjoined
    component = _components(len(graph.kind), graph.weak[joins], graph.strong[joins])
    blocked = graph.blocked[graph.weak] | graph.blocked[graph.strong]
    refused = np.select((joins, graph.unjoined, blocked), (JOINS, UNJOINED, BLOCKED), HUB)
    group = component.copy()
    cuts = _standing(graph.cuts, live)
    contested = _contested(graph, limits, live, joins, component, cuts)
    edges = np.flatnonzero(joins & contested[component[graph.weak]])
    if len(edges):
        _apart(graph, limits, edges, group, refused, cuts)
    return Solution(group, component, hub, refused)


class _Limits:
    """The rules of each kind of a graph, as arrays."""

    def __init__(self, graph: Graph, rules: Rules) -> None:
        of = [rules.of(name) for name in graph.kinds]
        self.kinds = of
        self.priority = np.array([kind.priority for kind in of], np.int64)
        self.limit = np.array([kind.limit for kind in of], np.int64)
        self.owners = np.array([kind.owners for kind in of], np.int64)

    def bucket(self, kinds: Ints, seen: Ints) -> Ints:
        """The calendar bucket of each first time, as its kind's window has it."""
        buckets = np.zeros(len(kinds), np.int64)
        for code, kind in enumerate(self.kinds):
            mine = kinds == code
            if kind.window != "ever" and mine.any():
                buckets[mine] = _bucket(kind, seen[mine])
        return buckets


def _bucket(kind: Kind, seen: Ints) -> Ints:
    if kind.window == "week":
        return np.asarray((seen - _MONDAY) // (7 * _DAY), np.int64)
    unit = "M" if kind.window == "month" else "Y"
    return seen.astype("datetime64[us]").astype(f"datetime64[{unit}]").astype(np.int64)


def _components(count: int, a: Ints, b: Ints) -> Ints:
    """Of each node the first node that it is connected with."""
    ones = np.ones(len(a), np.bool_)
    _, label = connected_components(coo_array((ones, (a, b)), (count, count)), directed=False)
    _, first = np.unique(label, return_index=True)
    return np.asarray(first[label], np.int64)


def _hubs(graph: Graph, rules: Rules, limits: _Limits) -> Bools:
    """Nodes with too many neighbours, of one stronger kind or in all; blocked ones do not count."""
    count = len(graph.kind)
    hub = np.zeros(count, np.bool_)
    counts = ~(graph.blocked[graph.weak] | graph.blocked[graph.strong])
    counts &= graph.weak != graph.strong
    weak, strong = graph.weak[counts], graph.strong[counts]
    degree = np.bincount(weak, minlength=count) + np.bincount(strong, minlength=count)
    owners = limits.owners[graph.kind] if count else np.zeros(0, np.int64)
    suspect = (owners > 0) & (degree > owners) | (degree > rules.neighbours)
    ends = np.concatenate((weak, strong)), np.concatenate((strong, weak))
    asked = suspect[ends[0]]
    pairs = np.unique(np.stack((ends[0][asked], ends[1][asked])), axis=1)
    node, neighbour = pairs[0], pairs[1]
    hub |= np.bincount(node, minlength=count) > rules.neighbours
    kind = graph.kind[neighbour]
    stronger = limits.priority[kind] < limits.priority[graph.kind[node]]
    keys = node[stronger] * len(graph.kinds) + kind[stronger]
    found, times = np.unique(keys, return_counts=True)
    owned = found // max(len(graph.kinds), 1)
    most = limits.owners[graph.kind[owned]]
    hub[owned[(most > 0) & (times > most)]] = True
    return hub


def _standing(cuts: Ints, live: Bools) -> Ints:
    """The two ends of each cut, as it holds now; of those whose ends are here."""
    held = cuts[(cuts[:, 2] < 0) | live[cuts[:, 2]]]
    held = held[np.unique(held[:, 0], return_index=True)[1]]
    return held[held[:, 2] >= 0, 1:]


def _contested(
    graph: Graph, limits: _Limits, live: Bools, joins: Bools, component: Ints, cuts: Ints
) -> Bools:
    """Of each component's first node whether a limit or a cut may hold parts of it asunder."""
    contested = np.zeros(len(graph.kind), np.bool_)
    first, second = cuts[:, 0], cuts[:, 1]
    both = live[first] & live[second] & (component[first] == component[second])
    contested[component[first[both]]] = True
    contracted = joins & graph.contracts
    cluster = _components(len(graph.kind), graph.weak[contracted], graph.strong[contracted])
    limited = np.flatnonzero(live & (limits.limit[graph.kind] > 0))
    kind, seen = graph.kind[limited], graph.seen[limited]
    order = np.lexsort((seen, kind, cluster[limited]))
    limited, kind, seen = limited[order], kind[order], seen[order]
    inside = cluster[limited]
    # One identifier a cluster and kind: of its times the first one counts.
    first_of = np.ones(len(limited), np.bool_)
    first_of[1:] = (inside[1:] != inside[:-1]) | (kind[1:] != kind[:-1])
    limited, kind, seen = limited[first_of], kind[first_of], seen[first_of]
    place = component[limited]
    bucket = limits.bucket(kind, seen)
    order = np.lexsort((bucket, kind, place))
    place, kind, bucket = place[order], kind[order], bucket[order]
    starts = np.ones(len(place), np.bool_)
    starts[1:] = (place[1:] != place[:-1]) | (kind[1:] != kind[:-1]) | (bucket[1:] != bucket[:-1])
    at = np.flatnonzero(starts)
    times = np.diff(np.append(at, len(place)))
    contested[place[at[times > limits.limit[kind[at]]]]] = True
    return contested


def _apart(
    graph: Graph, limits: _Limits, edges: Ints, group: Ints, refused: Ints, cuts: Ints
) -> None:
    """Joins the ends of these edges one after the other, as far as limits and cuts let it."""
    weaker = np.maximum(
        limits.priority[graph.kind[graph.weak[edges]]],
        limits.priority[graph.kind[graph.strong[edges]]],
    )
    order = np.lexsort((
        graph.strong[edges], graph.weak[edges], graph.time[edges], weaker,
        ~graph.contracts[edges],
    ))  # fmt: skip
    edges = edges[order]
    nodes = np.unique(np.concatenate((graph.weak[edges], graph.strong[edges])))
    kinds = graph.kind[nodes]
    evidence = Evidence(
        nodes=nodes.tolist(),
        kinds=kinds.tolist(),
        seen=graph.seen[nodes].tolist(),
        buckets=limits.bucket(kinds, graph.seen[nodes]).tolist(),
        limits=limits.limit.tolist(),
        order=np.argsort(limits.priority, kind="stable").tolist(),
        cuts=cuts.tolist(),
    )
    forest = Forest(evidence)
    ends = zip(graph.weak[edges].tolist(), graph.strong[edges].tolist(), strict=True)
    contracts = graph.contracts[edges].tolist()
    codes = [forest.join(a, b, contract) for (a, b), contract in zip(ends, contracts, strict=True)]
    refused[edges] = codes
    group[nodes] = forest.groups()


def micros(moment: datetime) -> int:
    return int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * _MICROS)
