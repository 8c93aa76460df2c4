"""The chain of evidence: the best one by its order, whatever order the edges come in."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from horizon.profiles import rules
from horizon.profiles.model import Edge, Event, Node
from tests.world import NOW


def limits(kind: str) -> tuple[int, str]:
    return {"user_id": (1, "ever"), "phone": (2, "week")}.get(kind, (0, "ever"))


KINDS = ["user_id", "email", "crm_id", "anonymous_id"]


def node(
    number: int, kind: str = "user_id", profile: int | None = 1, dead: str | None = None
) -> Node:
    return Node(UUID(int=number), kind, f"v{number}", profile, dead, NOW - timedelta(days=number))


def edge(
    one: Node, other: Node, how: str = "event", refused_by: str | None = None, hours: int = 0
) -> Edge:
    weak, strong = rules.ordered(one, other)
    time = NOW + timedelta(hours=hours)
    why = rules.why(refused_by, (weak, strong), limits)
    return Edge(weak, strong, how, time, refused_by, why, Event(None, None, None, None, time))


@st.composite
def graphs(draw: st.DrawFn) -> list[Edge]:
    nodes = [node(number, draw(st.sampled_from(KINDS))) for number in range(6)]
    pairs = list(itertools.combinations(nodes, 2))
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=9))
    return [
        edge(*pair, how=draw(st.sampled_from(["event", "alias", "same", "manual"])),
             refused_by=draw(st.sampled_from([None, None, "cut", "limit:user_id"])),
             hours=draw(st.integers(0, 2)))
        for pair in chosen
    ]  # fmt: skip


def ways(edges: list[Edge], here: UUID, there: UUID, met: frozenset[UUID]) -> Iterator[list[Edge]]:
    """Every way that meets nothing twice."""
    if here == there:
        yield []
        return
    for one in edges:
        if here in one.ends and (end := one.other(here).node) not in met:
            for rest in ways(edges, end, there, met | {end}):
                yield [one, *rest]


@given(graphs(), st.randoms(use_true_random=False))
def test_the_best_of_all_chains_in_any_order(edges: list[Edge], shuffled: random.Random) -> None:
    one, other = UUID(int=0), UUID(int=5)
    everything = list(ways(edges, one, other, frozenset({one})))
    best = min(everything, default=None, key=lambda way: (
        sum(step.refused_by is not None for step in way), len(way),
        sorted(map(rules.strength, way), reverse=True),
    ))  # fmt: skip
    shuffled.shuffle(edges)
    assert rules.chain(edges, one, other) == best


def test_the_operator_s_word_is_stronger_than_an_event_and_email_than_a_cookie() -> None:
    ann, mail, cookie, old = node(1), node(2, "email"), node(3, "anonymous_id"), node(4)
    by_cookie = [edge(cookie, ann), edge(cookie, old)]
    by_mail = [edge(mail, ann), edge(mail, old)]
    assert rules.chain(by_cookie + by_mail, ann.node, old.node) == by_mail
    by_hand = [edge(cookie, ann, "manual"), edge(cookie, old, "manual")]
    assert rules.chain(by_mail + by_hand, ann.node, old.node) == by_hand
    half = [edge(cookie, ann, "manual"), edge(cookie, old)]
    assert rules.chain(by_mail + half, ann.node, old.node) == by_mail, (
        "the weakest tie counts first"
    )
    assert rules.chain([*by_mail, edge(ann, old, refused_by="cut")], ann.node, old.node) == by_mail


def test_the_anchor_is_the_strongest_then_the_oldest() -> None:
    nodes = [node(5, "anonymous_id"), node(1, "email"), node(2, "email"), node(3, "crm_id")]
    assert rules.anchor(nodes) == nodes[2]
    assert rules.anchor([]) is None


@dataclass(frozen=True)
class Case:
    refused_by: str
    dead: str | None
    told: str


def test_what_refused_an_edge_is_told_in_words() -> None:
    for case in (
        Case("limit:user_id", None, "at most 1 user_id on one profile"),
        Case("limit:email", None, "no more email on one profile"),
        Case("cut", None, "a cut keeps the two apart"),
        Case("hub", "hub", "device_id:v9 is a hub, which too many people share"),
        Case("blocked", "blocked", "device_id:v9 is blocked by the rules"),
        Case("hub", None, "one of them was a hub"),
        Case("blocked", None, "one of them was blocked by the rules"),
        Case("limit:phone", None, "at most 2 phone a week on one profile"),
    ):
        ends = (node(9, "device_id", None if case.dead else 1, case.dead), node(1))
        assert rules.why(case.refused_by, ends, limits) == case.told
    assert rules.why(None, (), limits) is None
