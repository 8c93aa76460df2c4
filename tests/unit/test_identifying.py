"""Which identifiers of an event are nodes, and in which order."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from horizon.events.identifying import MOST
from horizon.events.kinds import BUILT_IN, Kinds, kinds_of, rank_of
from horizon.events.model import Event, Rejected, Source, read_message
from horizon.events.nodes import node_of

KEY = bytes(32)
NOW = datetime(2026, 11, 3, 12, tzinfo=UTC)
SERVER = Source(7, "shop", "server")
PUBLIC = Source(8, "site", "public")
ANN = {"type": "identify", "userId": "ann", "anonymousId": "a1"}
PHONE = "+49 30 1234567"


def read(item: dict[str, Any], source: Source = SERVER, kinds: Kinds = BUILT_IN) -> Event:
    item = {"messageId": "m", "event": "Seen", **item}
    return read_message(item, source=source, received_at=NOW, node_key=KEY, kinds=kinds)


def named(*arguments: Any, **more: Any) -> list[tuple[str, str]]:
    """An event's identifiers, after a look at whether its nodes are theirs."""
    event = read(*arguments, **more)
    if event.identifiers is None:
        columns = (
            ("user_id", event.user_id),
            ("email", event.email),
            ("anonymous_id", event.anonymous_id),
        )
        found = [(kind, value) for kind, value in columns if value is not None]
    else:
        found = [(kind, value) for kind, value in json.loads(event.identifiers)]
    assert event.nodes == [node_of(KEY, kind, value) for kind, value in found]
    return found


def external(*listed: Any) -> dict[str, Any]:
    return {**ANN, "context": {"externalIds": list(listed)}}


def test_the_strongest_comes_first() -> None:
    everything = {
        **ANN,
        "traits": {"email": "ann@example.com", "phone": PHONE},
        "context": {
            "device": {"id": "d1", "advertisingId": "ad1"},
            "externalIds": [
                {"id": "2", "type": "Zeta"}, {"id": 1, "type": "crm_id", "collection": "users", "encoding": "none"},
            ],
        },
    }  # fmt: skip
    assert named(everything) == [
        ("user_id", "ann"), ("email", "ann@example.com"), ("phone", PHONE), ("crm_id", "1"), ("zeta", "2"),
        ("anonymous_id", "a1"), ("device_id", "d1"), ("advertising_id", "ad1"),
    ]  # fmt: skip


def test_the_three_columns_need_no_list() -> None:
    assert read({**ANN, "traits": {"email": "ann@example.com"}}).identifiers is None
    assert read({**ANN, "userId": "null"}).identifiers is None
    assert read({**ANN, "context": {"device": {"id": "d1"}}}).identifiers


