"""[ingest.batch], [ingest.single], [ingest.growth], [ingest.idle]: the collector over HTTP: each
200 after its commit, with the load generator on the same machine."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from bench.harness import Figure, scratch_installation, seconds
from bench.ingest_load import (
    BATCH,
    Load,
    compile_sender,
    events,
    send,
    write_batches,
    write_singles,
)
from horizon import clock
from horizon.events import rows
from horizon.events.model import Source, read_message
from horizon.events.sources import add_source
from horizon.pipeline import processes
from horizon.pipeline.installation import Installation
from horizon.postgres.database import Role
from horizon.postgres.queries import Queries

BATCH_CONNECTIONS = 24
SINGLE_CONNECTIONS = 64
ROUNDS = 3
COPIED = 50_000  # rows a transaction of the reference
IDLE_S = 20.0
P99_BATCH_S, P99_SINGLE_S, IDLE_SHARE, IDLE_MB = 0.1, 0.04, 0.01, 150.0  # the limits kept to

QUERIES = Queries("bench")
EVENTS = Queries("horizon.events")


def figures(quick: bool) -> Iterator[Figure]:
    size = 100_000 if quick else 1_000_000
    with scratch_installation() as horizon:
        key = _prepare(horizon)
        with collectors(horizon) as (port, ids):
            yield from _idle(ids)
            bench = _Bench(horizon, key, port)
            rate, load, copied = bench.batches(size)
            none = bench.first_rate
            yield Figure("ingest.batch", round(rate), "events/s", round(copied), size)
            yield Figure("ingest.batch.p99", load.p99_s, "s", P99_BATCH_S, size)
            yield from bench.singles(size // 10)
            grown = 500_000 if quick else 10_000_000
            _grow(horizon, grown)
            later, load, _ = bench.batches(size)
            yield Figure("ingest.growth", round(later), "events/s", round(none), grown)


class _Bench:
    def __init__(self, horizon: Installation, key: str, port: int) -> None:
        self._horizon = horizon
        self._key = key
        self._port = port
        self._folder = horizon.settings.home
        self._sender = compile_sender(self._folder)
        self.first_rate = 0.0  # of batches, with nothing in the store

    def batches(self, size: int) -> tuple[float, Load, float]:
        """Events/s of the middle round, that round, and COPY's in the same rounds."""
        rounds = []
        for _ in range(ROUNDS):  # in turn, since the machine's speed drifts
            write_batches(self._file, self._key, size)
            load = send(
                self._sender, self._port, BATCH_CONNECTIONS, self._file, size // BATCH // 20
            )
            timed = load.requests - size // BATCH // 20
            rate = timed * BATCH / load.seconds
            self.first_rate = self.first_rate or rate
            rounds.append((rate, load, self._copy(size)))
        rate, load, _ = sorted(rounds, key=lambda one: one[0])[ROUNDS // 2]
        return rate, load, sorted(one[2] for one in rounds)[ROUNDS // 2]

    def singles(self, size: int) -> Iterator[Figure]:
        rounds, empty = [], []
        for _ in range(ROUNDS):
            write_singles(self._file, self._key, size)
            load = send(self._sender, self._port, SINGLE_CONNECTIONS, self._file, size // 20)
            rounds.append(((load.requests - size // 20) / load.seconds, load.p99_s))
            with _empty_servers(self._horizon.settings.COLLECTOR_PROCESSES) as port:
                load = send(self._sender, port, SINGLE_CONNECTIONS, self._file, size // 20)
            empty.append((load.requests - size // 20) / load.seconds)
        rate, p99_s = sorted(rounds)[ROUNDS // 2]
        reference = sorted(empty)[ROUNDS // 2]
        yield Figure("ingest.single", round(rate), "requests/s", round(reference), size)
        yield Figure("ingest.single.p99", p99_s, "s", P99_SINGLE_S, size)

    @property
    def _file(self) -> Path:
        return self._folder / "requests"

    def _copy(self, size: int) -> float:
        """Rows/s that one client copies into the same tables, all of them ready."""
        taken_s, now = 0.0, clock.now()
        source = Source(1, "horizon", "server")
        stream = events(size)
        with self._horizon.database.transaction(Role.EDGE) as tx:
            for _ in range(size // COPIED):
                made = sorted(
                    rows.row_of(read_message(
                        next(stream), source=source, received_at=now, node_key=bytes(32)
                    ))
                    for _ in range(COPIED)
                )  # fmt: skip
                ids = rows.ids_copy(row.key for row in made)
                bodies = rows.events_copy((row.body for row in made), 1)

                def copy(ids: bytes = ids, bodies: bytes = bodies) -> None:
                    for name, body in (("copy_ids", ids), ("copy_events", bodies)):
                        with tx.cursor() as cursor, cursor.copy(EVENTS[name]) as writer:
                            writer.write(body)
                    tx.execute("SAVEPOINT here")

                taken_s += seconds(copy)
        return size / taken_s


def _prepare(horizon: Installation) -> str:
    with horizon.database.transaction(Role.WORKER) as tx:
        return add_source(tx, "bench", "server")


@contextmanager
def collectors(horizon: Installation) -> Iterator[tuple[int, list[int]]]:
    """As ``horizon up`` starts them: the port and the process ids."""
    port = processes.free_port(0)
    environment = processes.environment_of(horizon.settings, COLLECTOR_PORT=port)
    children = [
        processes.collector(port, environment, shared=True)
        for _ in range(horizon.settings.COLLECTOR_PROCESSES)
    ]
    try:
        for child in children:
            child.start()
        yield port, [child.process.pid for child in children if child.process]
    finally:
        for child in children:
            child.stop()


def _idle(ids: list[int]) -> Iterator[Figure]:
    time.sleep(2)
    before = sum(map(_cpu_s, ids))
    time.sleep(IDLE_S)
    share = (sum(map(_cpu_s, ids)) - before) / IDLE_S
    yield Figure("ingest.idle", round(share, 4), "of a core", IDLE_SHARE, len(ids))
    memory = round(sum(map(_memory_mb, ids)), 1)
    yield Figure("ingest.idle.memory", memory, "MB", IDLE_MB, len(ids))


def _cpu_s(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory_mb(process: int) -> float:
    """What it holds, of what it shares with others its part."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


@contextmanager
def _empty_servers(count: int) -> Iterator[int]:
    """As many as there are collectors, at one port as they are."""
    port = processes.free_port(0)
    command = [sys.executable, "-m", "bench.ingest_empty", str(port)]
    servers = [subprocess.Popen(command) for _ in range(count)]
    try:
        time.sleep(2)
        with socket.create_connection(("127.0.0.1", port)):
            yield port
    finally:
        for server in servers:
            server.send_signal(signal.SIGTERM)
            server.wait()


def _grow(horizon: Installation, size: int) -> None:
    """So many events in the store, over ten days, and three times as many ids, over thirty."""
    today = clock.now()
    with horizon.database.transaction(Role.OWNER) as tx:
        days = {"first_day": today - timedelta(days=30), "last_day": today}
        tx.execute(QUERIES["make_days"], days)
        tx.execute(QUERIES["fill_events"], {"now": today, "events": size, "days": 10})
        tx.execute(QUERIES["fill_ids"], {"now": today, "ids": 3 * size, "days": 30})
    with horizon.database.connect(Role.OWNER, autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE) events, event_ids")
