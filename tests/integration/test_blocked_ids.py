"""Identifiers that nobody owns tie nobody: what becomes of their events, in Python and in SQL."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from horizon.events.blocked import VALUES, is_blocked
from horizon.postgres.database import Database, Role
from tests.world import DAY, NOW, World

ZEROS = ["0", "00", "-", "0000", "00000000-0000-0000-0000-000000000000"]
OWN = ["u1", "10", "0a", "1-0", "nobody", "null2", "\u212aate", "u\u017fer", "nu\u0142l", "00-00-1"]
NEAR = (
    st.sampled_from(sorted(VALUES)) | st.text("0-1nulNUL\u212a", min_size=1) | st.text(min_size=1)
)


@pytest.mark.parametrize("value", [*sorted(VALUES), *ZEROS])
def test_what_nobody_owns_is_blocked_in_any_case(value: str) -> None:
    assert is_blocked(value)
    assert is_blocked(value.upper())


@pytest.mark.parametrize("value", OWN)
def test_what_somebody_may_own_is_not(value: str) -> None:
    assert not is_blocked(value)


def test_the_databases_rule_is_the_same(module_database: Database) -> None:
    with module_database.transaction(Role.WORKER) as tx:

        @settings(max_examples=300, deadline=None)
        @given(st.lists(NEAR.filter(lambda text: "\0" not in text), min_size=1, max_size=20))
        def agree(values: list[str]) -> None:
            rows = tx.execute(
                "SELECT value, unblocked(value) AS kept FROM unnest(%s::text[]) value", [values]
            )
            assert {row.value: row.kept for row in rows} == {
                value: None if is_blocked(value) else value for value in values
            }

        agree()
        for value in [*VALUES, *ZEROS, *OWN, *(value.title() for value in VALUES)]:
            agree.hypothesis.inner_test([value])


def test_a_person_is_never_named_by_a_blocked_id(world: World) -> None:
    seen = {"type": "page", "timestamp": NOW.isoformat()}
    world.put(
        {**seen, "userId": "null", "anonymousId": "a1"}, {**seen, "userId": "NULL", "anonymousId": "a2"},
        {**seen, "userId": "ann", "anonymousId": "00000000-0000-0000-0000-000000000000"},
        {**world.identify("0", DAY, email="bob@example.com"), "anonymousId": "unknown"},
    )  # fmt: skip
    world.identify_all()
    assert {(row.kind, row.value) for row in world.rows("SELECT kind, value FROM nodes")} == {
        ("anonymous_id", "a1"), ("anonymous_id", "a2"), ("user_id", "ann"), ("email", "bob@example.com"),
    }  # fmt: skip
    (trait,) = world.rows("SELECT node, value_node FROM traits WHERE name = 'email'")
    assert trait.node == trait.value_node
    kept = world.rows("SELECT user_id FROM events WHERE anonymous_id = 'a1'")
    assert [row.user_id for row in kept] == ["null"]