def test_a_public_source_asserts_no_phone_and_no_address() -> None:
    claims = {
        **external({"id": "v@example.com", "type": "email"}, {"id": PHONE, "type": "PHONE"}, {"id": 7, "type": "crm"}),
        "traits": {"email": "ann@example.com", "phone": PHONE},
    }  # fmt: skip
    assert named(claims, PUBLIC) == [("user_id", "ann"), ("crm", "7"), ("anonymous_id", "a1")]
    kinds = kinds_of("email=properties.mail,phone=context.tel,email=traits.mail", "")
    hidden = {
        **ANN,
        "properties": {"mail": "v@example.com"},
        "context": {"tel": PHONE},
        "traits": {"mail": "v@b.c"},
    }
    assert named(hidden, PUBLIC, kinds) == [("user_id", "ann"), ("anonymous_id", "a1")]
    assert named(hidden, SERVER, kinds) == [
        ("user_id", "ann"), ("email", "v@b.c"), ("email", "v@example.com"), ("phone", PHONE), ("anonymous_id", "a1"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "value",
    [
        "00000000-0000-0000-0000-000000000000",
        "null",
        "",
        " ",
        "x" * 513,
        None,
        True,
        [],
        {},
        10**600,
        0,
    ],
)
def test_what_nobody_owns_ties_nobody(value: object) -> None:
    mine = [("user_id", "ann"), ("anonymous_id", "a1")]
    assert named({**ANN, "context": {"device": {"id": value, "advertisingId": value}}}) == mine
    assert named(external({"id": value, "type": "crm"})) == mine
    assert named({**ANN, "traits": {"phone": value}}) == mine


@pytest.mark.parametrize("phone", ["call me", "1234", "0000 000 000", "+", "(0)"])
def test_what_is_no_telephone_number_is_none(phone: str) -> None:
    assert len(named({**ANN, "traits": {"phone": phone}})) == 2


@pytest.mark.parametrize(
    "listed",
    [
        5, "x", {}, [5], [[]], [None], [{"id": "1"}], [{"type": "crm"}], [{"id": "1", "type": 5}],
        [{"id": "1", "type": "1crm"}], [{"id": "1", "type": "c" * 64}], [{"id": "1", "type": "c r m"}],
        [{"id": "1", "type": "crm", "collection": "accounts"}], [{"id": "1", "type": "crm", "collection": 5}],
        [{"id": "5e8f", "type": "email", "encoding": "sha256"}], [{"id": "nobody", "type": "email"}],
    ],
)  # fmt: skip
def test_external_ids_of_another_form_are_ignored(listed: object) -> None:
    assert len(named({**ANN, "context": {"externalIds": listed}})) == 2


def test_whoever_asks_not_to_be_followed_has_no_advertising_id() -> None:
    device = {"id": "d1", "advertisingId": "ad1", "adTrackingEnabled": False}
    assert named({**ANN, "context": {"device": device}})[2:] == [("device_id", "d1")]


def test_a_node_is_listed_once() -> None:
    again = external(
        {"id": "ann", "type": "user_id"}, {"id": " ann", "type": "User_Id"}, {"id": "a1", "type": "anonymous_id"},
        {"id": "ANN@example.com", "type": "email"},
    )  # fmt: skip
    again["traits"] = {"email": "ann@example.com"}
    assert named(again) == [
        ("user_id", "ann"),
        ("email", "ann@example.com"),
        ("anonymous_id", "a1"),
    ]
    assert read(again).identifiers is None


def test_of_one_kind_the_columns_own_comes_first() -> None:
    found = named(external({"id": "aaa", "type": "user_id"}, {"id": "a0", "type": "anonymous_id"}))
    assert found == [
        ("user_id", "ann"), ("user_id", "aaa"), ("anonymous_id", "a1"), ("anonymous_id", "a0"),
    ]  # fmt: skip


def test_the_strongest_are_kept_of_too_many() -> None:
    many = external(*({"id": number, "type": f"k{number:03d}"} for number in range(1, 150)))
    many["context"]["device"] = {"id": "d1"}
    found = named(many)
    assert len(found) == MOST
    assert found[:2] == [("user_id", "ann"), ("k001", "1")]
    assert found[-1] == ("anonymous_id", "a1")
    assert len(named({**many, "type": "alias", "previousId": "old"})) == MOST


def test_an_alias_names_who_it_was_last() -> None:
    alias = {"type": "alias", "userId": "ann", "previousId": "old"}
    assert named(alias) == [("user_id", "ann"), ("user_id", "old"), ("anonymous_id", "old")]
    assert named({**alias, "anonymousId": "old"}) == [
        ("user_id", "ann"), ("anonymous_id", "old"), ("user_id", "old"),
    ]  # fmt: skip
    assert read({**alias, "previousId": "null"}).identifiers == '[["user_id","ann"]]'
    assert (
        read({**alias, "previousId": "ann"}).identifiers
        == '[["user_id","ann"],["anonymous_id","ann"]]'
    )
    assert read({**alias, "type": "track"}).identifiers is None
    with pytest.raises(Rejected, match="nobody owns"):
        read({**alias, "userId": "null"})


def test_an_external_id_is_enough_beside_a_blocked_one() -> None:
    item = {**external({"id": 7, "type": "crm"}), "userId": "null", "anonymousId": None}
    assert named(item) == [("crm", "7")]


def test_kinds_of_ones_own_are_found_by_their_path() -> None:
    kinds = kinds_of(
        "loyalty_card=traits.loyaltyCard, crm.id=context.crm.id,order=properties.a.b", ""
    )
    item = {
        **ANN, "traits": {"loyaltyCard": 77.0}, "context": {"crm": {"id": "c1"}}, "properties": {"a": {"b": "o1"}},
    }  # fmt: skip
    assert named(item, kinds=kinds)[1:4] == [
        ("crm.id", "c1"),
        ("loyalty_card", "77"),
        ("order", "o1"),
    ]
    group = {**item, "type": "group", "groupId": "g"}  # its traits are the group's
    assert named(group, kinds=kinds)[1:3] == [("crm.id", "c1"), ("order", "o1")]
    other = {
        **ANN,
        "traits": {"loyaltyCard": ["x"]},
        "context": {"crm": "c1"},
        "properties": {"a": {}},
    }
    assert len(named(other, kinds=kinds)) == 2


def test_a_kind_that_is_verified_only_is_a_claim_of_a_public_source() -> None:
    kinds = kinds_of("", "user_id, crm")
    item = {
        **external({"id": 7, "type": "crm"}, {"id": "x", "type": "user_id"}),
        "traits": {"plan": "free"},
    }
    event = read(item, PUBLIC, kinds)
    assert (event.user_id, event.identifiers) == ("ann", '[["anonymous_id","a1"]]')
    assert event.nodes == [node_of(KEY, "anonymous_id", "a1")]
    assert named(item, SERVER, kinds) == [
        ("user_id", "ann"),
        ("user_id", "x"),
        ("crm", "7"),
        ("anonymous_id", "a1"),
    ]
    alias = {"type": "alias", "anonymousId": "a1", "previousId": "victim"}
    assert named(alias, PUBLIC, kinds) == [("anonymous_id", "a1"), ("anonymous_id", "victim")]
    with pytest.raises(Rejected, match=r"user_id alone.*identityToken") as caught:
        read({**ANN, "anonymousId": None}, PUBLIC, kinds)
    assert caught.value.code == "unverified_id"


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["crm", "user_id", "email"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
EXTERNAL = st.fixed_dictionaries(
    {},
    optional={
        "id": JSON,
        "type": st.sampled_from(["crm", "email", "phone", "user_id"]) | JSON,
        "collection": JSON,
    },
)
CONTEXT = st.fixed_dictionaries(
    {},
    optional={
        "externalIds": st.lists(EXTERNAL | JSON) | JSON, "traits": JSON, "x": JSON,
        "device": JSON | st.fixed_dictionaries({}, optional={"id": JSON, "advertisingId": JSON}),
    },
)  # fmt: skip
TRAITS = st.fixed_dictionaries({}, optional={"email": JSON, "phone": JSON, "x": JSON}) | JSON


@settings(max_examples=300, deadline=None)
@given(
    call=st.sampled_from(["identify", "track", "alias"]), context=CONTEXT | JSON, traits=TRAITS,
    user=st.sampled_from(["ann", "null", ""]), previous=JSON, source=st.sampled_from([SERVER, PUBLIC]),
    verified=st.sampled_from(["", "user_id", "anonymous_id,crm"]),
)  # fmt: skip
def test_whatever_is_named_is_sorted_listed_once_and_never_more_than_may_be(
    call: str, context: Any, traits: Any, user: str, previous: Any, source: Source, verified: str
) -> None:
    kinds = kinds_of("x=traits.x,y=context.x,z=properties.x", verified)
    item = {
        "type": call, "userId": user, "anonymousId": "a1", "previousId": previous, "context": context,
        "traits": traits, "properties": traits,
    }  # fmt: skip
    try:
        event = read(item, source, kinds)
    except Rejected:
        return
    if event.identifiers is None:
        assert len(event.nodes) <= 3
        return
    found = json.loads(event.identifiers)
    assert len(found) == len(event.nodes) == len(set(event.nodes)) <= MOST
    assert event.nodes == [node_of(KEY, kind, value) for kind, value in found]
    if call != "alias":
        assert [rank_of(kind) for kind, _ in found] == sorted(rank_of(kind) for kind, _ in found)
    if source is PUBLIC:
        assert not {kind for kind, _ in found} & kinds.unproven
