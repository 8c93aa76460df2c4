"""The simulator through the real collector and the unmodified client."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest

import horizon
from horizon import clock
from horizon.errors import HorizonError
from horizon.events.sources import add_source
from horizon.postgres.database import Database, Role, row_dicts
from horizon.settings import Settings
from horizon.sources import simulator
from horizon.sources.plan import Call
from horizon.sources.simulator import SendResult, epoch_of, plan, send

Answering = Callable[[int, bytes], tuple[str, list[str]]]

_SOURCES = str(Path(horizon.__file__).resolve().parents[1])


@pytest.fixture
def collector(settings: Settings) -> Iterator[str]:
    """The URL of a collector in a process of its own."""
    set_ = {name: str(value) for name, value in msgspec.structs.asdict(settings).items() if value}
    process = subprocess.Popen(
        [sys.executable, "-m", "horizon.edge"],
        env={**os.environ, **set_, "PYTHONPATH": _SOURCES},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("ready")
        yield settings.public_url
    finally:
        process.terminate()
        process.communicate(timeout=20)


@pytest.fixture
def write_key(database: Database) -> str:
    with database.transaction(Role.WORKER) as tx:
        return add_source(tx, "simulator", "server")


@pytest.fixture
def answering(free_port: Callable[[], int]) -> Iterator[Answering]:
    """Makes a server that gives one answer to all; its URL and the paths it was asked for."""
    servers = []

    def make(status: int, body: bytes) -> tuple[str, list[str]]:
        asked: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                asked.append(self.path)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        server = HTTPServer(("127.0.0.1", free_port()), Handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}", asked

    yield make
    for server in servers:
        server.shutdown()
        server.server_close()


def rows(database: Database, query: str) -> list[dict[str, Any]]:
    with database.transaction(Role.WORKER) as tx:
        return row_dicts(tx.execute(query.encode()))


def test_every_call_arrives_as_planned_and_once(
    database: Database, collector: str, write_key: str
) -> None:
    epoch = clock.now().replace(microsecond=0)
    calls = plan(epoch)
    began = time.monotonic()
    assert send(calls, collector, write_key) == SendResult(events=len(calls), users=200)
    assert time.monotonic() - began < 10
    assert send(plan(epoch), collector, write_key).events == len(calls)  # the demo's second run

    events = {row["message_id"]: row for row in rows(database, "SELECT * FROM events")}
    assert len(events) == len(calls)
    assert rows(database, "SELECT FROM rejected_events") == []
    for call in calls:
        _assert_same(events[call.message_id], call)
    consents = Counter(row["consent"] for row in events.values() if row["type"] == "identify")
    assert consents == {
        '{"marketing.email":true}': 164, '{"marketing.email":false}': 31, None: 6,
    }  # fmt: skip


def _assert_same(event: dict[str, Any], call: Call) -> None:
    assert (event["type"], event["user_id"]) == (call.kind, call.user_id)
    assert (event["name"] or "") == call.name
    assert event["original_timestamp"] == call.timestamp
    assert abs(event["time"] - call.timestamp) < timedelta(seconds=5)
    held = event["traits" if call.kind == "identify" else "properties"]
    assert msgspec.json.decode(held) == call.values
    assert event["activity"] == (call.kind != "identify")


def test_epoch_is_that_of_the_first_run(database: Database) -> None:
    first = datetime(2025, 9, 25, 12, 25, 27, 999_999, tzinfo=UTC)
    with database.transaction(Role.WORKER) as tx:
        assert epoch_of(tx, now=first) == first.replace(microsecond=0)
    with database.transaction(Role.WORKER) as tx:
        assert epoch_of(tx, now=first + timedelta(days=9)) == first.replace(microsecond=0)
        assert epoch_of(tx, "other", now=first + timedelta(days=9)) > first


def few_calls() -> list[Call]:
    return plan(clock.now())[:250]


def test_unknown_key_is_said_at_once(database: Database, collector: str) -> None:
    began = time.monotonic()
    with pytest.raises(HorizonError, match="401: No source has this key"):
        send(few_calls(), collector, "wrong")
    assert time.monotonic() - began < 5
    assert rows(database, "SELECT FROM events") == []


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """One try more and no wait, where the client would wait seconds."""
    monkeypatch.setattr(simulator, "RETRIES", 1)


@pytest.mark.usefixtures("impatient")
def test_nobody_listens(free_port: Callable[[], int]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(HorizonError, match=r"no answer.*horizon up") as caught:
        send(few_calls(), url, "secret-key")
    assert "secret-key" not in str(caught.value)


@pytest.mark.usefixtures("impatient")
def test_failing_server_is_given_up_after_the_first_batch(
    answering: Answering,
) -> None:
    url, asked = answering(500, b"<h1>broken</h1>")
    with pytest.raises(HorizonError, match="500: <h1>broken"):
        send(few_calls(), url, "key")
    assert len(asked) <= 4  # two tries of a batch, and at most one batch that was on its way


def test_terminal_stays_quiet_and_proxies_are_passed_by(
    answering: Answering,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    url, asked = answering(200, b'{"success":true}')
    assert send(few_calls(), url, "key").events == 250
    assert asked == ["/v1/batch"] * 3
    refusing, _ = answering(400, b'{"code":"bad","message":"no"}')
    with pytest.raises(HorizonError, match="400: no"):
        send(few_calls(), refusing, "key")
    assert capfd.readouterr() == ("", "")
    assert not logging.getLogger("segment").disabled
