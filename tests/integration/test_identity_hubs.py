"""What many share ties nobody: tablets, addresses of a desk, values that stand for nobody."""

from __future__ import annotations

from horizon.events.blocked import VALUES
from horizon.postgres.database import Role
from tests.world import DAY, NOW, World


def test_a_thousand_people_of_one_tablet_stay_a_thousand(world: World) -> None:
    for begin in range(0, 1000, 250):
        world.put(
            *(
                world.track(f"u{number}", 9 * DAY, anonymousId="tablet")
                for number in range(begin, begin + 250)
            ),
            {"type": "track", "event": "Seen", "anonymousId": "tablet"},
        )
        world.identify_all()
    [tablet] = world.rows("SELECT * FROM nodes WHERE value = 'tablet'")
    assert (tablet.dead, tablet.profile_id) == ("hub", None)
    people = world.rows("SELECT profile_id, count(*) FROM nodes WHERE live GROUP BY 1")
    assert len(people) == 1000
    assert {row.count for row in people} == {1}
    refused = world.rows("SELECT DISTINCT refused_by FROM edges")
    assert [row.refused_by for row in refused] == ["hub"]


def test_the_tablet_is_of_its_first_user_until_it_is_a_hub(world: World) -> None:
    for number in range(12):
        world.put(world.track(f"u{number}", (20 - number) * DAY, anonymousId="tablet"))
        world.identify_all()
        [tablet] = world.rows("SELECT n.dead, p.value FROM nodes n LEFT JOIN nodes p "
                              "ON p.profile_id = n.profile_id AND p.kind = 'user_id' WHERE n.value = 'tablet'")  # fmt: skip
        assert (tablet.dead, tablet.value) == ((None, "u0") if number < 10 else ("hub", None))


def test_the_number_of_one_that_became_a_hub_leads_to_nobody(world: World) -> None:
    """It led to the hub's first user, who is absorbed later: no number leads to an absorbed one."""
    for first in ("old", "u0", "tablet"):
        world.put({"type": "page", "anonymousId": first, "timestamp": (NOW - 9 * DAY).isoformat()})
        world.identify_all()
    old, u0, tablet = _numbers(world)
    world.put({"type": "alias", "previousId": "u0", "anonymousId": "tablet", "userId": "ann"})
    world.identify_all()
    assert _led(world) == {old: None, u0: None, tablet: u0}
    world.put(*(world.track(f"u{number}", DAY, anonymousId="tablet") for number in range(12)))
    world.identify_all()
    world.put({"type": "alias", "previousId": "old", "userId": "ann"})
    world.identify_all()
    led = _led(world)
    assert (led[old], led[u0], led[tablet]) == (None, old, None)


def _numbers(world: World) -> list[int]:
    return [row.profile_id for row in world.rows("SELECT profile_id FROM profiles ORDER BY 1")]


def _led(world: World) -> dict[int, int | None]:
    return {row.profile_id: row.points_to for row in world.rows("SELECT * FROM profiles")}


def test_values_that_nobody_owns_join_nobody(world: World) -> None:
    zeros = ["0", "0000-0000", "00000000-0000-0000-0000-000000000000"]
    wanted = set()
    for number, value in enumerate([*sorted(VALUES), *zeros]):
        ann, bob = f"ann{number}", f"bob{number}"
        device = {"externalIds": [{"type": "crm_id", "id": value}], "device": {"id": value}}
        world.put(
            world.track(ann, 9 * DAY, anonymousId=value),
            world.track(bob, 8 * DAY, anonymousId=value),
            *({"type": "track", "event": "Seen", "userId": value, "anonymousId": f"{at}{number}"}
              for at in "xy"),
            {"type": "track", "event": "Seen", "anonymousId": f"z{number}", "context": device},
            {"type": "alias", "userId": ann, "previousId": value, "anonymousId": f"v{number}"},
            {"type": "alias", "userId": bob, "previousId": value, "anonymousId": f"w{number}"},
        )  # fmt: skip
        wanted |= {(f"{at}{number}",) for at in "xyz"}
        wanted |= {(ann, f"v{number}"), (bob, f"w{number}")}
    world.identify_all()
    people = world.rows(
        "SELECT array_agg(value ORDER BY value) AS has FROM nodes GROUP BY profile_id"
    )
    assert {tuple(row.has) for row in people} == wanted


def test_a_late_event_of_one_identifier_moves_it_into_another_week(world: World) -> None:
    """Of three within a week the third is too many; then it is heard that it came the week before."""
    rules = "[kinds.user_id]\npriority = 1\n[kinds.anonymous_id]\npriority = 80\nlimit = 2\nwindow = 'week'"
    with world.horizon.database.transaction(Role.OWNER) as tx:
        tx.execute("INSERT INTO identity_rules (rules, adopted_at) VALUES (%s, %s)", [rules, NOW])
    world.put(*(world.track("ann", (7 - at) * DAY, anonymousId=f"a{at}") for at in range(3)))
    world.identify_all()
    assert _together(world) == [["a0", "a1", "ann"], ["a2"]]
    late = {"type": "page", "anonymousId": "a2", "timestamp": (NOW - 9 * DAY).isoformat()}
    world.put(late)
    world.identify_all()
    assert _together(world) == [["a0", "a1", "a2", "ann"]]


def _together(world: World) -> list[list[str]]:
    rows = world.rows(
        "SELECT array_agg(value ORDER BY value) AS has FROM nodes GROUP BY profile_id"
    )
    return sorted(row.has for row in rows)


def test_an_alias_is_counted_as_an_event_of_its_run(world: World) -> None:
    world.put({"type": "alias", "userId": "ann", "previousId": "a1"}, world.track("ann", DAY))
    assert world.identify_all().figures["events"] == 2
