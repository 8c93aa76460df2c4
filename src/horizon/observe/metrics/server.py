"""Serves /metrics, /healthz and /readyz."""

from __future__ import annotations

import errno
import json
import signal
import socket
import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from horizon import clock
from horizon.errors import HorizonError, PortInUseError
from horizon.observe.metrics.exposition import WAIT_S, Exposition
from horizon.observe.metrics.place import place_samples
from horizon.observe.metrics.ready import reasons
from horizon.postgres.database import find
from horizon.settings import Settings

PATIENCE_S: Final = 10.0  # with a client that says nothing

Answer = tuple[HTTPStatus, bytes, str]


def run(settings: Settings, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT, from the main thread; port 0 means any free one.

    Prints ``ready port=PORT`` when it listens. Raises PortInUseError, HorizonError.
    """
    server = listen(settings, host, port)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"ready port={server.server_address[1]}", flush=True)
    with server:
        server.serve_forever()


def listen(settings: Settings, host: str, port: int) -> ThreadingHTTPServer:
    """A server that is bound and does not serve yet."""
    exposition = Exposition(settings, find(settings))
    pages = {
        "/metrics": lambda accept: (HTTPStatus.OK, *exposition.text(accept)),
        "/healthz": lambda _: _json(HTTPStatus.OK, {"status": "ok"}),
        "/readyz": lambda _: _ready(settings, exposition),
    }
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    kind = type("Server", (_Server,), {"address_family": family, "pages": pages})
    try:
        server: ThreadingHTTPServer = kind((host, port), _Handler)
    except OSError as exc:
        raise _sentence(exc, host, port) from exc
    return server


def _sentence(exc: OSError, host: str, port: int) -> HorizonError:
    if exc.errno == errno.EADDRINUSE:
        return PortInUseError(
            f"the metrics cannot be served, port {port} is in use: stop the program that listens "
            "there or set METRICS_PORT to a free port."
        )
    return HorizonError(
        f"the metrics cannot be served on {host} port {port} ({exc.strerror}): set METRICS_HOST to "
        "an address of this machine and METRICS_PORT to a port above 1023."
    )


def _ready(settings: Settings, exposition: Exposition) -> Answer:
    samples = [*place_samples(settings), *exposition.quick.samples(WAIT_S)]
    found = reasons(samples, up=exposition.quick.up, cron=settings.PIPELINE_CRON, clock=clock.now())
    status = HTTPStatus.SERVICE_UNAVAILABLE if found else HTTPStatus.OK
    return _json(status, {"status": "not ready" if found else "ready", "reasons": found})


def _json(status: HTTPStatus, value: object) -> Answer:
    return status, json.dumps(value).encode() + b"\n", "application/json"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    pages: dict[str, Callable[[str], Answer]]

    def handle_error(self, *_: object) -> None:
        """Who asked has gone away: nobody is left to be told."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(*_)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = PATIENCE_S

    def do_GET(self) -> None:
        page = self.server.pages.get(self.path.partition("?")[0])
        if page is None:
            told = {"error": "There is /metrics, /healthz and /readyz."}
            self._say(_json(HTTPStatus.NOT_FOUND, told))
        else:
            self._say(page(self.headers.get("Accept", "")))

    def do_HEAD(self) -> None:
        self.do_GET()

    def _say(self, answer: Answer) -> None:
        status, body, kind = answer
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass  # a scrape every few seconds is no news
