"""What other rules would do to everybody, beside what holds; and to adopt them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import numpy as np

from horizon.identity.graph import Solution, solve
from horizon.identity.mapping import HUB, QUERIES, Change, Known, read_known, redraw
from horizon.identity.rules import Rules, read
from horizon.identity.stage import follow
from horizon.identity.wire import Ints
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
    """``merged``: profiles that another would take in; ``split``: those that would come out of one."""

    profiles_before: int
    profiles_after: int
    merged: int
    split: int
    refused_before: int  # edges
    refused_after: int
    hubs: list[UUID]  # that are none now
    freed: list[UUID]  # that are hubs now
    blocked: int  # identifiers that the rules' patterns block and the present ones do not
    largest_before: list[Size]
    largest_after: list[Size]


def compare(tx: Connection, rules: Rules) -> Comparison:
    """Solves the whole graph with these rules; nothing is written but rooms of this transaction."""
    known, solution = _solved(tx, rules)
    out = solution.hub | known.graph.blocked
    both = (known.profile > 0) & ~out
    pairs = np.unique(np.stack((known.profile[both], solution.group[both])), axis=1)
    return Comparison(
        profiles_before=_distinct(known.profile[known.profile > 0]),
        profiles_after=_distinct(solution.group[~out]),
        merged=_beyond_one(pairs[1]),
        split=_beyond_one(pairs[0]),
        refused_before=int((known.state == 1).sum()),
        refused_after=int((solution.refused != 0).sum()),
        hubs=_uuids(known, solution.hub & (known.dead != HUB)),
        freed=_uuids(known, ~solution.hub & (known.dead == HUB)),
        blocked=int((known.graph.blocked & (known.profile > 0)).sum()),
        largest_before=_largest(known, known.profile, known.profile > 0),
        largest_after=_largest(known, solution.group, ~out),
    )


def adopt(tx: Connection, text: str, now: datetime, run_id: UUID) -> Change:
    """Write these rules down as the newest version and draw the whole map by them.

    Raises UsageError for what are no rules. While it runs, nobody else changes the map: the caller
    holds the identity stage's lock.
    """
    rules = read(text)
    tx.execute(QUERIES["adopt_rules"], {"rules": text, "now": now})
    tx.execute(QUERIES["make_room"])
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


def _beyond_one(numbers: Ints) -> int:
    """How many of these pairs there are more than different first halves."""
    return len(numbers) - _distinct(numbers)


def _largest(
    known: Known, group: Ints, inside: np.ndarray[tuple[int], np.dtype[np.bool_]]
) -> list[Size]:
    members = np.flatnonzero(inside)
    order = np.lexsort((members, known.graph.seen[members]))
    members = members[order]
    _, first, count = np.unique(group[members], return_index=True, return_counts=True)
    largest = np.lexsort((first, -count))[:LARGEST]
    return [
        Size(UUID(bytes=bytes(known.nodes[members[first[at]]]).ljust(16, b"\0")), int(count[at]))
        for at in largest.tolist()
    ]


def _uuids(known: Known, asked: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> list[UUID]:
    return [UUID(bytes=bytes(one).ljust(16, b"\0")) for one in known.nodes[asked]]
