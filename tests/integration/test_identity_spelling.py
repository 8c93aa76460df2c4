"""Two spellings of one phone or address are one identifier, whatever came first."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import pytest

from horizon.postgres.database import Role
from tests.world import DAY, NOW, World

# What counts by the month, with the raw spelling blocked: when a number was seen first matters.
RULES = """
[kinds.user_id]
priority = 1
[kinds.phone]
priority = 3
limit = 1
window = 'month'
blocked = ['.* .*']
[kinds.anonymous_id]
priority = 80
"""
RAW, PLAIN, OTHER = "+1 202 555 0143", "+12025550143", "+12025550199"


def _said(phone: str, ago: timedelta) -> dict[str, Any]:
    return {
        "type": "identify", "userId": "ann", "traits": {"phone": phone},
        "timestamp": (NOW - ago).isoformat(),
    }  # fmt: skip


def _map(world: World) -> tuple[Any, Any]:
    seen = world.rows("SELECT value, first_seen FROM nodes WHERE kind = 'phone' ORDER BY value")
    groups = world.rows(
        "SELECT array_agg(value ORDER BY value) AS has FROM nodes WHERE live GROUP BY profile_id"
    )
    edges = world.rows("SELECT time FROM edges WHERE how = 'same'")
    return [(*row,) for row in seen], (sorted(row.has for row in groups), edges)


@pytest.mark.parametrize("order", [*itertools.permutations(range(4))])
def test_when_a_number_was_seen_first_is_when_any_spelling_was(
    world: World, order: tuple[int, ...]
) -> None:
    with world.horizon.database.transaction(Role.OWNER) as tx:
        tx.execute("INSERT INTO identity_rules (rules, adopted_at) VALUES (%s, %s)", [RULES, NOW])
    events = [
        _said(RAW, DAY), _said(RAW, 60 * DAY), _said(OTHER, 2 * DAY), _said(PLAIN, DAY),
    ]  # fmt: skip
    for at in order:
        world.put(events[at])
        world.identify_all()
    seen, (groups, edges) = _map(world)
    first = dict(seen)
    assert first == {RAW: NOW - 60 * DAY, PLAIN: NOW - 60 * DAY, OTHER: NOW - 2 * DAY}
    assert groups == [[PLAIN, OTHER, "ann"]]
    assert [row.time for row in edges] == [NOW - 60 * DAY]


def test_an_address_of_another_alphabet_is_its_ascii_form_too(world: World) -> None:
    for user, address in (("ann", "ann@bücher.example"), ("eve", "ann@xn--bcher-kva.example")):
        world.put(world.identify(user, email=address))
        world.identify_all()
    edges = world.rows("SELECT how FROM edges WHERE how = 'same'")
    assert len(edges) == 1
    people = world.rows("SELECT DISTINCT profile_id FROM nodes WHERE kind = 'email'")
    assert len(people) == 1
