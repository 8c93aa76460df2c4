"""What was said through an identifier that dies later is of whom it is said had it been dead before."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from horizon.identity import rules as rules_of
from horizon.identity.mapping import active_rules
from horizon.identity.trial import adopt
from horizon.postgres.database import Role
from tests import merging
from tests.world import DAY, NOW, World

FIRM = "info@firm.example"
EMPTIED = (
    "TRUNCATE events, event_ids, nodes, edges, cuts, profiles, identity_rules, watermarks, traits, refused_traits,"
    " consents, memberships, group_traits, opt_ins CASCADE"
)


def _play(world: World, batches: list[list[dict[str, Any]]]) -> None:
    world.change(EMPTIED)
    for batch in batches:
        world.put(*batch)
        world.identify_all()


def _said(world: World) -> dict[str, Any]:
    """By node, all that counts for somebody, and all answers."""
    asked = {
        "traits": "SELECT n.kind, n.value AS of, t.name, t.value, t.time, t.event_id, v.value AS address FROM traits t"
        " JOIN nodes n ON n.node = t.node AND n.live LEFT JOIN nodes v ON v.node = t.value_node",
        "refused": "SELECT n.value, t.reason, t.name FROM refused_traits t JOIN nodes n ON n.node = t.node AND n.live",
        "groups": "SELECT n.value, m.group_id, m.first_at, m.last_at, m.trusted FROM memberships m"
        " JOIN nodes n ON n.node = m.node AND n.live",
        "consents": "SELECT n.kind, n.value, c.purpose, c.channel, c.granted, c.time FROM consents c JOIN nodes n USING (node)",
        "opt_ins": "SELECT n.kind, n.value, o.purpose FROM opt_ins o JOIN nodes n USING (node)",
    }  # fmt: skip
    return {name: sorted(map(repr, map(tuple, world.rows(of)))) for name, of in asked.items()}


def _no(world: World) -> dict[str, Any]:
    """Of a browser, with an address that a whole firm will turn out to share."""
    return {
        "type": "identify", "anonymousId": "b1", "messageId": "no",
        "timestamp": (world.now - 20 * DAY).isoformat(),
        "traits": {"email": FIRM, "plan": "gold", "x" * 501: 1},
        "context": {"consent": {"categoryPreferences": {"marketing.email": False}}},
    }  # fmt: skip


def _firm(world: World) -> list[dict[str, Any]]:
    return [
        {**world.identify(f"u{n}", (15 - n) * DAY, email=FIRM), "messageId": f"u{n}"}
        for n in range(11)
    ]


def _others(world: World) -> list[dict[str, Any]]:
    """Later, of another browser, so that the address itself keeps what that one said last."""
    time = (world.now - 16 * DAY).isoformat()
    of = {"anonymousId": "b2", "timestamp": time, "context": {"traits": {"email": FIRM}}}
    return [
        {**of, "type": "identify", "messageId": "o1", "traits": {"email": FIRM, "plan": "free"}},
        {**of, "type": "group", "messageId": "o2", "groupId": "firm"},
    ]


def _ann(world: World) -> list[dict[str, Any]]:
    yes = world.identify("ann", 18 * DAY, email="ann@example.com", consent=True)
    return [{**yes, "anonymousId": "b1", "messageId": "ann"}]


def _answer(world: World) -> str | None:
    ann = merging.profile(world, "ann")
    assert merging.profile(world, "b1") == ann
    [row] = world.rows(
        "SELECT r.reason FROM profile_traits t, LATERAL refusal(t.profile_id, t.value_node, 'example.com',"
        " 'marketing', 'email', %s) r WHERE t.profile_id = %s AND t.name = 'email'",
        world.now,
        ann,
    )
    reason: str | None = row.reason
    return reason


def test_a_no_is_kept_whenever_its_address_turns_out_to_be_a_hub(world: World) -> None:
    no, users, others, ann = [_no(world)], _firm(world), _others(world), _ann(world)
    found = []
    for batches in (
        [[*users, *no, *others, *ann]],
        [no, others, users, ann],
        [others, users, no, ann],
        [no, ann, users, others],
        [ann, no, users[:5], others, users[5:]],
        [users, ann, others, no],
    ):
        _play(world, batches)
        found.append((_answer(world), _said(world)))
    for one in found:
        assert one == found[0]
    answer, said = found[0]
    assert answer == "refused"
    assert any("'b1', 'plan', 'gold'" in row for row in said["traits"])
    assert any("'b2', 'plan', 'free'" in row for row in said["traits"])
    assert [row for row in said["refused"] if "'b1', 'name'" in row]


def _adopted(world: World, text: str) -> None:
    with world.horizon.database.transaction(Role.WORKER) as tx:
        tx.execute("INSERT INTO identity_rules (rules, adopted_at) VALUES (%s, %s)", [text, NOW])
        adopt(tx, active_rules(tx), NOW, uuid4())


def test_also_by_rules_that_block_it_and_back_again(world: World) -> None:
    shipped = rules_of.shipped_text()
    blocking = shipped.replace("[kinds.email]", f"[kinds.email]\nblocked = ['{FIRM}']")
    blocking = blocking.replace("[kinds.user_id]", "[kinds.user_id]\nblocked = ['u1']")
    wish = {
        **world.identify("u1", 2 * DAY, email="new@example.com", consent=True), "anonymousId": "b3",
    }  # fmt: skip
    heard = [_no(world), *_others(world), *_firm(world)[:2]]
    group = {"type": "group", "userId": "u1", "anonymousId": "b1", "groupId": "firm"}
    _play(world, [[*heard, group]])
    world.put(wish, kind="public")
    world.identify_all()
    before = _said(world)
    assert before["opt_ins"] == ["('user_id', 'u1', 'marketing')"]
    _adopted(world, blocking)
    after = _said(world)
    assert after["opt_ins"] == ["('anonymous_id', 'b3', 'marketing')"]
    assert any("'b1', 'plan', 'gold'" in row for row in after["traits"])
    assert [row for row in after["groups"] if "'b1', 'firm'" in row]
    assert [row[:26] for row in after["consents"]] == ["('anonymous_id', 'b1', 'ma"]
    _adopted(world, shipped)
    again = _said(world)
    assert (again["opt_ins"], again["consents"]) == (before["opt_ins"], before["consents"])
    assert set(before["traits"]) <= set(again["traits"])


def test_an_answer_of_dead_identifiers_alone_counts_for_their_address(world: World) -> None:
    alone = {**_no(world), "anonymousId": "null"}
    for batches in ([[alone], _firm(world)], [_firm(world), [alone]]):
        _play(world, batches)
        address = merging.node(world, FIRM)
        [row] = world.rows("SELECT node, address_hash, granted FROM consents")
        assert tuple(row) == (address, address, False)


def test_an_answer_behind_two_that_died_is_of_the_third(world: World) -> None:
    """Whichever of the two is out first."""
    user, email = (
        ("[kinds.user_id]", "[kinds.user_id]\nblocked = ['shared']"),
        ("[kinds.email]", f"[kinds.email]\nblocked = ['{FIRM}']"),
    )
    for first, then in ((user, email), (email, user)):
        world.change(EMPTIED)
        _adopted(world, rules_of.shipped_text().replace(*first))
        world.put({**_no(world), "userId": "shared"})
        world.identify_all()
        _adopted(world, rules_of.shipped_text().replace(*first).replace(*then))
        said = _said(world)
        assert [row[:26] for row in said["consents"]] == ["('anonymous_id', 'b1', 'ma"]
        assert any("'b1', 'plan', 'gold'" in row for row in said["traits"])


RULES = """
[kinds.user_id]
priority = 1
[kinds.email]
priority = 2
owners = 1
[kinds.crm_id]
priority = 4
owners = 1
[kinds.anonymous_id]
priority = 80
owners = 2
"""
CALLS = st.lists(
    st.tuples(
        st.sampled_from(["u0", "u1", None]), st.sampled_from(["e0", "e1", None]),
        st.sampled_from(["c0", None]), st.sampled_from(["a0", "a1", "a2"]),
        st.sampled_from(["identify", "identify", "group"]), st.sampled_from([True, False, None]),
        st.sampled_from(["gold", "free", None]), st.booleans(),
    ),
    min_size=4, max_size=14,
)  # fmt: skip


def _item(world: World, number: int, call: tuple[Any, ...]) -> dict[str, Any]:
    user, email, crm, browser, kind, consent, plan, _ = call
    traits = {"plan": plan, **({"email": f"{email}@example.com"} if email else {})}
    context: dict[str, Any] = {"traits": traits} if kind == "group" else {}
    if crm:
        context["externalIds"] = [{"type": "crm_id", "id": crm}]
    if consent is not None:
        context["consent"] = {"categoryPreferences": {"marketing.email": consent}}
    return {
        "type": kind, "messageId": f"c{number}", "anonymousId": browser, "context": context,
        "timestamp": (world.now - timedelta(minutes=number % 5)).isoformat(),
        **({"userId": user} if user else {}),
        **({"groupId": "g"} if kind == "group" else {"traits": traits}),
    }  # fmt: skip


def _agree(world: World, calls: list[tuple[Any, ...]], chance: random.Random) -> None:
    found = []
    for shuffled in (False, True):
        world.change(EMPTIED)
        world.rows("INSERT INTO identity_rules (rules, adopted_at) VALUES (%s, %s) RETURNING 1", RULES, NOW)  # fmt: skip
        order = list(enumerate(calls))
        if shuffled:
            chance.shuffle(order)
        for number, call in order:
            world.put(_item(world, number, call), kind="server" if call[-1] else "public")
            if shuffled and chance.random() < 0.4:
                world.identify_all()
        world.identify_all()
        found.append(_said(world))
    assert found[1] == found[0]


HEALTHY = [HealthCheck.function_scoped_fixture]


class _OneByOne(random.Random):
    """The calls as they are, and a run after each."""

    def random(self) -> float:
        return 0.0

    def shuffle(self, x: Any) -> None:
        pass


# What was said through an address, and through a contract, which two users make a hub thereafter.
ADDRESS = [
    (None, "e0", None, "a0", "identify", False, "gold", True),
    *((user, "e0", None, "a2", "identify", None, None, True) for user in ("u0", "u1")),
]
CONTRACT = [
    (None, "e1", "c0", "a0", "identify", True, "free", False),
    (None, None, "c0", "a2", "group", None, "free", True),
    *((user, None, "c0", "a1", "identify", None, None, True) for user in ("u0", "u1")),
]


@settings(max_examples=5, deadline=None, suppress_health_check=HEALTHY)
@example(ADDRESS, _OneByOne())
@example(CONTRACT, _OneByOne())
@given(CALLS, st.randoms(use_true_random=False))
def test_any_order_and_any_batches_say_the_same_of_whoever_lives(
    world: World, calls: list[tuple[Any, ...]], chance: random.Random
) -> None:
    _agree(world, calls, chance)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=HEALTHY)
@given(CALLS, st.randoms(use_true_random=False))
def test_many_more_of_them(
    world: World, calls: list[tuple[Any, ...]], chance: random.Random
) -> None:
    _agree(world, calls, chance)
