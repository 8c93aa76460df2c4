"""Brings the map up to date: reads what is touched, solves it, writes what changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import numpy as np

from horizon.identity import rules as rules_of
from horizon.identity.graph import JOINS, Bools, Graph, Solution, solve
from horizon.identity.rules import Rules
from horizon.identity.wire import Digests, IntArray, Ints, UuidArray, places, read, uuids
from horizon.identity.wire import order as order_of
from horizon.postgres.database import Connection
from horizon.postgres.queries import Queries

QUERIES = Queries("horizon.identity")

HOWS: Final = ("event", "alias", "same", "manual")
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
    how: Ints  # of each edge
    state: Ints
    graph: Graph

    @property
    def fresh(self) -> Bools:
        return np.asarray((self.profile == 0) & (self.dead == LIVE))


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
    hubs: int  # new ones
    refused: int  # of the fresh edges


_NONE = np.zeros(0, "S16")
UNCHANGED: Final = Change(0, [], [], _NONE, _NONE, 0, 0)


def active_rules(tx: Connection) -> Rules:
    row = tx.execute(QUERIES["newest_rules"]).fetchone()
    return rules_of.read(row.rules if row else rules_of.shipped_text())


def make_room(tx: Connection) -> None:
    """First of all: from here on nobody else changes the map."""
    tx.execute(QUERIES["hold_map"])
    tx.execute(QUERIES["make_room"])


def touch(tx: Connection, nodes: Iterable[UUID] = ()) -> None:
    """Ask for the places of these nodes and of all ends of fresh edges."""
    tx.execute(QUERIES["touch"], {"nodes": list(nodes)})
    tx.execute(QUERIES["involve"])
    tx.execute(QUERIES["involve_neighbours"])


def redraw(tx: Connection, now: datetime, rules: Rules, *, everything: bool = False) -> Change:
    """Solve what is involved and write the difference, in the caller's transaction."""
    known = read_known(tx, rules, everything=everything)
    solution = solve(known.graph, rules)
    tx.execute(QUERIES["hold_identity"])
    return _write(tx, known, rules, solution, now)


def read_known(tx: Connection, rules: Rules, *, everything: bool) -> Known:
    """With everything, what is out of matching is asked anew as well."""
    tx.execute(QUERIES["number_kinds"])
    kinds = tuple(row.kind for row in tx.execute(QUERIES["kinds"]))
    nodes, kind, profile, born_as, seen, dead = read(
        tx, QUERIES["read_nodes"], "uuid", "int", "int", "int", "time", "int"
    )
    order = order_of(nodes)
    nodes, kind, dead = nodes[order], kind[order], dead[order]
    edges = QUERIES["read_all_edges" if everything else "read_edges"]
    weak, strong, time, how, state = read(tx, edges, "uuid", "uuid", "time", "int", "int")
    ends = places(nodes, weak), places(nodes, strong)
    whole = (ends[0] >= 0) & (ends[1] >= 0)
    blocked = _blocked(tx, rules, nodes, everything=everything)
    if not everything:
        blocked |= dead == BLOCKED
    cuts = [places(nodes, column) for column in read(tx, QUERIES["read_cuts"], "uuid", "uuid")]
    graph = Graph(
        kinds=kinds, kind=kind, seen=seen[order], blocked=blocked,
        hub=np.zeros(len(nodes), np.bool_) if everything else dead == HUB,
        weak=ends[0][whole], strong=ends[1][whole], contracts=how[whole] > 0, time=time[whole],
        cuts=np.stack(cuts, axis=1)[(cuts[0] >= 0) & (cuts[1] >= 0)],
    )  # fmt: skip
    return Known(
        kinds, nodes, profile[order], born_as[order], dead, how[whole], state[whole], graph
    )


