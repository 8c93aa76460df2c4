"""docs/identity.md's definition once more, as plainly as it can be said, over the whole set.

No arrays, no increments, no cleverness: it is compared with what the stage and its solver make.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from horizon.identity.rules import Rules

Node = tuple[str, str]  # kind, value


@dataclass(frozen=True)
class Tie:
    """Evidence that two identifiers are one person's."""

    weak: Hashable
    strong: Hashable
    how: str  # event, alias, same, manual
    time: datetime


@dataclass
class World:
    kinds: dict[Hashable, str]
    seen: dict[Hashable, datetime]
    ties: list[Tie]
    # A node, and what it is kept from: the first of the others that is neither a hub nor blocked.
    cuts: list[tuple[Hashable, ...]] = field(default_factory=list)
    blocked: set[Hashable] = field(default_factory=set)
    unjoined: set[tuple[Hashable, Hashable, str]] = field(default_factory=set)  # ties taken back


@dataclass
class Answer:
    profiles: set[frozenset[Hashable]]
    hubs: set[Hashable]
    refused: dict[
        tuple[Hashable, Hashable, str], str
    ]  # a tie's ends and how -> blocked, hub, cut, limit:KIND


def clamped(time: datetime, received_at: datetime, trusted: bool) -> datetime:
    """The time of an event as evidence: never after its receipt; a browser's not long before."""
    time = min(time, received_at)
    return time if trusted else max(time, received_at - timedelta(days=30))


def partition(world: World, rules: Rules) -> Answer:
    first: dict[tuple[Hashable, Hashable, str], datetime] = {}
    for tie in world.ties:
        key = (tie.weak, tie.strong, tie.how)
        first[key] = min(first.get(key, tie.time), tie.time)
    good = [key for key in first if key[0] not in world.blocked and key[1] not in world.blocked]
    hubs = {node for node in world.kinds if _is_hub(node, good, world, rules)}
    live = [node for node in world.kinds if node not in hubs and node not in world.blocked]
    refused = {
        key: "blocked" if {key[0], key[1]} & world.blocked else "hub"
        for key in first if not {key[0], key[1]} <= set(live)
    }  # fmt: skip
    refused |= {key: "unjoined" for key in first if key in world.unjoined}
    out = hubs | world.blocked
    held = [(node, [one for one in others if one not in out]) for node, *others in world.cuts]
    cuts = [{node, others[0]} for node, others in held if others]
    groups = {node: frozenset({node}) for node in live}
    ordered = sorted(
        (key for key in first if key not in refused),
        key=lambda key: (
            key[2] == "event",
            max(rules.of(world.kinds[end]).priority for end in key[:2]),
            first[key],
            key[0],
            key[1],
        ),
    )
    one: dict[Hashable, Hashable] = {}
    for weak, strong, how in ordered:
        if how == "event" and not one:
            one = dict(groups)
        union = groups[weak] | groups[strong]
        if groups[weak] == groups[strong]:
            continue
        if any(cut <= union for cut in cuts):
            refused[weak, strong, how] = "cut"
            continue
        if how == "event" and (kind := _too_many(union, one, world, rules)):
            refused[weak, strong, how] = f"limit:{kind}"
            continue
        groups |= dict.fromkeys(union, union)
    return Answer(set(groups.values()), hubs, refused)


def _is_hub(
    node: Hashable, ties: Iterable[tuple[Hashable, Hashable, str]], world: World, rules: Rules
) -> bool:
    neighbours = {b for a, b, _ in ties if a == node} | {a for a, b, _ in ties if b == node}
    neighbours -= {node}
    if node in world.blocked:
        return False
    if len(neighbours) > rules.neighbours:
        return True
    mine = rules.of(world.kinds[node])
    by_kind: dict[str, int] = {}
    for other in neighbours:
        kind = world.kinds[other]
        if rules.of(kind).priority < mine.priority:
            by_kind[kind] = by_kind.get(kind, 0) + 1
    return mine.owners > 0 and any(count > mine.owners for count in by_kind.values())


def _too_many(
    union: frozenset[Hashable], one: dict[Hashable, Hashable], world: World, rules: Rules
) -> str | None:
    """The strongest kind of which these nodes hold more identifiers in a window than its limit."""
    over = []
    for kind in {world.kinds[node] for node in union}:
        rule = rules.of(kind)
        if not rule.limit:
            continue
        earliest: dict[Hashable, datetime] = {}
        for node in union:
            if world.kinds[node] == kind:
                who = one[node]
                earliest[who] = min(earliest.get(who, world.seen[node]), world.seen[node])
        counts: dict[object, int] = {}
        for time in earliest.values():
            counts[_bucket(rule.window, time)] = counts.get(_bucket(rule.window, time), 0) + 1
        if any(count > rule.limit for count in counts.values()):
            over.append((rule.priority, kind))
    return min(over)[1] if over else None


def _bucket(window: str, time: datetime) -> object:
    return {
        "ever": None,
        "year": time.year,
        "month": (time.year, time.month),
        "week": tuple(time.isocalendar()[:2]),
    }[window]
