"""Brings the map up to date: reads what is touched, solves it, writes what changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from typing import Any, Final
from uuid import UUID

import numpy as np

from horizon.identity import rules as rules_of
from horizon.identity.graph import JOINS, Bools, Graph, Solution, solve
from horizon.identity.rules import Rules
from horizon.identity.telling import (
    BLOCKED,
    ERASED,
    FRESH,
    HUB,
    LIVE,
    REFUSED,
    Change,
    Known,
    Placing,
    tell,
)
from horizon.identity.wire import Digests, IntArray, Ints, UuidArray, places, read
from horizon.identity.wire import order as order_of
from horizon.postgres.database import Connection
from horizon.postgres.queries import Queries

QUERIES = Queries("horizon.identity")

HOWS: Final = ("event", "alias", "same", "manual", "manual")
UNJOINED: Final = 4  # the second of these: it was taken back


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
    nodes, kind, profile, born_as, seen, dead, erased = read(
        tx, QUERIES["read_nodes"], "uuid", "int", "int", "int", "time", "int", "int"
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
    cut, *cut_ends = read(tx, QUERIES["read_cuts"], "int", "uuid", "uuid")
    cuts = np.stack((cut, *(places(nodes, column) for column in cut_ends)), axis=1)
    graph = Graph(
        kinds=kinds, kind=kind, seen=seen[order], blocked=blocked,
        hub=np.zeros(len(nodes), np.bool_) if everything else dead == HUB,
        weak=ends[0][whole], strong=ends[1][whole], contracts=how[whole] > 0,
        unjoined=how[whole] == UNJOINED, time=time[whole],
        cuts=cuts[cuts[:, 1] >= 0],
    )  # fmt: skip
    return Known(kinds, nodes, profile[order], born_as[order], dead, erased[order] > 0, how[whole],
                 state[whole], graph)  # fmt: skip


def _blocked(tx: Connection, rules: Rules, nodes: Digests, *, everything: bool) -> Bools:
    """Which of these nodes the rules' own patterns block."""
    blocked = np.zeros(len(nodes), np.bool_)
    kinds = [row.kind for row in tx.execute(QUERIES["kinds"]) if rules.of(row.kind).blocked]
    if kinds:
        asked = tx.execute(QUERIES["blockable"], {"kinds": kinds, "all": everything})
        found = [row.node.bytes for row in asked if rules.of(row.kind).blocks(row.value)]
        blocked[places(nodes, np.array(found, "S16"))] = True
    return blocked


def place(known: Known, rules: Rules, solution: Solution, draw: Callable[[int], Ints]) -> Placing:
    """A group's profile is the oldest that was made for one of its nodes; without one, a new one.

    So whatever merges and splits, an id stays with the node that it was made for. ``draw`` gives
    so many new ones.
    """
    out = solution.hub | known.graph.blocked
    group = solution.group
    never = np.iinfo(np.int64).max
    oldest = np.full(len(group), never, np.int64)
    born = (known.born_as > 0) & ~out
    np.minimum.at(oldest, group[born], known.born_as[born])
    first = _first(known, rules, group, out)
    without = first[oldest[group[first]] == never]
    made = draw(len(without))
    oldest[group[without]] = made
    born_as = known.born_as.copy()
    born_as[without] = made
    profile = np.where(out, 0, oldest[group])
    dead = np.where(solution.hub, HUB, np.where(known.graph.blocked, BLOCKED, LIVE))
    dead = np.where(known.erased & ~out, ERASED, dead)
    return Placing(profile, born_as, dead, made)


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
    placing = place(known, rules, solution, partial(_draw, tx))
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
    _write_edges(tx, known, solution)
    _point(tx, known, placing)
    _contest(tx, solution, placing)
    return tell(known, solution, placing)


def _write_edges(tx: Connection, known: Known, solution: Solution) -> None:
    """All fresh ones, and of the others those that are refused now or were."""
    fresh = known.state == FRESH
    apart = solution.refused != JOINS
    tx.execute(QUERIES["keep_edges"], _reasons(known, solution, np.flatnonzero(fresh & apart)))
    told = np.flatnonzero(~fresh & (apart | (known.state == REFUSED)))
    if len(told):
        tx.execute(QUERIES["refuse"], _reasons(known, solution, told))


def _reasons(known: Known, solution: Solution, edges: Ints) -> dict[str, Any]:
    graph = known.graph
    return {
        "weak": UuidArray(known.nodes[graph.weak[edges]]),
        "strong": UuidArray(known.nodes[graph.strong[edges]]),
        "how": [HOWS[how] for how in known.how[edges].tolist()],
        "reasons": [solution.reason(edge, known.kinds) or "" for edge in edges.tolist()],
    }


def _point(tx: Connection, known: Known, placing: Placing) -> None:
    """Each id that was there before: 0 where it holds, else the one that holds in its place.

    An id whose node went out holds as well, of nobody: what it led to is no longer tied to it and
    may go on to merge.
    """
    born = np.flatnonzero(known.born_as > 0)
    profile = placing.profile[born]
    target = np.where(profile == known.born_as[born], 0, profile)
    tx.execute(
        QUERIES["point"],
        {"profiles": IntArray(known.born_as[born]), "targets": IntArray(target)},
    )


def _contest(tx: Connection, solution: Solution, placing: Placing) -> None:
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
