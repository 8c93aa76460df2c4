"""An archive is killed again and again while events come in: in the end the lake has each once."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import signal
import threading
import time
from datetime import date, timedelta
from multiprocessing.process import BaseProcess
from uuid import uuid4

import duckdb
import pytest

from horizon.lake import archive, writing
from horizon.lake.table import Lake
from horizon.pipeline import stages
from horizon.pipeline.installation import open_installation
from horizon.postgres.database import Role
from horizon.settings import Settings
from tests.archiving import all_there_once, archived, watermark
from tests.world import DAY, NOW, World

SEED = 8
RECEIVED_DAYS = 4
EVENT_DAYS = 6

# A day's events, how many and a sum over the digests of what identifies and fills them.
Days = dict[date, tuple[int, int]]
DAYS = """
SELECT time::date AS day, count(*) AS events, sum(hash(concat_ws('|', event_id::text, message_id, name, user_id,
       time::timestamp::text, received_at::timestamp::text, properties))) AS digests FROM {} GROUP BY 1
"""


def archive_it(settings: Settings, step_events: int, chunk_bytes: int) -> None:
    """What the killed process does: one run of the stage, of small steps and small files."""
    archive.STEP_EVENTS, writing.CHUNK_BYTES = step_events, chunk_bytes
    stages.archive(open_installation(settings))


def fill(world: World, chance: random.Random, count: int) -> None:
    world.put(
        *(
            world.track(
                f"u{chance.randrange(50)}", timedelta(minutes=chance.randrange(60 * 24 * EVENT_DAYS)),
                properties={"note": str(uuid4()) * chance.randrange(1, 9)},
            )
            for _ in range(count)
        ),
        received_at=NOW - chance.randrange(RECEIVED_DAYS) * DAY,
    )  # fmt: skip


class Ingesting:
    """Events come in as long as the block lasts, in transactions of some."""

    def __init__(self, world: World) -> None:
        self._world, self._stop = world, threading.Event()
        self._thread = threading.Thread(target=self._fill)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _fill(self) -> None:
        chance = random.Random(SEED + 1)
        while not self._stop.wait(0.05):
            fill(self._world, chance, chance.randrange(1, 60))


# Forked from a process that has nothing but what the archive imports: a test's own threads hold
# locks that a fork would keep for good, and a start from nothing takes longer than the archive.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.e2e.test_lake_killed"])


def began(settings: Settings) -> BaseProcess:
    process = CONTEXT.Process(target=archive_it, args=(settings, 300, 40_000))
    process.start()
    return process


def takes_s(settings: Settings) -> float:
    began(settings).join()  # the first one waits for the imports
    began_s = time.monotonic()
    process = began(settings)
    process.join()
    assert process.exitcode == 0
    return time.monotonic() - began_s


def killed_after(settings: Settings, after_s: float) -> bool:
    """Whether the run was killed, and not over before."""
    process = began(settings)
    process.join(after_s)
    late = process.is_alive()
    if late and process.pid is not None:
        with contextlib.suppress(ProcessLookupError):  # it was over a moment ago
            os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert late or process.exitcode == 0
    return process.exitcode != 0


def in_hot_store(world: World) -> Days:
    with world.horizon.database.transaction(Role.OWNER) as tx:
        rows = [
            (r.event_id, r.message_id, r.name, r.user_id, r.time, r.received_at, r.properties)
            for r in tx.execute("SELECT * FROM events")
        ]
    with duckdb.connect() as engine:
        engine.execute(
            "SET TimeZone = 'UTC'; CREATE TABLE hot (event_id uuid, message_id text, name text, "
            "user_id text, time timestamptz, received_at timestamptz, properties text)"
        )
        engine.executemany("INSERT INTO hot VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        return by_day(engine, "hot")


def in_lake(world: World) -> Days:
    table = Lake.of(world.horizon.settings, world.horizon.database).for_writing()
    files = [task.file.file_path.removeprefix("file://") for task in table.scan().plan_files()]
    with duckdb.connect() as engine:
        engine.execute("SET TimeZone = 'UTC'")
        return by_day(engine, f"read_parquet({files})")


def by_day(engine: duckdb.DuckDBPyConnection, relation: str) -> Days:
    return {
        day: (events, digests)
        for day, events, digests in engine.execute(DAYS.format(relation)).fetchall()
    }


def _kill_often(world: World, kills: int) -> None:
    chance = random.Random(SEED)
    settings = world.horizon.settings
    fill(world, chance, 500)
    most_s = takes_s(settings)
    fill(world, chance, 1500)
    most_s = max(most_s, takes_s(settings))
    done = in_the_middle = 0
    with Ingesting(world):
        while done < kills:
            fill(world, chance, 400)
            killed = killed_after(settings, chance.uniform(0, most_s))
            done += killed
            most_s *= 1.3 if killed else 0.7  # so that about half of them end by themselves
            in_the_middle += watermark(world.horizon).until is not None
            if done % 10 == 0:
                assert set(archived(world.horizon).values()) <= {1}
    assert in_the_middle, "no kill was between two steps of a window"
    stages.archive(world.horizon)
    assert all_there_once(world.horizon)
    assert watermark(world.horizon).until is None
    found = in_lake(world)
    assert found == in_hot_store(world)
    assert len(found) >= EVENT_DAYS
    print(
        f"{done} kills, {in_the_middle} of them between two steps, {sum(n for n, _ in found.values())} events"
    )


@pytest.mark.slow
def test_fifty_kills_leave_neither_a_gap_nor_a_double(world: World) -> None:
    _kill_often(world, 50)
