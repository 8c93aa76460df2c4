"""Profiles, traits and consents from events, whatever the order and the moment of commit."""

from __future__ import annotations

import random

from horizon.postgres.database import Role
from tests.world import DAY, NOW, World


def _identify(world: World) -> None:
    world.identify_all()


def test_one_profile_a_strongest_identifier(world: World) -> None:
    world.put(
        world.track("ann", 2 * DAY), world.track("ann", 1 * DAY, anonymousId="a1"),
        {"type": "page", "anonymousId": "a1", "timestamp": NOW.isoformat()},
    )  # fmt: skip
    _identify(world)
    rows = world.rows("SELECT kind, value FROM nodes ORDER BY kind")
    assert [tuple(row) for row in rows] == [("anonymous_id", "a1"), ("user_id", "ann")]
    assert [row.user_id for row in world.rows("SELECT user_id FROM users")] == ["ann"]


def test_a_second_run_changes_nothing(world: World) -> None:
    world.person("ann", 3 * DAY)
    _identify(world)
    queries = [
        "SELECT * FROM nodes",
        "SELECT * FROM traits",
        "SELECT * FROM consents",
        "SELECT * FROM profiles",
    ]
    before = [world.rows(query) for query in queries]
    _identify(world)
    world.rows("DELETE FROM watermarks RETURNING 1")  # and one that reads everything again
    _identify(world)
    assert [world.rows(query) for query in queries] == before


def test_traits_are_the_last_by_event_time_in_any_order(world: World) -> None:
    items = [world.identify("ann", days * DAY, plan=f"plan {days}") for days in range(1, 9)]
    random.Random(7).shuffle(items)
    for item in items:
        world.put(item)
        _identify(world)
    assert world.rows("SELECT value FROM traits WHERE name = 'plan'")[0].value == "plan 1"


def test_a_null_removes_and_an_older_value_does_not_bring_it_back(world: World) -> None:
    world.put(world.identify("ann", 3 * DAY, email="ann@example.com"))
    world.put(world.identify("ann", 1 * DAY, plan=None))
    world.put(world.identify("ann", 2 * DAY, plan="old"))
    _identify(world)
    assert world.rows("SELECT value FROM traits WHERE name = 'plan'")[0].value is None


def test_a_browser_asserts_no_address_and_grants_no_consent(world: World) -> None:
    world.put(world.identify("ann", 5 * DAY, email="ann@example.com", consent=True))
    world.put(world.identify("ann", 1 * DAY, email="thief@example.com"), kind="public")
    world.put(world.identify("bob", 1 * DAY, email="bob@example.com", consent=True), kind="public")
    _identify(world)
    emails = world.rows("SELECT user_id, email FROM users ORDER BY user_id")
    assert [tuple(row) for row in emails] == [("ann", "ann@example.com"), ("bob", None)]
    assert len(world.rows("SELECT * FROM consents")) == 1


def test_a_browser_may_take_consent_back(world: World) -> None:
    world.put(world.identify("ann", 5 * DAY, email="ann@example.com", consent=True))
    world.put(world.identify("ann", 1 * DAY, consent=False), kind="public")
    _identify(world)
    rows = world.rows("SELECT granted FROM consents ORDER BY time")
    assert [row.granted for row in rows] == [True, False]


def test_an_event_that_commits_late_is_seen_by_the_next_run(world: World) -> None:
    """A writer that began first and commits last: the highest id or time would skip it."""
    with world.horizon.database.transaction(Role.WORKER) as slow:
        slow.execute("SELECT pg_current_xact_id()")
        world.put(world.track("quick", 1 * DAY))
        _identify(world)
        world.put(world.track("second", 1 * DAY))
        slow.execute(
            "INSERT INTO events (event_id, source_id, message_id, type, user_id, nodes, time,"
            " received_at, trusted, activity, era) VALUES (gen_random_uuid(), 2, 'late', 'track',"
            " 'late', ARRAY[gen_random_uuid()], %s, %s, true, true, 1)",
            [NOW, NOW],
        )
    figures = world.identify_all().figures
    assert figures["nodes"] == 2
    assert world.identify_all().figures["nodes"] == 0
    values = {row.value for row in world.rows("SELECT value FROM nodes")}
    assert values == {"quick", "second", "late"}


def test_events_of_an_older_era_are_read_once(world: World) -> None:
    world.put(world.track("old", 2 * DAY))
    _identify(world)
    world.put(world.track("unread", 2 * DAY))
    world.rows(
        "INSERT INTO eras VALUES (2, (SELECT system_identifier FROM eras), now(), 'restore') RETURNING 1"
    )
    world.put(world.track("new", 1 * DAY))
    assert world.identify_all().figures["nodes"] == 2
    assert world.identify_all().figures["nodes"] == 0


def test_a_trait_with_an_endless_name_stops_nobody(world: World) -> None:
    noise = "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=9_000))
    item = world.identify("ann", 1 * DAY, plan="gold", **{noise: 1})
    item["context"] = {"consent": {"categoryPreferences": {f"{noise}.email": False}}}
    world.put(item, kind="public")
    world.put(world.track("bob", 1 * DAY))
    _identify(world)
    assert [row.name for row in world.rows("SELECT name FROM traits")] == ["plan"]
    assert {row.value for row in world.rows("SELECT value FROM nodes")} == {"ann", "bob"}
