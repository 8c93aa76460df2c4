"""`kill -9` of collectors (two at one port, as `horizon up` starts them) and of their PostgreSQL
in turn, and a database that is away or stuck.

What was answered 200 is in the store, once; with fsync and synchronous_commit on.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from horizon import keys
from horizon.events.sources import add_source
from horizon.postgres.database import Database, Role, closing_connection
from horizon.postgres.embedded import EmbeddedPostgres
from horizon.postgres.era import open_era
from horizon.postgres.migrate import migrate
from horizon.settings import Settings
from tests.servers.collector import Collector, Collectors
from tests.servers.load import Load

BACK_WITHIN_S = 5.0
AWAY_S = 8.0
LOCKED_S = 60.0
RSS_MB = 500

IDS = "SELECT message_id, count(*)::int AS copies FROM events GROUP BY message_id"


@dataclass
class Place:
    server: EmbeddedPostgres
    database: Database
    collectors: Collectors
    key: str

    def kill_collectors(self, killed: Sequence[Collector]) -> None:
        for one in killed:
            one.process.kill()
        for one in killed:
            one.end(signal.SIGKILL)
            one.__enter__()

    def kill_postgres(self, away_s: float) -> None:
        pid = self.server.pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        time.sleep(away_s)
        self.server.start()

    def copies(self) -> Counter[str]:
        with self.database.transaction(Role.OWNER) as tx:
            return Counter({row.message_id: row.copies for row in tx.execute(IDS)})


@pytest.fixture
def place(free_port: Callable[[], int]) -> Iterator[Place]:
    """A collector with a PostgreSQL of its own, as durable as one that is served."""
    home = Path(tempfile.mkdtemp(prefix="horizon-killed-"))
    home.chmod(0o755)  # root's unprivileged account has to walk through it
    server = EmbeddedPostgres(home)
    try:
        server.start()
        database = Database(server.dsn)
        migrate(database)
        keys.make(home)
        with database.transaction(Role.OWNER) as tx:
            open_era(tx, "tests")
            for name in ("fsync", "synchronous_commit"):
                assert tx.execute(f"SHOW {name}".encode()).fetchone() == ("on",)
        with database.transaction(Role.WORKER) as tx:
            key = add_source(tx, "shop", "server")
        settings = Settings(
            PG_DSN=server.dsn, HORIZON_HOME=str(home), LOG_PATH=str(home / "log"),
            COLLECTOR_PORT=free_port(), API_PORT=free_port(),
            METRICS_PORT=free_port(),
        )  # fmt: skip
        with Collectors(settings) as collectors:
            yield Place(server, database, collectors, key)
    finally:
        server.stop()
        shutil.rmtree(server.data, ignore_errors=True)
        shutil.rmtree(home, ignore_errors=True)


def assert_each_once(place: Place, load: Load) -> None:
    copies = place.copies()
    assert load.acknowledged <= set(copies), "an event that was answered 200 is lost"
    assert set(copies.values()) == {1}, "an event is there twice"
    assert set(load.answers) <= {0, 200, 429, 503}
    assert load.without_retry_after == 0


def killed_in_turn(place: Place, kills: int) -> None:
    chance = random.Random(kills)
    load = Load(place.collectors, place.key)
    done: Counter[str] = Counter()
    each = place.collectors.each
    with load.running():
        for number in range(kills):
            load.wait_for_more()  # so that each kill meets a collector at work
            time.sleep(chance.uniform(0, 0.3))
            if number % 2:
                place.kill_postgres(chance.uniform(0, 0.3))
                done["PostgreSQL"] += 1
            else:
                # One beside which the other goes on; now and then both.
                killed = chance.choice([each[:1], each[1:], each])
                place.kill_collectors(killed)
                done["both collectors" if len(killed) > 1 else "a collector"] += 1
        time.sleep(0.5)
    print(f"{dict(done)} killed, {dict(load.answers)} answers, {len(load.acknowledged)} events were "
          f"answered 200, longest pause {load.longest_pause_s:.1f} s")  # fmt: skip
    assert_each_once(place, load)
    assert len(load.acknowledged) > 20 * kills


@pytest.mark.slow
def test_what_was_answered_200_is_there_once_after_50_kills(place: Place) -> None:
    killed_in_turn(place, kills=50)


@pytest.mark.slow
def test_without_its_database_it_says_so_at_once_and_is_soon_back(place: Place) -> None:
    load = Load(place.collectors, place.key, events=100, filling=400)
    with load.running(16):
        load.wait_for_more()
        pid = place.server.pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        time.sleep(1)
        load.slowest_s = 0
        time.sleep(AWAY_S)
        slowest_s, rss_mb = load.slowest_s, place.collectors.rss_mb()
        place.server.start()
        back_s = load.wait_for_more(BACK_WITHIN_S)
        time.sleep(1)
    print(f"503 after {slowest_s:.2f} s at most, {rss_mb:.0f} MB, first 200 {back_s:.2f} s after the "
          f"database's return; {dict(load.answers)}")  # fmt: skip
    assert load.answers[503] > 0
    assert slowest_s < 3
    assert rss_mb < RSS_MB
    assert_each_once(place, load)


@pytest.mark.slow
def test_a_database_that_is_stuck_costs_no_memory_without_end(place: Place) -> None:
    """Twice as much as may wait is offered for a minute; what waits too long is told so."""
    load = Load(place.collectors, place.key, events=500, filling=400, pause_s=0.5)
    with closing_connection(place.database.connect()) as holder, load.running(40):
        load.wait_for_more()
        with holder:
            holder.execute("LOCK TABLE event_ids IN EXCLUSIVE MODE")
            locked_s = time.monotonic()
            rss_mb = []
            while time.monotonic() - locked_s < LOCKED_S:
                time.sleep(1)
                rss_mb.append(place.collectors.rss_mb())
                assert place.collectors.ask("GET", "/healthz").status == 200
        load.wait_for_more(BACK_WITHIN_S)
    print(
        f"{max(rss_mb):.0f} MB at most, {rss_mb[len(rss_mb) // 2]:.0f} half-way; {dict(load.answers)}"
    )
    assert load.answers[429] > 0
    assert load.answers[503] > 0
    assert load.slowest_s < 15
    assert max(rss_mb) < RSS_MB
    assert max(rss_mb) < 1.3 * rss_mb[len(rss_mb) // 2]
    assert_each_once(place, load)
