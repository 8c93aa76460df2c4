"""Merges and splits are events for whoever listens, and a merge names the edge that did it."""

from __future__ import annotations

import threading
import time
from typing import Any

from horizon.postgres.database import Role
from tests import merging
from tests.world import DAY, World


def _seen(world: World, days: int, **names: str) -> dict[str, Any]:
    """A page view by these identifiers, so many days ago."""
    time = (world.now - days * DAY).isoformat()
    item: dict[str, Any] = {"type": "page", "timestamp": time}
    if "device" in names:
        item["context"] = {"device": {"id": names.pop("device")}}
    return {**item, **names}


def _told(world: World, name: str) -> list[dict[str, Any]]:
    query = "SELECT properties::jsonb AS told FROM events WHERE name = %s ORDER BY properties"
    return [row.told for row in world.rows(query, name)]


def _merges(world: World) -> dict[int, tuple[int, set[str]]]:
    """Who took an absorbed profile in, and the values of the edge's ends."""
    value = {str(row.node): row.value for row in world.rows("SELECT node, value FROM nodes")}
    return {
        one["absorbed"]: (one["profile_id"], {value[one["weak"]], value[one["strong"]]})
        for one in _told(world, "Profiles Merged")
    }


def test_the_edge_of_a_merge_is_of_the_two_and_of_no_other(world: World) -> None:
    """Others of the batch tie the one to something new, and the other one as well, and earlier."""
    world.put(_seen(world, 9, userId="ann"))
    world.put(_seen(world, 9, anonymousId="a1"))
    world.identify_all()
    ann, a1 = merging.profile(world, "ann"), merging.profile(world, "a1")
    world.put(
        _seen(world, 8, userId="ann", anonymousId="new"), _seen(world, 8, anonymousId="a1", device="D9"),
        _seen(world, 1, userId="ann", anonymousId="a1"),
        _seen(world, 1, userId="ann", device="D8"), _seen(world, 1, anonymousId="a1", device="D7"),
    )  # fmt: skip
    world.identify_all()
    assert _merges(world) == {max(ann, a1): (min(ann, a1), {"ann", "a1"})}


def test_of_profiles_that_something_new_ties_the_absorbed_ones_edge_is_told(world: World) -> None:
    for name in ("a1", "a2"):
        world.put(_seen(world, 9, anonymousId=name))
        world.identify_all()
    a1, a2 = merging.profile(world, "a1"), merging.profile(world, "a2")
    world.put(_seen(world, 2, anonymousId="a1", userId="new"), _seen(world, 1, anonymousId="a2", userId="new"),
              _seen(world, 3, anonymousId="a2", device="D9"))  # fmt: skip
    world.identify_all()
    assert _merges(world) == {a2: (a1, {"a2", "new"})}


def test_of_profiles_that_a_third_one_ties_each_has_its_own_edge(world: World) -> None:
    for name in ("first", "middle", "last"):
        world.put(_seen(world, 9, anonymousId=name))
        world.identify_all()
    first, middle, last = (merging.profile(world, name) for name in ("first", "middle", "last"))
    for pair in (("middle", "last"), ("middle", "first")):
        world.put({"type": "alias", "anonymousId": pair[0], "previousId": pair[1]})
    world.identify_all()
    found = _merges(world)
    assert found == {middle: (first, {"middle", "first"}), last: (first, {"middle", "last"})}


def test_who_was_absorbed_before_is_not_merged_once_more(world: World) -> None:
    for name in ("first", "middle", "last"):
        world.put(_seen(world, 9, anonymousId=name))
        world.identify_all()
    first, middle, last = (merging.profile(world, name) for name in ("first", "middle", "last"))
    for pair in (("middle", "last"), ("middle", "first")):
        world.put({"type": "alias", "anonymousId": pair[0], "previousId": pair[1]})
        world.identify_all()
    assert sorted((one["absorbed"], one["profile_id"]) for one in _told(world, "Profiles Merged")) == [
        (middle, first), (last, middle)
    ]  # fmt: skip
    assert merging.profile(world, "last") == first


def test_a_split_is_told_of_the_profile_that_is_back_and_where_it_was(world: World) -> None:
    for name in ("ann", "bob"):
        world.put(_seen(world, 9, userId=name))
        world.identify_all()
    ann, bob = merging.profile(world, "ann"), merging.profile(world, "bob")
    merging.merge(world, "ann", "bob")
    assert _told(world, "Profile Split") == []
    merging.split(world, "ann", "bob")
    assert _told(world, "Profile Split") == [{"profile_id": bob, "from": ann}]
    assert len(_told(world, "Profiles Merged")) == 1


def test_the_map_is_not_written_while_a_sender_asks_it(world: World) -> None:
    """A sender asks who was reached of one state of the map: the stage waits until it has."""
    world.put(_seen(world, 9, userId="ann"), _seen(world, 9, anonymousId="a1"))
    world.identify_all()
    world.put(_seen(world, 1, userId="ann", anonymousId="a1"))
    stage = threading.Thread(target=world.identify_all)
    with world.horizon.database.connect(Role.WORKER) as sender:
        sender.execute("SELECT pg_advisory_xact_lock_shared(hashtext('horizon.identity'))")
        stage.start()
        waits = _waits(world)
        apart = merging.profile(world, "ann") != merging.profile(world, "a1")
        sender.rollback()
    stage.join(30)
    assert waits
    assert apart
    assert merging.profile(world, "ann") == merging.profile(world, "a1")


def _waits(world: World) -> bool:
    """Whether somebody comes to wait for that lock."""
    query = (
        "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND mode = 'ExclusiveLock'"
        " AND objsubid = 1 AND (classid::bigint << 32 | objid::bigint) = hashtext('horizon.identity')::bigint"
    )
    until_s = time.monotonic() + 10
    while time.monotonic() < until_s:
        if world.rows(query):
            return True
        time.sleep(0.02)
    return False
