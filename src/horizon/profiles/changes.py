"""What an operator says of who is who: a cut, a join, and taking either back.

Each is a row that the identity stage respects from then on; the profiles it touches are solved
again at once, in the same transaction. The solving is the stage's and is handed in. What is of one
profile is asked by its number; the lists are for showing, and end somewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from horizon.errors import HorizonError, UsageError
from horizon.postgres.database import Connection
from horizon.profiles.evidence import QUERIES, Evidence
from horizon.profiles.model import Node
from horizon.profiles.people import MOST_NODES, Person
from horizon.profiles.rules import ordered

STAND_INS = 20  # of a cut; that all of them become hubs is told in docs/identity.md

Solve = Callable[[Connection, Sequence[UUID], datetime, UUID], object]


@dataclass(frozen=True)
class Change:
    """The profiles of these identifiers, before and after."""

    before: dict[int, list[Node]]
    after: dict[int, list[Node]]
    cut_id: int | None = None


def lock(tx: Connection) -> None:
    """Before anything of the map is read: no run of the identity stage may be at work on it."""
    tx.execute(QUERIES["lock_stage"])


def split(
    evidence: Evidence, person: Person, node: Node, other: Node | None, solve: Solve, now: datetime
) -> Change:
    """``other`` is what the node shall never be of one profile with: if unset, the anchor."""
    other = _kept(evidence, person, node, other)
    before = evidence.profile_nodes(person.profile_id, MOST_NODES)
    row = evidence.tx.execute(
        QUERIES["add_cut"], {"node": node.node, "anchor": other.node, "now": now}
    ).fetchone()
    assert row is not None
    change = _solved(evidence, [node, other], before, solve, now, row.cut_id)
    if _together(evidence, node, other):
        raise HorizonError(
            f"{node} and {other} stay together, so nothing was changed: tell whoever maintains "
            "Horizon, with what `horizon profile explain` says of the two."
        )
    _stand_in(evidence, row.cut_id, other)
    return change


def _stand_in(evidence: Evidence, cut_id: int, anchor: Node) -> None:
    """An anchor that becomes a hub would hold nobody back: what stays with it does so then."""
    profile_id = evidence.nodes([anchor.node])[anchor.node].profile_id
    assert profile_id is not None, "the two were just parted"
    group = [one.node for one in evidence.profile_nodes(profile_id, MOST_NODES)]
    beside = [node for node in group if node != anchor.node]
    values = {"cut_id": cut_id, "nodes": beside[:STAND_INS]}
    evidence.tx.execute(QUERIES["stand_in"], values)


def _kept(evidence: Evidence, person: Person, node: Node, other: Node | None) -> Node:
    if node.profile_id != person.profile_id:
        raise UsageError(
            f"{node} is not of profile {person.profile_id}: `horizon profile show "
            f"{person.profile_id}` lists what is."
        )
    if other is not None and other.node == node.node:
        raise UsageError(f"{node} cannot be cut from itself: name another one with --from.")
    if other is not None and other.profile_id != person.profile_id:
        raise UsageError(f"{other} is not of profile {person.profile_id}: they are apart already.")
    kept = other or evidence.strongest(person.profile_id, but=node.node)
    if kept is None:
        raise UsageError(f"{node} is the only identifier of profile {person.profile_id}.")
    if other is None and node.strength < kept.strength:
        raise UsageError(
            f"{node} is the strongest identifier of profile {person.profile_id}, so that others "
            "would go and not it: name with --cut what is to go, or with --from what it is to be "
            "parted from."
        )
    return kept


def join(evidence: Evidence, one: Person, other: Person, solve: Solve, now: datetime) -> Change:
    if one.profile_id == other.profile_id:
        raise UsageError(
            f"{one.node} and {other.node} are one profile already: `horizon profile explain` says "
            "why."
        )
    values = {"one": one.profile_id, "other": other.profile_id}
    standing = evidence.tx.execute(QUERIES["standing_cut"], values).fetchone()
    if standing is not None:
        raise UsageError(
            f"Cut {standing.cut_id} keeps the two apart: lift it first, with `horizon profile "
            f"uncut {standing.cut_id}`."
        )
    before = [
        node for person in (one, other)
        for node in evidence.profile_nodes(person.profile_id, MOST_NODES)
    ]  # fmt: skip
    weak, strong = ordered(one.node, other.node)
    evidence.tx.execute(
        QUERIES["add_manual_edge"], {"weak": weak.node, "strong": strong.node, "now": now}
    )
    change = _solved(evidence, [weak, strong], before, solve, now)
    if not _together(evidence, one.node, other.node):
        raise HorizonError(
            f"{one.node} and {other.node} stay apart, and nothing was changed: a cut within either "
            "profile excludes the other; `horizon profile cuts` lists them."
        )
    return change


def unjoin(evidence: Evidence, one: Node, other: Node, solve: Solve, now: datetime) -> Change:
    """A join by hand ties nobody any more; what events say of the two holds on."""
    values = {"one": one.node, "other": other.node}
    before = _profiles_of(evidence, [one, other])
    if evidence.tx.execute(QUERIES["unjoin"], values).fetchone() is None:
        raise UsageError(
            f"No join by hand ties {one} and {other}: `horizon identity changes` lists them."
        )
    return _solved(evidence, [one, other], before, solve, now)


def uncut(evidence: Evidence, cut_id: int, solve: Solve, now: datetime) -> Change:
    lifted = evidence.tx.execute(QUERIES["lift_cut"], {"cut_id": cut_id, "now": now}).fetchone()
    if lifted is None:
        raise UsageError(
            f"There is no cut {cut_id} that stands: `horizon profile cuts` lists them."
        )
    ends = evidence.nodes(lifted.ends)
    before = _profiles_of(evidence, ends.values())
    return _solved(evidence, list(ends.values()), before, solve, now, cut_id)


def _profiles_of(evidence: Evidence, ends: Iterable[Node]) -> list[Node]:
    return [
        node
        for profile_id in {end.profile_id for end in ends if end.profile_id is not None}
        for node in evidence.profile_nodes(profile_id, MOST_NODES)
    ]


def _solved(
    evidence: Evidence,
    ends: Sequence[Node],
    before: Sequence[Node],
    solve: Solve,
    now: datetime,
    cut_id: int | None = None,
) -> Change:
    before = list({node.node: node for node in (*ends, *before)}.values())
    ids = [node.node for node in before]
    around = _around(evidence, before)
    solve(evidence.tx, ids, now, uuid4())
    after = evidence.nodes(ids)
    touched = {node.profile_id for node in after.values() if node.profile_id is not None}
    for one in touched:
        after |= {node.node: node for node in evidence.profile_nodes(one, MOST_NODES)}
    grown = list(after.values())
    known = {node.node: node for node in (*around, *before)}
    was = {known[node.node].profile_id for node in (*grown, *before) if node.node in known}
    shown = [node for node in known.values() if node.profile_id in was]
    return Change(_by_profile(shown), _by_profile(grown), cut_id)


def _around(evidence: Evidence, before: Sequence[Node]) -> list[Node]:
    """Of the profiles that are held apart from these: what goes may go there."""
    profiles = list({node.profile_id for node in before})
    values = {"profiles": profiles, "most": MOST_NODES}
    return [evidence.node(row) for row in evidence.tx.execute(QUERIES["held_apart"], values)]


def _by_profile(nodes: Sequence[Node]) -> dict[int, list[Node]]:
    found: dict[int, list[Node]] = {}
    for node in sorted(nodes, key=lambda one: one.strength):
        if node.profile_id is not None:
            found.setdefault(node.profile_id, []).append(node)
    return dict(sorted(found.items()))


def _together(evidence: Evidence, one: Node, other: Node) -> bool:
    """Now, whatever they were of when they were read."""
    first, second = evidence.nodes([one.node, other.node]).values()
    return first.profile_id is not None and first.profile_id == second.profile_id
