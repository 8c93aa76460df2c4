"""A web server on loopback that records what it is asked and answers by a script of bytes."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

Say = Callable[[socket.socket], None]


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]  # names in lower case
    body: bytes


def answer(status: int = 204, headers: dict[str, str] | None = None, body: bytes = b"") -> bytes:
    lines = [f"HTTP/1.1 {status} Because", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class HttpRecorder:
    """Each request takes the next of ``answers``: bytes, or a function that talks to the socket and
    after which the connection ends. When they are used up the answer is 204."""

    def __init__(
        self, answers: Iterable[bytes | Say] = (), tls: tuple[Path, Path] | None = None
    ) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self.stopped = threading.Event()
        self._answers = list(answers)
        self._tls = tls
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()

    def __enter__(self) -> HttpRecorder:
        recorder = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError, ssl.SSLError):
                    recorder._serve(self.request)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = False
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stopped.set()
        self._server.shutdown()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self._server.server_close()  # waits for the handlers
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.port}"

    def _serve(self, connection: socket.socket) -> None:
        self.connections += 1
        if self._tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self._tls)
            connection = context.wrap_socket(connection, server_side=True)
        with self._lock:
            self._open.add(connection)
        try:
            with connection.makefile("rb") as stream:
                while self._converse(connection, stream):
                    pass
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()

    def _next(self, request: Request) -> bytes | Say:
        return self._answers.pop(0) if self._answers else answer()

    def _converse(self, connection: socket.socket, stream: object) -> bool:
        request = _read(stream)
        if request is None:
            return False
        with self._lock:
            self.requests.append(request)
            said = self._next(request)
        if isinstance(said, bytes):
            connection.sendall(said)
            return True
        said(connection)
        return False


def _read(stream: object) -> Request | None:
    line = stream.readline().decode()  # type: ignore[attr-defined]
    if not line:
        return None
    method, path, _ = line.split()
    headers = {}
    while (line := stream.readline().decode().strip()) != "":  # type: ignore[attr-defined]
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body = stream.read(int(headers.get("content-length", 0)))  # type: ignore[attr-defined]
    return Request(method, path, headers, body)
