"""The map that the stage keeps is the one that the definition gives of the same events.

In whatever order they arrive and however they fall into batches; tests/identity_oracle.py is the
definition once more, plainly.
"""

from __future__ import annotations

import random
from collections.abc import Hashable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from horizon.events.nodes import node_of
from horizon.identity import rules as rules_of
from horizon.identity.stage import resolve
from horizon.postgres.database import Connection, Role
from tests.identity_oracle import Answer, Tie, clamped, partition
from tests.identity_oracle import World as Evidence
from tests.world import NOW, World

RULES = """
neighbours = 9
[kinds.user_id]
priority = 1
limit = 1
[kinds.email]
priority = 2
limit = 2
owners = 2
[kinds.crm_id]
priority = 4
limit = 1
window = "month"
blocked = ["bad.*"]
[kinds.anonymous_id]
priority = 80
limit = 2
window = "week"
owners = 2
[kinds.device_id]
priority = 85
owners = 3
"""

Named = tuple[str, str]  # kind, value


@dataclass(frozen=True)
class Said:
    """One event: who it names, when it happened and came, and whether it is believed."""

    type: str
    names: tuple[Named, ...]
    previous: str | None
    days_ago: int
    late_days: int
    trusted: bool

    def item(self) -> dict[str, Any]:
        of = dict(self.names)
        item: dict[str, Any] = {"type": self.type, "timestamp": self.time.isoformat()}
        if "user_id" in of:
            item["userId"] = of["user_id"]
        if "anonymous_id" in of:
            item["anonymousId"] = of["anonymous_id"]
        if self.type == "track":
            item["event"] = "Seen"
        if self.previous:
            item["previousId"] = self.previous
        if "email" in of:
            item["traits"] = {"email": of["email"]}
        context: dict[str, Any] = {}
        if "device_id" in of:
            context["device"] = {"id": of["device_id"]}
        if "crm_id" in of:
            context["externalIds"] = [{"type": "crm_id", "id": of["crm_id"]}]
        return {**item, "context": context}

    @property
    def time(self) -> datetime:
        return NOW - timedelta(days=self.days_ago)

    @property
    def received_at(self) -> datetime:
        return min(NOW, self.time + timedelta(days=self.late_days))


def _names(draw: st.DrawFn) -> tuple[Named, ...]:
    pools = {
        "user_id": [f"u{n}" for n in range(5)], "email": [f"e{n}@example.com" for n in range(4)],
        "crm_id": ["c0", "c1", "bad1"], "anonymous_id": [f"a{n}" for n in range(5)],
        "device_id": [f"d{n}" for n in range(3)],
    }  # fmt: skip
    kinds = draw(st.lists(st.sampled_from(list(pools)), min_size=1, max_size=3, unique=True))
    if not {"user_id", "anonymous_id"} & set(kinds):
        kinds.append("anonymous_id")
    return tuple((kind, draw(st.sampled_from(pools[kind]))) for kind in kinds)


@st.composite
def said(draw: st.DrawFn) -> Said:
    names = _names(draw)
    kind = draw(st.sampled_from(["track", "identify", "identify", "alias"]))
    if kind == "alias" and "user_id" not in dict(names):
        kind = "track"
    if kind != "identify":
        names = tuple(name for name in names if name[0] != "email")
    if not {"user_id", "anonymous_id"} & {name[0] for name in names}:
        names += (("anonymous_id", "a0"),)
    previous = draw(st.sampled_from(["u0", "u1", "a0", "a1"])) if kind == "alias" else None
    return Said(
        kind, names, previous, draw(st.integers(0, 50)), draw(st.sampled_from([0, 0, 1, 45])),
        draw(st.booleans()),
    )  # fmt: skip


def evidence(events: list[Said], cuts: list[tuple[Named, ...]]) -> Evidence:
    kinds: dict[Hashable, str] = {}
    seen: dict[Hashable, datetime] = {}
    ties: list[Tie] = []
    for event in events:
        time = clamped(event.time, event.received_at, event.trusted)
        names = [n for n in event.names if n[0] != "email" or event.trusted]
        order = ["user_id", "email", "crm_id", "anonymous_id", "device_id"]
        names.sort(key=lambda name: order.index(name[0]))
        before = [("user_id", event.previous), ("anonymous_id", event.previous)]
        previous = [(k, v) for k, v in before if v]
        for name in [*names, *previous]:
            kinds[name] = name[0]
            seen[name] = min(seen.get(name, time), time)
        if event.type == "alias":
            for name in dict.fromkeys([*names[1:], *previous]):
                how = "alias" if name in previous and event.trusted else "event"
                if name != names[0]:
                    ties.append(Tie(name, names[0], how, time))
        else:
            pairs = [(b, a) for at, a in enumerate(names) for b in names[at + 1 :]]
            ties += [Tie(weak, strong, "event", time) for weak, strong in pairs]
    blocked: set[Hashable] = {name for name in kinds if name[1].startswith("bad")}  # type: ignore[index]
    return Evidence(kinds, seen, ties, list(cuts), blocked)


