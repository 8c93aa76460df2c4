"""Clients that say little, or stop half-way, hold up nobody else."""

from __future__ import annotations

import asyncio
import gzip
import resource
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from horizon.postgres.database import Database, Role
from horizon.serving import http
from horizon.serving.http import Reading, Refusal, Request
from horizon.settings import Settings
from tests.servers.collector import Collector
from tests.servers.wire import Closed, Wire, request

GOOD = {"type": "track", "userId": "u1", "event": "Viewed"}
SILENT = {
    "nothing": b"",
    "half a head": b"POST /v1/t HTTP/1.1\r\nHost: x\r\nX-",
    "half a body": b"POST /v1/t HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\n{",
    "a whole request": request(b"", path="/healthz", method="GET"),
}
SOCKETS = 1_500


@pytest.fixture
def _many_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * SOCKETS if hard == resource.RLIM_INFINITY else min(2 * SOCKETS, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("_many_files")
def test_silent_connections_stop_nobody(settings: Settings, database: Database, key: str) -> None:
    sent = [SILENT[name] for name in SILENT for _ in range(SOCKETS // len(SILENT))]
    with Collector(settings) as collector, ExitStack() as held:
        for data in sent:
            held.enter_context(Wire(collector.port)).send(data)
        began_s = time.monotonic()
        for _ in range(20):
            with Wire(collector.port) as wire:
                assert wire.ask(request(GOOD, key, "/v1/track")).status == 200
        assert time.monotonic() - began_s < 5
    with database.transaction(Role.OWNER) as tx:
        assert tx.execute("SELECT count(*)::int AS n FROM events").fetchone() == (20,)


@pytest.mark.slow
def test_who_says_nothing_more_is_let_go(settings: Settings) -> None:
    with Collector(settings) as collector, ExitStack() as held:
        wires = {name: held.enter_context(Wire(collector.port, 50)) for name in SILENT}
        began_s = time.monotonic()
        for name, wire in wires.items():
            wire.send(SILENT[name])
        assert wires["a whole request"].answer().status == 200
        assert wires["half a body"].answer().json["code"] == "too_slow"
        for name in ("nothing", "half a head", "a whole request"):
            with pytest.raises(Closed):
                wires[name].answer()
        assert 25 < time.monotonic() - began_s < 45


def body_of(parts: list[bytes], pause_s: float = 0.0) -> Any:
    """What an ASGI server calls ``receive``; after the parts nothing comes any more."""
    left = list(parts)

    async def receive() -> Any:
        await asyncio.sleep(pause_s)
        if not left:
            await asyncio.sleep(60)
        return {"type": "http.request", "body": left.pop(0), "more_body": True}

    return receive


def scope(**headers: str) -> Any:
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"method": "POST", "path": "/v1/t", "headers": named}


def test_a_body_that_takes_too_long_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "READ_TIMEOUT_S", 0.1)
    reading = Reading()
    slow = Request(scope(), body_of([b"{"]), reading)
    with pytest.raises(Refusal) as caught:
        asyncio.run(slow.read(100))
    assert (caught.value.status, caught.value.code) == (408, "too_slow")
    assert reading.held_bytes == 0


def test_who_was_told_so_is_not_cancelled_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that stays cancelled ends whatever it waits for next within a group of tasks."""
    monkeypatch.setattr(http, "READ_TIMEOUT_S", 0.1)

    async def read() -> int:
        with pytest.raises(Refusal):
            await Request(scope(), body_of([b"{"])).read(100)
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    assert asyncio.run(read()) == 0


def test_a_gzip_bomb_is_never_held_whole() -> None:
    bomb = gzip.compress(bytes(100_000_000))

    async def receive() -> Any:
        return {"type": "http.request", "body": bomb, "more_body": False}

    tracemalloc.start()
    try:
        with pytest.raises(Refusal) as caught:
            asyncio.run(Request(scope(content_encoding="gzip"), receive).read(512_000))
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert caught.value.code == "request_too_large"
    assert most_bytes < 5_000_000


def test_slow_bodies_hold_no_more_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "READ_TIMEOUT_S", 0.5)
    monkeypatch.setattr(http, "READING_BYTES", 1_000)
    reading = Reading()

    async def read() -> list[BaseException]:
        requests = [Request(scope(), body_of([b"x" * 90, b"y"], 0.01), reading) for _ in range(50)]
        done = await asyncio.gather(*(one.read(100) for one in requests), return_exceptions=True)
        return [error for error in done if isinstance(error, BaseException)]

    codes = [error.code for error in asyncio.run(read()) if isinstance(error, Refusal)]
    assert (codes.count("busy"), codes.count("too_slow")) == (40, 10)
    assert reading.held_bytes == 0


def test_a_body_counts_until_its_request_is_answered() -> None:
    """Unpacked, too: bodies that wait for a key's look-up are many."""
    reading = Reading()
    packed = gzip.compress(b"x" * 100_000)

    async def receive() -> Any:
        return {"type": "http.request", "body": packed, "more_body": False}

    request = Request(scope(content_encoding="gzip"), receive, reading)
    assert len(asyncio.run(request.read(200_000))) == 100_000
    assert reading.held_bytes == len(packed) + 100_000
    request.release()
    assert reading.held_bytes == 0


@pytest.mark.parametrize(
    ("headers", "read_on"),
    [({"content_length": "300"}, True), ({"content_length": "300", "expect": "100-continue"}, False),
     ({"content_length": "99000000"}, False)],
)  # fmt: skip
def test_a_body_that_is_too_large_is_read_to_its_end_where_that_helps(
    headers: dict[str, str], read_on: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "READ_TIMEOUT_S", 0.1)
    parts = [b"x" * 100] * 3
    asked = Request(scope(**headers), body_of(parts))
    with pytest.raises(Refusal) as caught:
        asyncio.run(asked.read(200))
    assert caught.value.code == ("too_slow" if read_on else "request_too_large")
