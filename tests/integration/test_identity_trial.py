"""Other rules are tried on everybody beside those that hold, and then adopted."""

from __future__ import annotations

from uuid import uuid4

import pytest

from horizon.errors import UsageError
from horizon.identity import rules as rules_of
from horizon.identity.mapping import active_rules
from horizon.identity.trial import Comparison, adopt, compare
from horizon.postgres.database import Role
from tests.integration.test_identity_map import the_map
from tests.world import DAY, NOW, World


def _tried(world: World, text: str) -> Comparison:
    with world.horizon.database.transaction(Role.WORKER) as tx:
        before = the_map(tx)
        found = compare(tx, rules_of.read(text))
        assert the_map(tx) == before
        return found


def _adopted(world: World, text: str) -> None:
    with world.horizon.database.transaction(Role.WORKER) as tx:
        tx.execute("INSERT INTO identity_rules (rules, adopted_at) VALUES (%s, %s)", [text, NOW])
        adopt(tx, active_rules(tx), NOW, uuid4())


def _family(world: World) -> None:
    """Two people of one tablet: by the shipped rules it is the first one's."""
    world.put(
        world.track("ann", 9 * DAY, anonymousId="tablet"),
        world.track("bob", 8 * DAY, anonymousId="tablet"),
        world.track("bob", 7 * DAY, anonymousId="phone"),
    )
    world.identify_all()


ONE_OF_ALL = "[kinds.user_id]\npriority = 1\nlimit = 0\n[kinds.anonymous_id]\npriority = 80\n"
FEW = "[kinds.user_id]\npriority = 1\nlimit = 1\n[kinds.anonymous_id]\npriority = 80\nowners = 1\n"


def test_without_a_limit_two_people_would_be_one(world: World) -> None:
    _family(world)
    found = _tried(world, ONE_OF_ALL)
    assert (found.profiles_before, found.profiles_after) == (2, 1)
    assert (found.merged, found.split) == (1, 0)
    assert (found.refused_before, found.refused_after) == (1, 0)
    assert [one.identifiers for one in found.largest_before] == [2, 2]
    assert [one.identifiers for one in found.largest_after] == [4]


def test_what_would_be_a_hub_is_named(world: World) -> None:
    _family(world)
    found = _tried(world, FEW)
    tablet = world.rows("SELECT node FROM nodes WHERE value = 'tablet'")[0].node
    assert (found.hubs, found.freed) == ([tablet], [])
    assert (found.profiles_after, found.refused_after) == (2, 2)


def test_blocked_values_are_counted(world: World) -> None:
    _family(world)
    assert _tried(world, FEW + 'blocked = ["tab.*"]\n').blocked == 1
    assert _tried(world, FEW).blocked == 0


@pytest.mark.parametrize("text", [ONE_OF_ALL, FEW, FEW + 'blocked = ["tab.*"]\n'])
def test_what_is_adopted_is_what_was_tried_and_can_be_taken_back(world: World, text: str) -> None:
    _family(world)
    with world.horizon.database.transaction(Role.WORKER) as tx:
        before = the_map(tx)
    tried = _tried(world, text)
    _adopted(world, text)
    after = _tried(world, text)
    assert after.profiles_before == after.profiles_after == tried.profiles_after
    assert after.largest_before == tried.largest_after
    assert (after.merged, after.split, after.hubs, after.freed, after.blocked) == (0, 0, [], [], 0)
    _adopted(world, rules_of.shipped_text())
    with world.horizon.database.transaction(Role.WORKER) as tx:
        assert the_map(tx) == before


@pytest.mark.parametrize("text", [FEW, FEW + 'blocked = [""]\n'])
def test_who_was_erased_stays_so_when_rules_put_it_out_and_bring_it_back(
    world: World, text: str
) -> None:
    _family(world)
    world.change("UPDATE nodes SET dead = 'erased', value = '' WHERE value = 'tablet'")
    states = []
    for rules in (text, FEW, rules_of.shipped_text()):
        _adopted(world, rules)
        with world.horizon.database.transaction(Role.WORKER) as tx:
            the_map(tx)
        [tablet] = world.rows("SELECT * FROM nodes WHERE value = ''")
        states.append((tablet.dead, tablet.live))
    assert states[0][0] in ("hub", "blocked")
    assert states[1:] == [("hub", False), ("erased", False)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[kinds.user_id", "not TOML"),
        ("[kinds.user_id]\nlimits = 1", "kinds.user_id has no limits"),
        ("[kinds.user_id]\nlimit = -1", "whole number from 0"),
        ("[kinds.user_id]\nlimit = true", "whole number"),
        ("[kinds.user_id]\nwindow = 'day'", "ever, year, month, week"),
        ("[kinds.user_id]\nblocked = ['(']", "no pattern"),
        ("[kinds.User]\nlimit = 1", "no kind"),
        ("kinds = 3", "no section"),
        ("colour = 1", "has no colour"),
    ],
)
def test_what_are_no_rules_is_said_in_a_sentence(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        rules_of.read(text)