def _blocked(tx: Connection, rules: Rules, nodes: Digests, *, everything: bool) -> Bools:
    """Which of these nodes the rules' own patterns block."""
    blocked = np.zeros(len(nodes), np.bool_)
    kinds = [row.kind for row in tx.execute(QUERIES["kinds"]) if rules.of(row.kind).blocked]
    if kinds:
        asked = tx.execute(QUERIES["blockable"], {"kinds": kinds, "all": everything})
        found = [row.node.bytes for row in asked if rules.of(row.kind).blocks(row.value)]
        blocked[places(nodes, np.array(found, "S16"))] = True
    return blocked


@dataclass(frozen=True)
class _Placing:
    """Which profile each node has now; 0 for those that are out."""

    profile: Ints
    born_as: Ints
    dead: Ints
    made: Ints


def _place(tx: Connection, known: Known, rules: Rules, solution: Solution) -> _Placing:
    """A group's profile is the oldest that was made for one of its nodes; without one, a new one.

    So whatever merges and splits, an id stays with the node that it was made for.
    """
    out = solution.hub | known.graph.blocked
    group = solution.group
    never = np.iinfo(np.int64).max
    oldest = np.full(len(group), never, np.int64)
    born = (known.born_as > 0) & ~out
    np.minimum.at(oldest, group[born], known.born_as[born])
    first = _first(known, rules, group, out)
    without = first[oldest[group[first]] == never]
    made = _draw(tx, len(without))
    oldest[group[without]] = made
    born_as = known.born_as.copy()
    born_as[without] = made
    profile = np.where(out, 0, oldest[group])
    dead = np.where(solution.hub, HUB, np.where(known.graph.blocked, BLOCKED, LIVE))
    dead = np.where((known.dead == ERASED) & ~out, ERASED, dead)
    return _Placing(profile, born_as, dead, made)


def _first(known: Known, rules: Rules, group: Ints, out: Bools) -> Ints:
    """Of each group the node of the strongest kind that was seen first; groups by when they were.

    So a person's number stays with their user id when an address goes over to somebody else.
    """
    inside = np.flatnonzero(~out)
    seen, priority = known.graph.seen[inside], _priorities(known, rules)[known.graph.kind[inside]]
    ordered = inside[np.lexsort((inside, seen, priority, group[inside]))]
    first = ordered[np.unique(group[ordered], return_index=True)[1]]
    earliest = np.full(len(group), np.iinfo(np.int64).max, np.int64)
    np.minimum.at(earliest, group[inside], seen)
    return first[np.lexsort((first, earliest[group[first]]))]


def _priorities(known: Known, rules: Rules) -> Ints:
    return np.array([rules.of(kind).priority for kind in known.kinds], np.int64)


def _draw(tx: Connection, count: int) -> Ints:
    if not count:
        return np.zeros(0, np.int64)
    query = QUERIES["draw_profiles"].replace("%(count)s", str(count))
    drawn: Ints = read(tx, query, "int")[0]
    return np.sort(drawn)


def _write(tx: Connection, known: Known, rules: Rules, solution: Solution, now: datetime) -> Change:
    placing = _place(tx, known, rules, solution)
    tx.execute(QUERIES["make_profiles"], {"profiles": IntArray(placing.made), "now": now})
    differs = (
        known.fresh | (placing.profile != known.profile) | (placing.born_as != known.born_as)
        | (placing.dead != known.dead)
    )  # fmt: skip
    tx.execute(QUERIES["place"], {
        "nodes": UuidArray(known.nodes[differs]), "profiles": IntArray(placing.profile[differs]),
        "born_as": IntArray(placing.born_as[differs]), "dead": IntArray(placing.dead[differs]),
    })  # fmt: skip
    tx.execute(QUERIES["add_nodes"])
    if (differs & ~known.fresh).any():
        tx.execute(QUERIES["move_nodes"])
    refused = _write_edges(tx, known, solution)
    pointed = _point(tx, known, placing)
    _contest(tx, solution, placing)
    moved = (known.profile > 0) & (placing.profile != known.profile)
    turned = ~known.fresh & ((known.dead == LIVE) != (placing.dead == LIVE))
    return replace(
        _told(known, solution, placing, pointed),
        moved=known.nodes[moved],
        turned=known.nodes[turned],
        hubs=int((solution.hub & (known.dead != HUB)).sum()),
        refused=refused,
    )


