"""[forward.rate], [forward.dead], [forward.hang]: how fast events are sent on, beside the same
rows read in no order and their bodies posted ready-made; and what the collector takes beside a
forward that does not get rid of any."""

from __future__ import annotations

import base64
import http.client
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

import msgspec
from psycopg.rows import tuple_row

from bench.harness import Figure, scratch_installation, seconds
from horizon import clock
from horizon.events.model import read_message
from horizon.events.sources import add_source, find_source
from horizon.events.store import store
from horizon.forward import book
from horizon.forward.endpoint import BATCH_EVENTS
from horizon.forward.message import message_of
from horizon.forward.spans import opened, read_page, sources_of, spans
from horizon.pipeline import processes
from horizon.pipeline.installation import Installation
from horizon.pipeline.processes import Child, free_port
from horizon.postgres.database import Role, closing_connection

LANES = 4
PEOPLE = 20_000
PLAIN = """SELECT era, tx::text, received_at, time, event_id, message_id, type, name, user_id,
    anonymous_id, previous_id, group_id, properties, traits, context FROM events"""
ROUNDS = 3
PATIENCE_S = 300.0
_numbers = count()


def figures(quick: bool) -> Iterator[Figure]:
    size = 60_000 if quick else 300_000
    changed = {"COLLECTOR_PORT": free_port(0), "FORWARD_TIMEOUT_S": 20}
    with scratch_installation(changed) as horizon:
        with horizon.database.transaction(Role.WORKER) as tx:
            key = add_source(tx, "bench", "server")
        yield _rate(horizon, size)
        for name, hang in (("dead", False), ("hang", True)):
            yield _beside(horizon, key, name, hang=hang, seconds_each=4 if quick else 10)


def _event(number: int) -> dict[str, object]:
    """500 bytes on the wire."""
    return {
        "type": "track", "event": "Product Viewed", "userId": f"user-{number % PEOPLE}",
        "anonymousId": f"visitor-{number % PEOPLE}", "messageId": f"bench-{number}-{os.getpid()}",
        "timestamp": clock.now().isoformat(),
        "context": {"library": {"name": "bench", "version": "1"}, "locale": "en-GB"},
        "properties": {"sku": f"sku-{number % 977}", "price": 12.5, "text": "x" * 170},
    }  # fmt: skip


def _fill(horizon: Installation, size: int) -> None:
    with horizon.database.transaction(Role.WORKER) as tx:
        source = find_source(tx, "bench")
    assert source is not None
    era = horizon.era()
    for _ in range(0, size, 2_500):
        now = clock.now()
        events = [
            read_message(
                _event(next(_numbers)), source=source, received_at=now, sent_at=now,
                node_key=horizon.keys.node,
            )
            for _ in range(2_500)
        ]  # fmt: skip
        with horizon.database.transaction(Role.WORKER) as tx:
            store(tx, events, era=era)


def _rate(horizon: Installation, size: int) -> Figure:
    with _sink() as sink, _added(horizon, sink.url):
        _fill(horizon, size)
        bodies = _bodies(horizon)
        bare = [
            size / (seconds(lambda: _read(horizon)) + _post_s(sink, bodies, size))
            for _ in range(ROUNDS)
        ]
        before = sink.count()
        child = processes.forwarder(processes.environment_of(horizon.settings))
        child.start()
        try:
            _until(lambda: sink.count() > before)  # its start is not what is measured
            begun = sink.count()
            took = seconds(lambda: _until(lambda: sink.count() >= before + size))
        finally:
            child.stop()
    value = (before + size - begun) / took
    return Figure("forward.rate", round(value), "events/s", round(statistics.median(bare)), size)


