"""A proxy before the collector: it answers by a script first, then hands on, and notes both."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple

from horizon.serving.http import Reply

_HOP = {"connection", "keep-alive", "transfer-encoding", "host", "content-length"}


class Noted(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]  # names in lower case
    body: bytes
    status: int
    at_s: float


class Relay:
    """``first`` are the answers to the first POSTs; what comes after goes to the collector."""

    def __init__(self, collector_port: int, first: Iterable[Reply] = ()) -> None:
        self.requests: list[Noted] = []
        self._collector_port = collector_port
        self._first = list(first)
        self._lock = threading.Lock()

    def __enter__(self) -> Relay:
        relay = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                relay._answer(self)

            do_GET = do_OPTIONS = do_POST  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, asked: BaseHTTPRequestHandler) -> None:
        at_s = time.monotonic()
        headers = {name.lower(): value for name, value in asked.headers.items()}
        body = asked.rfile.read(int(headers.get("content-length", 0)))
        with self._lock:
            scripted = self._first.pop(0) if self._first and asked.command == "POST" else None
        reply = scripted or self._ask(asked.command, asked.path, headers, body)
        self.requests.append(Noted(asked.command, asked.path, headers, body, reply.status, at_s))
        asked.send_response(reply.status)
        for name, value in reply.headers.items():
            asked.send_header(name, value)
        asked.send_header("content-length", str(len(reply.body)))
        asked.end_headers()
        asked.wfile.write(reply.body)

    def _ask(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self._collector_port, timeout=20)
        try:
            kept = {name: value for name, value in headers.items() if name not in _HOP}
            connection.request(method, path, body, kept)
            answer = connection.getresponse()
            named = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(
                answer.status, answer.read(),
                {name: value for name, value in named.items() if name not in _HOP},
            )  # fmt: skip
        finally:
            connection.close()