def _write_edges(tx: Connection, known: Known, solution: Solution) -> int:
    """All fresh ones, and of the others those that are refused now or were; how many fresh are."""
    fresh = known.state == FRESH
    apart = solution.refused != JOINS
    tx.execute(QUERIES["keep_edges"], _reasons(known, solution, np.flatnonzero(fresh & apart)))
    told = np.flatnonzero(~fresh & (apart | (known.state == REFUSED)))
    if len(told):
        tx.execute(QUERIES["refuse"], _reasons(known, solution, told))
    return int((fresh & apart).sum())


def _reasons(known: Known, solution: Solution, edges: Ints) -> dict[str, Any]:
    graph = known.graph
    return {
        "weak": UuidArray(known.nodes[graph.weak[edges]]),
        "strong": UuidArray(known.nodes[graph.strong[edges]]),
        "how": [HOWS[how] for how in known.how[edges].tolist()],
        "reasons": [solution.reason(edge, known.kinds) or "" for edge in edges.tolist()],
    }


def _point(tx: Connection, known: Known, placing: _Placing) -> list[tuple[int, int]]:
    """Each id that was there before: 0 where it holds, else the one that holds in its place.

    An id whose node went out holds as well, of nobody: what it led to is no longer tied to it and
    may go on to merge. Those that changed come back.
    """
    born = np.flatnonzero(known.born_as > 0)
    profile = placing.profile[born]
    target = np.where(profile == known.born_as[born], 0, profile)
    rows = tx.execute(
        QUERIES["point"],
        {"profiles": IntArray(known.born_as[born]), "targets": IntArray(target)},
    )
    return [(row.profile_id, row.points_to or 0) for row in rows]


def _contest(tx: Connection, solution: Solution, placing: _Placing) -> None:
    """Which profiles are held apart from which: they have the least id of all in common."""
    alive = placing.profile > 0
    component, profile = solution.component[alive], placing.profile[alive]
    never = np.iinfo(np.int64).max
    least = np.full(len(placing.profile), never, np.int64)
    most = np.zeros(len(placing.profile), np.int64)
    np.minimum.at(least, component, profile)
    np.maximum.at(most, component, profile)
    ids, at = np.unique(profile, return_index=True)
    inside = component[at]
    contested = np.where(least[inside] == most[inside], 0, least[inside])
    # A new profile that nothing stands against is as it should be.
    old = (contested > 0) | ~np.isin(ids, placing.made)
    tx.execute(
        QUERIES["contest"],
        {"profiles": IntArray(ids[old]), "contested": IntArray(contested[old])},
    )


def _told(
    known: Known, solution: Solution, placing: _Placing, pointed: list[tuple[int, int]]
) -> Change:
    graph, before = known.graph, known.profile
    ties = (known.state == FRESH) & (solution.refused == JOINS)
    by_profile: dict[int, tuple[UUID, UUID]] = {}
    for edge in np.flatnonzero(ties).tolist() if pointed else []:
        ends = int(graph.weak[edge]), int(graph.strong[edge])
        if before[ends[0]] != before[ends[1]]:
            weak, strong = uuids(known.nodes[list(ends)])
            for end in ends:
                by_profile.setdefault(int(before[end]), (weak, strong))
    merged = [Merged(profile, into, by_profile.get(profile)) for profile, into in pointed if into]
    revived = {profile for profile, into in pointed if not into}
    came = (before > 0) & (placing.profile > 0) & (placing.profile != before)
    came &= np.isin(placing.profile, np.array([*revived, *placing.made.tolist()], np.int64))
    pairs = np.unique(np.stack((placing.profile[came], before[came])), axis=1)
    absorbed = {one.profile_id for one in merged}
    split = [(there, was) for there, was in pairs.T.tolist() if was not in absorbed]
    return replace(UNCHANGED, made=len(placing.made), merged=merged, split=split)