def _bodies(horizon: Installation) -> list[bytes]:
    """Batches as the forwarder makes them, ready."""
    with closing_connection(horizon.database.connect(Role.WORKER, autocommit=True)) as tx:
        forward_id = tx.execute("SELECT max(forward_id) AS id FROM forwards").fetchone()
        assert forward_id is not None
        live = spans(tx, forward_id.id)[0]
        page = read_page(tx, opened(tx, live), sources_of(tx, None))
    made = [message_of(row, "bench") for row in page.rows]
    parts = [made[first : first + BATCH_EVENTS] for first in range(0, len(made), BATCH_EVENTS)]
    return [b'{"batch":[' + b",".join(part) + b"]}" for part in parts]


def _read(horizon: Installation) -> None:
    """All events as the database gives them, in no order."""
    with (
        closing_connection(horizon.database.connect(Role.WORKER)) as tx,
        tx.cursor("plain", row_factory=tuple_row) as cursor,
    ):
        cursor.execute(PLAIN)
        while cursor.fetchmany(4_000):
            pass


def _post_s(sink: Sink, bodies: list[bytes], size: int) -> float:
    each = size // LANES // BATCH_EVENTS

    def lane() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", sink.port)
        for number in range(each):
            connection.request("POST", "/v1/batch", bodies[number % len(bodies)])
            connection.getresponse().read()
        connection.close()

    return seconds(lambda: _threads(lane))


def _threads(work: Callable[[], None]) -> None:
    lanes = [threading.Thread(target=work) for _ in range(LANES)]
    for one in lanes:
        one.start()
    for one in lanes:
        one.join()


def _beside(
    horizon: Installation, key: str, name: str, *, hang: bool, seconds_each: float
) -> Figure:
    environment = processes.environment_of(horizon.settings)
    collector = processes.collector(horizon.settings.COLLECTOR_PORT, environment)
    collector.start()
    with_it, without = [], []
    try:
        with _sink("--hang") as sink:
            url = sink.url if hang else f"http://127.0.0.1:{free_port(0)}"
            _load(horizon, key, 2)
            for _ in range(ROUNDS):  # in turn, since the machine's speed drifts
                without.append(_load(horizon, key, seconds_each))
                with _added(horizon, url), _running(processes.forwarder(environment)):
                    with_it.append(_load(horizon, key, seconds_each))
    finally:
        collector.stop()
    value, reference = statistics.median(with_it), statistics.median(without)
    return Figure(f"forward.{name}", round(value), "events/s", round(reference), ROUNDS)


def _load(horizon: Installation, key: str, seconds_each: float) -> float:
    """Events a second that the collector takes in batches of 100 from four connections."""
    end = time.monotonic() + seconds_each
    taken = []
    headers = {"Authorization": "Basic " + base64.b64encode(f"{key}:".encode()).decode()}

    def lane() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", horizon.settings.COLLECTOR_PORT)
        while time.monotonic() < end:
            body = msgspec.json.encode({"batch": [_event(next(_numbers)) for _ in range(100)]})
            connection.request("POST", "/v1/batch", body, headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status == 200:
                taken.append(100)
        connection.close()

    _threads(lane)
    return sum(taken) / seconds_each


@contextmanager
def _running(child: Child) -> Iterator[None]:
    child.start()
    try:
        yield
    finally:
        child.stop()


@contextmanager
def _added(horizon: Installation, url: str) -> Iterator[None]:
    new = book.NewForward(url, "key", name="bench", allow_private=True)
    with horizon.database.transaction(Role.OWNER) as tx:
        book.add(tx, horizon.keys, new, clock.now())
    try:
        yield
    finally:
        with horizon.database.transaction(Role.OWNER) as tx:
            book.remove(tx, "bench")


class Sink:
    def __init__(self, *options: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.forward_sink", *options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.port = self._read()
        self.url = f"http://127.0.0.1:{self.port}"

    def _read(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())

    def count(self) -> int:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._read()

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


@contextmanager
def _sink(*options: str) -> Iterator[Sink]:
    sink = Sink(*options)
    try:
        yield sink
    finally:
        sink.end()


def _until(what: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not what():
        if time.monotonic() > end:
            raise TimeoutError("the forwarder did not come so far")
        time.sleep(0.01)
