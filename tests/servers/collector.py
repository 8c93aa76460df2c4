"""Horizon's collector, and its profile API, for tests: in a process of its own, or its application alone."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar
from urllib.parse import unquote

import msgspec

import horizon
from horizon import keys
from horizon.edge.server import make_app
from horizon.keys import Keys
from horizon.postgres.database import Database
from horizon.serving.application import Application as Served
from horizon.settings import Settings

T = TypeVar("T")

_SOURCES = str(Path(horizon.__file__).resolve().parents[1])
_END_S = 20.0


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]  # by lower-case name
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Asked:
    """What both have: a way to ask."""

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        raise NotImplementedError

    def post(self, path: str, value: object, key: str = "", **headers: str) -> Answer:
        """POST JSON, or bytes as they are, with the key as the user of HTTP Basic."""
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        if key:
            named["Authorization"] = "Basic " + base64.b64encode(f"{key}:".encode()).decode()
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        return self.ask("POST", path, body, named)


class Application(Asked):
    """The ASGI application on a loop in a thread: a tenth of the time of a process."""

    def __init__(
        self,
        settings: Settings,
        make: Callable[[Settings, Keys, Database], Served] = make_app,
    ) -> None:
        self.settings = settings
        self._make = make
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> Application:
        self._thread.start()
        self._app = self._wait(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._wait(self._app.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> Served:
        database = Database(self.settings.PG_DSN or "")
        app = self._make(self.settings, keys.load(self.settings.home), database)
        await app.start()
        return app

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        return self._wait(self._ask(method, path, body, headers or {}))

    async def _ask(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        named = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        path, _, query = path.partition("?")
        scope = {
            "type": "http", "method": method, "path": unquote(path), "raw_path": path.encode(),
            "query_string": query.encode(), "headers": named,
        }  # fmt: skip
        parts = [body[:1000], body[1000:]]
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

        async def send(message: Any) -> None:
            sent.append(message)

        await self._app(scope, receive, send)
        found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return Answer(sent[0]["status"], found, sent[1]["body"])

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_END_S)


class Collector(Asked):
    """Starts ``python -m horizon.edge``; ``kill`` and leaving the block end it."""

    module = "horizon.edge"

    def __init__(
        self, settings: Settings, port: int | None = None, *, shared: bool = False
    ) -> None:
        self.port = port or self.port_of(settings)
        self.url = f"http://127.0.0.1:{self.port}"
        self.settings = settings
        self._shared = shared

    @staticmethod
    def port_of(settings: Settings) -> int:
        return settings.COLLECTOR_PORT

    def __enter__(self) -> Self:
        more = ["--shared"] if self._shared else []
        self.process = launch(self.settings, self.port, *more, module=self.module)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line == f"ready port={self.port}\n", self.process.communicate()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end(signal.SIGTERM)

    def end(self, number: signal.Signals) -> tuple[int, str, str]:
        """Send the signal; give back exit code, what was printed, and what was complained."""
        if self.process.returncode is None:
            self.process.send_signal(number)
            self._said = self.process.communicate(timeout=_END_S)
        return self.process.returncode, *self._said

    def rss_mb(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_END_S)
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())
        finally:
            connection.close()


class ProfileApi(Collector):
    """Starts ``python -m horizon.api``."""

    module = "horizon.api"

    @staticmethod
    def port_of(settings: Settings) -> int:
        return settings.API_PORT


class Collectors(Asked):
    """As many as ``horizon up`` starts, of one home at one port: the kernel gives each some of the
    connections."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        count = settings.COLLECTOR_PROCESSES
        self.each = [Collector(settings, shared=True) for _ in range(count)]
        self.port = self.each[0].port

    def __enter__(self) -> Collectors:
        for one in self.each:
            one.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        for one in self.each:
            one.end(signal.SIGTERM)

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        return self.each[0].ask(method, path, body, headers)

    def rss_mb(self) -> float:
        """Of the largest of them."""
        return max(one.rss_mb() for one in self.each)


def launch(
    settings: Settings, port: int, *more: str, module: str = "horizon.edge"
) -> subprocess.Popen[str]:
    set_ = {name: str(value) for name, value in msgspec.structs.asdict(settings).items() if value}
    return subprocess.Popen(
        [sys.executable, "-m", module, "--port", str(port), *more],
        env={**os.environ, **set_, "PYTHONPATH": _SOURCES},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
