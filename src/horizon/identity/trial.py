"""What other rules would do to everybody, beside what holds; and to adopt them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID

import numpy as np

from horizon.identity.graph import JOINS, Bools, Solution, solve
from horizon.identity.mapping import QUERIES, make_room, place, read_known, redraw
from horizon.identity.rules import Rules
from horizon.identity.stage import follow
from horizon.identity.telling import HUB, REFUSED, Change, Known, tell
from horizon.identity.wire import Ints, uuids
from horizon.postgres.database import Connection
from horizon.postgres.era import current_era

LARGEST = 10


@dataclass(frozen=True)
class Size:
    """A profile by its identifier that was seen first, and how many it has."""

    node: UUID
    identifiers: int


@dataclass(frozen=True)
class Comparison:
    """``merged``: profiles that others would take in; ``split``: that would come out of others.

    ``rehomed``: identifiers that would go over to another profile, of which neither is true.
    """

    profiles_before: int
    profiles_after: int
    merged: int
    split: int
    rehomed: int
    refused_before: int  # edges
    refused_after: int
    hubs: list[UUID]  # that would be, and are none now
    freed: list[UUID]  # that are hubs now, and would be none
    blocked: int  # identifiers that the rules' patterns block and the present ones do not
    largest_before: list[Size]
    largest_after: list[Size]


def compare(tx: Connection, rules: Rules) -> Comparison:
    """Solves the whole graph with these rules; nothing is written but rooms of this transaction."""
    known, solution = _solved(tx, rules)
    out = solution.hub | known.graph.blocked
    change = tell(known, solution, place(known, rules, solution, partial(_unused, known)))
    return Comparison(
        profiles_before=_distinct(known.profile[known.profile > 0]),
        profiles_after=_distinct(solution.group[~out]),
        merged=len(change.merged),
        split=len(change.split),
        rehomed=change.rehomed,
        refused_before=int((known.state == REFUSED).sum()),
        refused_after=int((solution.refused != JOINS).sum()),
        hubs=uuids(known.nodes[solution.hub & (known.dead != HUB)]),
        freed=uuids(known.nodes[~solution.hub & (known.dead == HUB)]),
        blocked=int((known.graph.blocked & (known.profile > 0)).sum()),
        largest_before=_largest(known, known.profile, known.profile > 0),
        largest_after=_largest(known, solution.group, ~out),
    )


def adopt(tx: Connection, rules: Rules, now: datetime, run_id: UUID) -> Change:
    """Draws the whole map by these rules; who calls keeps their text as the newest version."""
    make_room(tx)
    tx.execute(QUERIES["involve_all"])
    change = redraw(tx, now, rules, everything=True)
    follow(tx, change, now, current_era(tx), run_id)
    return change


def _solved(tx: Connection, rules: Rules) -> tuple[Known, Solution]:
    tx.execute(QUERIES["make_room"])
    tx.execute(QUERIES["involve_all"])
    known = read_known(tx, rules, everything=True)
    return known, solve(known.graph, rules)


def _distinct(numbers: Ints) -> int:
    return len(np.unique(numbers))


def _unused(known: Known, count: int) -> Ints:
    """Numbers for profiles that nobody makes: a sequence that is drawn from does not go back."""
    return int(known.born_as.max(initial=0)) + 1 + np.arange(count, dtype=np.int64)


def _largest(known: Known, group: Ints, inside: Bools) -> list[Size]:
    members = np.flatnonzero(inside)
    order = np.lexsort((members, known.graph.seen[members]))
    members = members[order]
    _, first, count = np.unique(group[members], return_index=True, return_counts=True)
    largest = np.lexsort((first, -count))[:LARGEST]
    nodes = uuids(known.nodes[members[first[largest]]])
    return [Size(node, size) for node, size in zip(nodes, count[largest].tolist(), strict=True)]
