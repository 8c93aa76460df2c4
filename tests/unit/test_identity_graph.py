"""The solver against the plain definition, on graphs that hypothesis makes up."""

from __future__ import annotations

from collections.abc import Hashable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from horizon.identity.graph import Graph, micros, solve
from horizon.identity.rules import Kind, Rules
from tests.identity_oracle import Answer, Tie, World, partition

KINDS = ("user_id", "email", "crm_id", "anonymous_id", "device_id")
START = datetime(2026, 1, 28, tzinfo=UTC)

RULES = st.builds(
    lambda limits, windows, owners, neighbours: Rules(
        kinds={
            name: Kind(priority=10 * (1 + at), limit=limits[at], window=windows[at], owners=owners)  # type: ignore[arg-type]
            for at, name in enumerate(KINDS)
        },
        neighbours=neighbours,
    ),
    st.tuples(st.just(1), st.integers(0, 2), st.integers(0, 2), st.integers(0, 3), st.just(0)),
    st.tuples(*[st.sampled_from(["ever", "ever", "week", "month", "year"])] * len(KINDS)),
    st.integers(0, 4),
    st.integers(3, 12),
)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    count = draw(st.integers(2, 14))
    nodes = list(range(count))
    days = st.integers(0, 40)
    kinds: dict[Hashable, str] = {node: draw(st.sampled_from(KINDS)) for node in nodes}
    seen: dict[Hashable, datetime] = {node: START + timedelta(days=draw(days)) for node in nodes}
    ends = st.tuples(st.sampled_from(nodes), st.sampled_from(nodes)).filter(lambda e: e[0] != e[1])
    tie = st.tuples(ends, st.sampled_from(["event"] * 6 + ["alias", "manual"]), days)
    # Lists alone are mostly short, and little happens in a small graph.
    found = [draw(tie) for _ in range(draw(st.integers(0, 30)))]
    ties = [Tie(a, b, how, START + timedelta(days=day)) for (a, b), how, day in found]
    cuts: Any = draw(
        st.lists(
            st.lists(st.sampled_from(nodes), min_size=2, max_size=min(4, count), unique=True).map(
                tuple
            ),
            max_size=2,
        )
    )
    blocked: set[Hashable] = set(draw(st.lists(st.sampled_from(nodes), max_size=1)))
    joins = [(tie.weak, tie.strong, tie.how) for tie in ties if tie.how == "manual"]
    return World(kinds, seen, ties, cuts, blocked, set(joins[::2]))


def graph_of(world: World) -> tuple[Graph, list[tuple[Hashable, Hashable, str]]]:
    first: dict[tuple[Any, Any, str], datetime] = {}
    for tie in world.ties:
        key = (tie.weak, tie.strong, tie.how)
        first[key] = min(first.get(key, tie.time), tie.time)
    nodes = sorted(world.kinds)  # type: ignore[type-var]
    keys = list(first)
    return Graph(
        kinds=KINDS,
        kind=np.array([KINDS.index(world.kinds[node]) for node in nodes], np.int64),
        seen=np.array([micros(world.seen[node]) for node in nodes], np.int64),
        blocked=np.array([node in world.blocked for node in nodes]),
        hub=np.zeros(len(nodes), np.bool_),
        weak=np.array([key[0] for key in keys], np.int64),
        strong=np.array([key[1] for key in keys], np.int64),
        contracts=np.array([key[2] != "event" for key in keys], np.bool_),
        unjoined=np.array([key in world.unjoined for key in keys], np.bool_),
        time=np.array([micros(first[key]) for key in keys], np.int64),
        cuts=np.array(
            [(cut, one, b) for cut, (one, *others) in enumerate(world.cuts) for b in others],
            np.int64,
        ).reshape(-1, 3),
    ), keys  # type: ignore[return-value]


def solved(world: World, rules: Rules) -> Answer:
    graph, keys = graph_of(world)
    found = solve(graph, rules)
    out = found.hub | graph.blocked
    groups: dict[int, set[Hashable]] = {}
    for node in world.kinds:
        if not out[node]:  # type: ignore[index]
            groups.setdefault(int(found.group[node]), set()).add(node)  # type: ignore[index]
    assert all(min(group) == first for first, group in groups.items())  # type: ignore[type-var]
    reasons = {key: found.reason(at, KINDS) for at, key in enumerate(keys)}
    return Answer(
        {frozenset(group) for group in groups.values()},
        {node for node in world.kinds if found.hub[node]},  # type: ignore[index]
        {key: reason for key, reason in reasons.items() if reason},
    )


@settings(max_examples=400, deadline=None)
@given(worlds(), RULES)
def test_the_solver_agrees_with_the_definition(world: World, rules: Rules) -> None:
    assert solved(world, rules) == partition(world, rules)


def test_of_what_is_one_by_alias_the_first_time_counts_for_a_window() -> None:
    """Two names of one contract, of January and of March, and another one of January."""
    kinds: dict[Hashable, str] = {0: "crm_id", 1: "crm_id", 2: "crm_id", 3: "anonymous_id"}
    day = timedelta(days=1)
    seen: dict[Hashable, datetime] = {0: START, 1: START + 40 * day, 2: START, 3: START}
    ties = [Tie(1, 0, "alias", START), Tie(3, 0, "event", START), Tie(3, 2, "event", START + day)]
    rules = Rules(kinds={"crm_id": Kind(priority=1, limit=1, window="month")})
    assert solved(World(kinds, seen, ties), rules).profiles == {
        frozenset({0, 1, 3}), frozenset({2})
    }  # fmt: skip