def _by_digest(world: World, found: Evidence) -> tuple[Evidence, dict[UUID, Named]]:
    """The same with nodes in place of names: ties of the same time are ordered by them."""
    key = world.horizon.keys.node
    node: dict[Hashable, UUID] = {name: node_of(key, *name) for name in found.kinds}  # type: ignore[misc]
    return Evidence(
        {node[name]: kind for name, kind in found.kinds.items()},
        {node[name]: time for name, time in found.seen.items()},
        [Tie(node[tie.weak], node[tie.strong], tie.how, tie.time) for tie in found.ties],
        [tuple(node_of(key, *name) for name in cut) for cut in found.cuts],  # type: ignore[misc]
        {node[name] for name in found.blocked},
    ), {node[name]: name for name in found.kinds}  # type: ignore[misc]


def the_map(tx: Connection) -> Answer:
    groups: dict[int, set[Hashable]] = {}
    hubs: set[Hashable] = set()
    for row in tx.execute("SELECT node, profile_id, dead, erased FROM nodes"):
        if row.dead == "hub":
            hubs.add(row.node)
        assert (row.dead == "erased") == (row.erased and row.profile_id is not None)
        if row.profile_id is not None:
            groups.setdefault(row.profile_id, set()).add(row.node)
    refused: dict[Any, str] = {
        (row.weak, row.strong, row.how): row.refused_by
        for row in tx.execute(
            "SELECT weak, strong, how, refused_by FROM edges WHERE refused_by IS NOT NULL"
        )
    }
    return Answer({frozenset(group) for group in groups.values()}, hubs, refused)


def _emptied(world: World) -> None:
    with world.horizon.database.transaction(Role.OWNER) as tx:
        tx.execute(
            "TRUNCATE events, event_ids, nodes, edges, cuts, profiles, identity_rules, watermarks, traits"
        )
        tx.execute("INSERT INTO identity_rules (rules, adopted_at) VALUES (%s, %s)", [RULES, NOW])


def _played(
    world: World,
    events: list[Said],
    cuts: list[tuple[Named, ...]],
    erased: list[Named],
    chance: random.Random,
) -> Answer:
    """The events in some order, in some batches; people cut and erased at some moment."""
    _emptied(world)
    steps: list[Any] = [*events]
    chance.shuffle(steps)
    for step in [*cuts, *erased]:
        steps.insert(chance.randrange(len(steps) + 1), step)
    for step in steps:
        if isinstance(step, Said):
            kind = "server" if step.trusted else "public"
            world.put(step.item(), kind=kind, received_at=step.received_at)
        elif step in erased:
            _erase(world, step)
        else:
            _cut(world, step)
        if chance.random() < 0.3:
            world.identify_all()
    world.identify_all()
    with world.horizon.database.transaction(Role.WORKER) as tx:
        _is_whole(tx)
        return the_map(tx)


def _erase(world: World, name: Named) -> None:
    """As an erasure does: the value is gone, its node's place in the graph is kept."""
    with world.horizon.database.transaction(Role.OWNER) as tx:
        tx.execute(
            "UPDATE nodes SET dead = 'erased', value = '' WHERE dead IS NULL AND node = %s",
            [node_of(world.horizon.keys.node, *name)],
        )


def _cut(world: World, cut: tuple[Named, ...]) -> None:
    nodes = [node_of(world.horizon.keys.node, *name) for name in cut]
    with world.horizon.database.transaction(Role.WORKER) as tx:
        tx.execute(
            "INSERT INTO cuts (node, anchor, stand_ins, made_at) VALUES (%s, %s, %s, %s)",
            [*nodes[:2], nodes[2:], NOW],
        )
        resolve(tx, nodes, NOW, uuid4())


def _is_whole(tx: Connection) -> None:
    """What holds of every map: ids lead to one that is there, and each profile has its node."""
    assert not tx.execute("SELECT FROM nodes WHERE live AND value = ''").fetchall()
    assert not tx.execute(
        "SELECT FROM profiles p JOIN profiles q ON q.profile_id = p.points_to WHERE q.points_to IS NOT NULL"
    ).fetchall()
    assert not tx.execute(
        "SELECT FROM nodes n JOIN profiles p USING (profile_id) WHERE p.points_to IS NOT NULL"
    ).fetchall()
    assert not tx.execute(
        "SELECT FROM profiles p JOIN nodes n ON n.born_as = p.profile_id"
        " WHERE p.points_to IS DISTINCT FROM nullif(n.profile_id, p.profile_id)"
    ).fetchall()


CHOSEN: list[Named] = [("user_id", "u0"), ("anonymous_id", "a0"), ("email", "e0@example.com")]
CUTS = st.lists(st.sampled_from(CHOSEN), min_size=2, max_size=3, unique=True).map(tuple)
PLAYS = (
    st.integers(5, 40).flatmap(lambda count: st.lists(said(), min_size=count, max_size=count)),
    st.lists(CUTS, max_size=1),
    st.lists(st.sampled_from(CHOSEN), max_size=1),
    st.randoms(use_true_random=False),
)
HEALTHY = [HealthCheck.function_scoped_fixture]


def _agree(world: World, *play: Any) -> None:
    events, cuts, *_ = play
    wanted, _ = _by_digest(world, evidence(events, cuts))
    assert _played(world, *play) == partition(wanted, rules_of.read(RULES))


@settings(max_examples=5, deadline=None, suppress_health_check=HEALTHY)
@given(st.tuples(*PLAYS))
def test_any_order_and_any_batches_give_the_defined_map(world: World, play: Any) -> None:
    _agree(world, *play)


@pytest.mark.slow
@settings(max_examples=80, deadline=None, suppress_health_check=HEALTHY)
@given(st.tuples(*PLAYS))
def test_many_more_of_them(world: World, play: Any) -> None:
    _agree(world, *play)
