"""The nodes of events by their kinds, as SQL finds them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from horizon.events.nodes import node_of
from tests.world import DAY, World

FOUND = """
    SELECT i.place, i.node, i.kind, i.value
    FROM events e, identifiers_of(e.nodes, e.identifiers, e.user_id, e.email, e.anonymous_id) i ORDER BY i.place
"""
BY_KIND = (
    "SELECT node_of_kind(%s, nodes, identifiers, user_id, email, anonymous_id) AS node FROM events"
)
EXTERNAL = {"externalIds": [{"id": "b@example.com", "type": "email"}, {"id": 7, "type": "crm"}]}


@pytest.mark.parametrize("user", ["ann", "null"])
@pytest.mark.parametrize("anonymous", ["a1", "0", None])
@pytest.mark.parametrize("email", ["c@example.com", None])
@pytest.mark.parametrize("context", [{}, EXTERNAL, {"device": {"id": "d1"}}])
def test_sql_finds_each_identifier_by_its_kind(
    world: World, user: str, anonymous: str | None, email: str | None, context: dict[str, Any]
) -> None:
    names = [
        ("user_id", user if user == "ann" else None), ("email", email),
        ("email", "b@example.com" if context is EXTERNAL else None), ("crm", "7" if context is EXTERNAL else None),
        ("anonymous_id", anonymous if anonymous == "a1" else None), ("device_id", "d1" if "device" in context else None),
    ]  # fmt: skip
    wanted = [(kind, value) for kind, value in names if value is not None]
    if not wanted:
        pytest.skip("such an event is refused")
    item = {**world.identify(user, DAY, email=email), "anonymousId": anonymous, "context": context}
    world.put(item)
    key = world.horizon.keys.node
    assert [tuple(row) for row in world.rows(FOUND)] == [
        (place, node_of(key, kind, value), kind, value)
        for place, (kind, value) in enumerate(wanted, 1)
    ]
    first = dict(reversed(wanted))
    for kind in ("user_id", "email", "crm", "anonymous_id", "device_id", "phone"):
        (row,) = world.rows(BY_KIND, kind)
        assert row.node == (node_of(key, kind, first[kind]) if kind in first else None)


def test_what_horizon_writes_of_an_address_alone_names_nobody(world: World) -> None:
    world.put(world.identify("ann"))
    world.rows("UPDATE events SET user_id = NULL RETURNING 1")
    assert world.rows(FOUND) == []
    assert world.rows(BY_KIND, "user_id")[0].node is None


def test_traits_and_consents_know_their_address_whatever_else_an_event_names(world: World) -> None:
    item = world.identify("ann", email="ann@example.com", consent=True)
    item["context"] |= {
        "externalIds": [{"id": "aaa", "type": "user_id"}, {"id": "0@b.example", "type": "email"}]
    }
    world.put(item)
    world.identify_all()
    address = node_of(world.horizon.keys.node, "email", "ann@example.com")
    assert [row.value_node for row in world.rows("SELECT value_node FROM traits")] == [address]
    assert [row.address_hash for row in world.rows("SELECT address_hash FROM consents")] == [
        address
    ]


def test_the_list_is_read_back_as_it_was_made(world: World) -> None:
    odd = 'ä€😀"\\'
    world.put({**world.identify("ann"), "context": {"externalIds": [{"id": odd, "type": "crm"}]}})
    (row,) = world.rows("SELECT identifiers FROM events")
    assert json.loads(row.identifiers) == [["user_id", "ann"], ["crm", odd]]
