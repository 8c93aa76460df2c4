"""The identity stage is killed again and again: the map is the one before or the one after.

What an uninterrupted run gives is what a run gives that was killed at any moment and done again.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import LiteralString
from uuid import UUID

import pytest

from horizon.pipeline import stages
from horizon.pipeline.installation import open_installation
from horizon.postgres.database import Connection, Role
from horizon.settings import Settings
from tests.identity_oracle import Answer
from tests.integration.test_identity_map import the_map
from tests.world import NOW, World

PEOPLE = 400
SEED = 7

Map = dict[UUID, tuple[int | None, int | None, str | None]]
Rows = list[tuple[object, ...]]

# What the events alone decide, whatever the batches; numbers of profiles are given as they come.
OF_EVENTS = {
    "nodes": "SELECT node, kind, value, dead, first_seen FROM nodes",
    "edges": "SELECT weak, strong, how, time, event_id, source_id, refused_by FROM edges",
    "traits": "SELECT profile_id IS NOT NULL, t.node, name, t.value, value_node, time, trusted, event_id"
              " FROM traits t JOIN nodes n ON n.node = t.node AND n.live",
}  # fmt: skip
NUMBERS = "SELECT profile_id, points_to, contested FROM profiles"


def identify(settings: Settings) -> None:
    """What the killed process does: one run of the stage."""
    horizon = open_installation(settings)
    horizon.runner.run(stages.identity_stage(horizon.keys, settings), NOW)


def fill(world: World, chance: random.Random, count: int) -> None:
    """Merges of people that are there, shared devices, addresses that change hands."""
    items = []
    for _ in range(count):
        user, other = chance.randrange(PEOPLE), chance.randrange(PEOPLE)
        at = timedelta(minutes=chance.randrange(60 * 24 * 20))
        items.append(
            world.identify(f"u{user}", at, email=f"e{user if other % 9 else other}@example.com")
        )
        items.append(world.track(f"u{user}", at, anonymousId=f"a{other}"))
        items.append({
            "type": "track", "event": "Seen", "anonymousId": f"a{user}",
            "context": {"device": {"id": f"d{other % 40}"}}, "timestamp": (world.now - at).isoformat(),
        })  # fmt: skip
    world.put(*items)


def whole(tx: Connection) -> Map:
    return {
        row.node: (row.profile_id, row.born_as, row.dead)
        for row in tx.execute("SELECT node, profile_id, born_as, dead FROM nodes")
    }


@dataclass(frozen=True)
class Seen:
    answer: Answer
    said: dict[str, Rows]  # of the events
    numbers: tuple[Map, Rows]
    mark: str


def seen(world: World) -> Seen:
    with world.horizon.database.transaction(Role.OWNER) as tx:
        mark = tx.execute("SELECT seen::text FROM watermarks WHERE stage = 'identity'").fetchone()
        said = {name: _rows(tx, query) for name, query in OF_EVENTS.items()}
        numbers = whole(tx), _rows(tx, NUMBERS)
        _number_well(numbers)
        return Seen(the_map(tx), said, numbers, mark.seen if mark else "")


def _rows(tx: Connection, query: LiteralString) -> Rows:
    return sorted(map(tuple, tx.execute(query)), key=repr)


def _number_well(numbers: tuple[Map, Rows]) -> None:
    """A profile has the oldest number that was given to one of its nodes; the others point to it."""
    nodes, profiles = numbers
    oldest: dict[int, int] = {}
    for profile, born, _ in nodes.values():
        if profile is not None and born is not None:
            oldest[profile] = min(oldest.get(profile, born), born)
    assert all(profile == least for profile, least in oldest.items())
    leads = {born: profile for profile, born, _ in nodes.values() if born is not None}
    assert {number: to for number, to, _ in profiles} == {
        born: None if to in (born, None) else to for born, to in leads.items()
    }


def kill_at(world: World, after_s: float) -> bool:
    """Whether the run was killed, and not over before."""
    process = multiprocessing.get_context("fork").Process(
        target=identify, args=(world.horizon.settings,)
    )
    process.start()
    time.sleep(after_s)
    killed = process.is_alive()
    if killed and process.pid is not None:
        os.kill(process.pid, signal.SIGKILL)
    process.join()
    return killed


def _kill_often(world: World, kills: int) -> None:
    chance = random.Random(SEED)
    fill(world, chance, 150)
    identify(world.horizon.settings)
    fill(world, chance, 60)
    began = time.monotonic()
    identify(world.horizon.settings)
    takes_s = time.monotonic() - began
    done = 0
    while done < kills:
        fill(world, chance, 60)
        before = seen(world)
        killed = kill_at(world, chance.uniform(0, 1.2 * takes_s))
        after = seen(world)
        assert after == before or after.mark != before.mark, "half a map, and no watermark"
        done += killed
    identify(world.horizon.settings)
    killed_often = seen(world)
    assert killed_often.said["traits"]
    _begin_again(world)
    anew = seen(world)
    assert (anew.answer, anew.said) == (killed_often.answer, killed_often.said)


def _begin_again(world: World) -> None:
    with world.horizon.database.transaction(Role.OWNER) as tx:
        tx.execute(
            "TRUNCATE nodes, edges, profiles, traits; DELETE FROM watermarks WHERE stage = 'identity'"
        )
    identify(world.horizon.settings)


def test_a_run_that_is_killed_leaves_the_map_before_or_the_map_after(world: World) -> None:
    _kill_often(world, 4)


@pytest.mark.slow
def test_fifty_kills(world: World) -> None:
    _kill_often(world, 50)


def test_two_workers_at_once_give_the_map_of_one(world: World) -> None:
    chance = random.Random(SEED)
    context = multiprocessing.get_context("fork")
    for _ in range(3):
        fill(world, chance, 80)
        pair = [context.Process(target=identify, args=(world.horizon.settings,)) for _ in range(2)]
        for one in pair:
            one.start()
        for one in pair:
            one.join()
        assert [one.exitcode for one in pair] == [0, 0]
    together = seen(world)
    _begin_again(world)
    anew = seen(world)
    assert (anew.answer, anew.said) == (together.answer, together.said)
