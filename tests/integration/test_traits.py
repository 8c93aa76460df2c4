"""Traits, the users they describe, and groups: the same whatever the order and the batches."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from horizon.postgres.database import Role
from tests import merging
from tests.world import DAY, World

NAMES = ("plan", "email", "phone", "address", "tags")
VALUES = {
    "plan": ["basic", "gold", None],
    "email": ["ann@example.com", "ben@example.com", None, "no address"],
    "phone": ["+1 555 0100", None],
    "address": [
        {"city": "Oslo", "zip": None},
        {"city": "Bergen", "at": {"door": 1, "bell": None}},
        {"city": None},
        None,
    ],
    "tags": [["a", "b"], [], None],
}

# Few people, names and times, so that they meet; each call is of one minute.
CALLS = st.lists(
    st.tuples(
        st.sampled_from(["ann", "ben"]),
        st.dictionaries(st.sampled_from(NAMES), st.integers(0, 3), min_size=1, max_size=4),
        st.integers(1, 6),  # minutes ago
        st.booleans(),  # from a server
    ),
    min_size=1,
    max_size=12,
)


def _call(world: World, number: int, call: tuple[Any, ...]) -> tuple[dict[str, Any], str]:
    user, chosen, minutes, trusted = call
    traits = {name: VALUES[name][place % len(VALUES[name])] for name, place in chosen.items()}
    item = {
        "messageId": f"c{number}", "type": "identify", "userId": user, "traits": traits,
        "timestamp": (world.now - timedelta(minutes=minutes)).isoformat(),
    }  # fmt: skip
    return item, "server" if trusted else "public"


def _plainly(events: list[Any], people: dict[str, int]) -> dict[tuple[int, str], Any]:
    """Go through all that was said, the earliest first, and let the last one stand."""
    found: dict[tuple[int, str], Any] = {}
    for event in sorted(events, key=lambda one: (one.time, one.event_id)):
        for name, value in event.traits.items():
            address = name in ("email", "phone")
            if (address and not event.trusted) or (name == "email" and value == "no address"):
                continue
            found[people[event.user_id], name] = value
    return {key: _without_nulls(value) for key, value in found.items() if value is not None}


def _without_nulls(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: _without_nulls(one) for name, one in value.items() if one is not None}


@pytest.mark.slow
@given(calls=CALLS, data=st.data(), merged=st.booleans())
@hypothesis_settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_traits_are_what_the_events_say_in_any_order_and_batches(
    world: World, calls: list[tuple[Any, ...]], data: st.DataObject, merged: bool
) -> None:
    """No e-mail in common: the graph leaves two people alone until an alias makes them one."""
    with world.horizon.database.transaction(Role.OWNER) as tx:
        tx.execute("TRUNCATE events, event_ids, nodes, edges, profiles, traits, watermarks CASCADE")
    events = [_call(world, number, call) for number, call in enumerate(calls)]
    for number in data.draw(st.permutations(range(len(events)))):
        item, kind = events[number]
        world.put(item, kind=kind)
        if data.draw(st.booleans()):
            world.identify_all()
    world.identify_all()
    if merged and {call[0] for call in calls} == {"ann", "ben"}:
        merging.merge(world, "ann", "ben")
    stored = world.rows(
        "SELECT user_id, time, event_id, trusted, traits::jsonb AS traits FROM events WHERE type = 'identify'"
    )
    people = {user: merging.profile(world, user) for user in {call[0] for call in calls}}
    rows = world.rows("SELECT profile_id, name, value FROM profile_traits")
    assert {(row.profile_id, row.name): row.value for row in rows} == _plainly(stored, people)


def _traits(world: World, user: str) -> dict[str, Any]:
    rows = world.rows(
        "SELECT name, value FROM profile_traits WHERE profile_id = %s", merging.profile(world, user)
    )
    return {row.name: row.value for row in rows}


def test_nested_traits_lists_and_names_with_dots_are_read_by_path(world: World) -> None:
    world.put(world.identify(
        "ann", address={"city": "Oslo", "zip": None}, orders=[{"sku": "A"}, {"sku": "B"}],
        **{"plan.name": "gold"}, plan={"name": "basic", "seats": 3},
    ))  # fmt: skip
    world.identify_all()
    asked = {
        "address.city": "Oslo", "address.zip": None, "address.street": None, "orders.1.sku": "B",
        "plan.name": "gold", "plan.seats": 3, "address": {"city": "Oslo"}, "none": None,
    }  # fmt: skip
    profile = merging.profile(world, "ann")
    for path, value in asked.items():
        (row,) = world.rows("SELECT profile_trait(%s, %s) AS value", profile, path)
        assert row.value == value, path


def test_a_nested_trait_is_replaced_whole_as_segment_does(world: World) -> None:
    world.put(world.identify("ann", 3 * DAY, address={"city": "Oslo", "zip": "0150"}))
    world.put(world.identify("ann", 2 * DAY, address={"city": "Bergen"}))
    world.identify_all()
    assert _traits(world, "ann") == {"address": {"city": "Bergen"}}


def test_a_null_inside_an_object_removes_that_path_whichever_call_comes_first(world: World) -> None:
    said = [
        world.identify("ann", 3 * DAY, address={"city": "Oslo", "zip": "0150"}, tags=["a", None]),
        world.identify("ann", 2 * DAY, address={"city": None, "zip": "5003", "at": {"bell": None}}),
    ]
    for order in (said, said[::-1]):
        world.change(
            "TRUNCATE events, event_ids, nodes, edges, profiles, traits, watermarks CASCADE"
        )
        for item in order:
            world.put(item)
            world.identify_all()
        assert _traits(world, "ann") == {"address": {"zip": "5003", "at": {}}, "tags": ["a", None]}
        profile = merging.profile(world, "ann")
        for path, value in {"address.city": None, "address.zip": "5003"}.items():
            (row,) = world.rows("SELECT profile_trait(%s, %s) AS value", profile, path)
            assert row.value == value, path


def test_what_was_removed_is_not_there_and_does_not_come_back(world: World) -> None:
    world.put(world.identify("ann", 1 * DAY, plan=None, city="Oslo"))
    world.put(world.identify("ann", 3 * DAY, plan="gold"))
    world.identify_all()
    assert _traits(world, "ann") == {"city": "Oslo"}


def test_what_is_over_a_limit_is_refused_and_recorded(world: World) -> None:
    world.put(
        world.identify("name", plan="gold", **{"n" * 501: 1}),
        world.identify("value", plan="gold", text="v" * 20_500),
        world.identify("call", plan="gold", **{f"trait{number:04}": number for number in range(300)}),
    )  # fmt: skip
    world.identify_all()
    kept = {user: _traits(world, user) for user in ("name", "value", "call")}
    assert [len(kept[user]) for user in kept] == [1, 1, 300]
    assert all(traits["plan"] == "gold" for traits in kept.values())
    rows = world.rows("SELECT value, reason, name FROM refused_traits r JOIN nodes USING (node)")
    assert {(row.value, row.reason, row.name) for row in rows} == {
        ("name", "name", "n" * 100), ("value", "value", "text"), ("call", "call", "trait0299"),
    }  # fmt: skip


@pytest.mark.parametrize("batches", [1, 3])
def test_a_profile_has_6_000_names_and_those_that_are_there_change_on(
    world: World, batches: int
) -> None:
    calls = [
        world.identify("ann", (30 - call) * DAY / 24, **{f"c{call}t{n}": call for n in range(290)})
        for call in range(21)
    ]
    for start in range(0, 21, 21 // batches):
        world.put(*calls[start : start + 21 // batches])
        world.identify_all()
    assert len(_traits(world, "ann")) == 6_000
    assert (
        world.rows("SELECT name FROM refused_traits WHERE reason = 'profile'")[0].name[:4] == "c20t"
    )
    world.put(world.identify("ann", 1 * DAY / 24, c0t0="changed", fresh="refused"))
    world.identify_all()
    traits = _traits(world, "ann")
    assert (traits["c0t0"], "fresh" in traits, len(traits)) == ("changed", False, 6_000)


def test_a_trusted_address_stands_before_an_untrusted_one_after_a_merge(world: World) -> None:
    """No stage writes an untrusted address; if one ever stood there, it would not win."""
    world.put(world.identify("ann", 9 * DAY, email="ann@example.com", phone="+1 555 0100"))
    world.put(world.identify("ben", 2 * DAY, plan="gold"))
    world.identify_all()
    world.rows(
        "INSERT INTO traits (node, name, value, time, trusted, event_id)"
        " SELECT %s, name, '\"thief\"', now(), false, gen_random_uuid()"
        " FROM unnest(ARRAY['email', 'phone']) name RETURNING 1", merging.node(world, "ben"),
    )  # fmt: skip
    merging.merge(world, "ann", "ben")
    assert _traits(world, "ben") == {
        "email": "ann@example.com", "phone": "+1 555 0100", "plan": "gold",
    }  # fmt: skip


def test_planning_takes_the_address_that_users_shows(world: World) -> None:
    """Of two addresses at one moment, and of one that was taken back."""
    for user in ("ann", "cid"):
        world.put(world.identify(user, 9 * DAY, email=f"{user}1@example.com", consent=True))
        world.put(world.identify(f"{user}2", 9 * DAY, email=f"{user}2@example.com", consent=True))
        world.put(world.track(user, 1 * DAY))
    world.put(world.identify("cid2", 1 * DAY, email=None) | {"traits": {"email": None}})
    world.identify_all()
    merging.merge(world, "ann", "ann2")
    merging.merge(world, "cid", "cid2")
    world.score()
    world.plan("good_activity")
    rows = world.rows(
        "SELECT u.email, m.to_addr, m.reason FROM users u JOIN messages m USING (profile_id)"
    )
    assert len(rows) == 2
    assert all(row.email == row.to_addr for row in rows)
    assert {row.reason for row in rows if row.email is None} == {"no_address"}
    assert len([row for row in rows if row.email]) == 1


def test_traits_of_an_event_whose_first_node_is_dead_are_the_next_one_s(world: World) -> None:
    merging.block(world, "shared")
    world.put({**world.identify("shared", plan="gold"), "anonymousId": "browser"})
    world.put(world.identify("shared", plan="silver"))  # nobody's
    world.identify_all()
    assert _traits(world, "browser") == {"plan": "gold"}
    assert len(world.rows("SELECT 1 FROM traits")) == 1


def test_the_address_s_node_is_found_wherever_it_stands(world: World) -> None:
    item = world.identify("ann", email="Ann@example.com", phone="+1 555 0100")
    world.put({**item, "context": {"externalIds": [
        {"id": "c-1", "type": "crm", "collection": "users", "encoding": "none"},
    ]}})  # fmt: skip
    world.identify_all()
    rows = world.rows("SELECT t.name, n.kind FROM traits t JOIN nodes n ON n.node = t.value_node")
    assert {tuple(row) for row in rows} == {("email", "email"), ("phone", "phone")}


# Users


def test_users_shows_a_row_a_known_person(world: World) -> None:
    world.put(
        world.identify("ann", 9 * DAY, email="ann@example.com"),
        world.identify("ben", 8 * DAY, email="ben@example.com"),
        {"type": "identify", "anonymousId": "a1", "traits": {"phone": "+1 555 0100"}},
        {"type": "page", "anonymousId": "a2"},
    )
    world.identify_all()
    before = [tuple(row) for row in world.rows("SELECT user_id, email FROM users ORDER BY email")]
    phone = f"p{merging.profile(world, 'a1')}"
    assert before == [("ann", "ann@example.com"), ("ben", "ben@example.com"), (phone, None)]
    merging.merge(world, "ann", "ben")
    rows = [tuple(row) for row in world.rows("SELECT user_id, email FROM users ORDER BY email")]
    assert rows == [("ann", "ben@example.com"), (phone, None)]


# Groups

GROUPS = st.lists(
    st.tuples(
        st.sampled_from(["ann", "ben"]), st.sampled_from(["acme", "init"]),
        st.dictionaries(st.sampled_from(["plan", "size"]), st.sampled_from([1, 2, None])),
        st.integers(1, 6), st.booleans(),
    ),
    min_size=1, max_size=10,
)  # fmt: skip


@pytest.mark.slow
@given(calls=GROUPS, data=st.data())
@hypothesis_settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_groups_are_what_the_calls_say_in_any_order_and_batches(
    world: World, calls: list[tuple[Any, ...]], data: st.DataObject
) -> None:
    with world.horizon.database.transaction(Role.OWNER) as tx:
        tx.execute(
            "TRUNCATE events, event_ids, nodes, edges, profiles, memberships, group_traits, watermarks CASCADE"
        )
    for number in data.draw(st.permutations(range(len(calls)))):
        user, group, traits, minutes, trusted = calls[number]
        item = {
            "messageId": f"g{number}", "type": "group", "userId": user, "groupId": group,
            "traits": traits, "timestamp": (world.now - timedelta(minutes=minutes)).isoformat(),
        }  # fmt: skip
        world.put(item, kind="server" if trusted else "public")
        if data.draw(st.booleans()):
            world.identify_all()
    world.identify_all()
    members: dict[tuple[str, str], set[int]] = {}
    for user, group, _, minutes, _ in calls:
        members.setdefault((user, group), set()).add(minutes)
    rows = world.rows("SELECT n.value, m.* FROM memberships m JOIN nodes n USING (node)")
    assert {(row.value, row.group_id): (row.first_at, row.last_at) for row in rows} == {
        key: tuple(world.now - timedelta(minutes=ago) for ago in (max(found), min(found)))
        for key, found in members.items()
    }
    stored = world.rows(
        "SELECT group_id, trusted, time, event_id, traits::jsonb AS traits FROM events ORDER BY trusted, time, event_id"
    )
    plainly = {
        (event.group_id, name): value
        for event in stored
        for name, value in (event.traits or {}).items()
    }
    found = world.rows("SELECT group_id, name, value FROM group_traits")
    assert {(row.group_id, row.name): row.value for row in found} == plainly


def test_a_group_is_no_node_and_its_traits_are_nobody_s(world: World) -> None:
    world.put(
        {"type": "group", "userId": "ann", "groupId": "acme", "traits": {"email": "hq@example.com"}},
        {"type": "group", "userId": "ben", "groupId": "acme"},
        {"type": "group", "userId": "cid", "groupId": "null"},
    )  # fmt: skip
    world.identify_all()
    assert merging.profile(world, "ann") != merging.profile(world, "ben")
    assert world.rows("SELECT 1 FROM traits") == []
    rows = world.rows("SELECT n.value, m.group_id FROM memberships m JOIN nodes n USING (node)")
    assert {tuple(row) for row in rows} == {("ann", "acme"), ("ben", "acme")}
