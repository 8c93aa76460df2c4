"""HTTP by hand, byte by byte: what no well-behaved client would send."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Mapping
from types import TracebackType

from tests.servers.collector import Answer


class Closed(Exception):  # noqa: N818 - an outcome
    """The server closed the connection instead of an answer."""


def request(
    body: bytes | object = b"",
    key: str = "",
    path: str = "/v1/batch",
    method: str = "POST",
    headers: Mapping[str, str | bytes] | None = None,
) -> bytes:
    """A request as bytes; ``headers`` win, and a value of "" takes one away."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named: dict[str, str | bytes] = {"Host": "x", "Content-Length": str(len(content))}
    if key:
        named["Authorization"] = "Basic " + base64.b64encode(f"{key}:".encode()).decode()
    named.update(headers or {})
    lines = [f"{method} {path} HTTP/1.1".encode("utf-8", "surrogateescape")]
    for name, value in named.items():
        if value:
            text = value if isinstance(value, bytes) else value.encode()
            lines.append(name.encode() + b": " + text)
    return b"\r\n".join([*lines, b"", content])


class Wire:
    """One connection; answers come in the order of the requests."""

    def __init__(self, port: int, timeout_s: float = 20) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
        self._held = b""

    def __enter__(self) -> Wire:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def ask(self, data: bytes) -> Answer:
        self.send(data)
        return self.answer()

    def answer(self) -> Answer:
        """Raises Closed; passes over 100 Continue."""
        found = self.head()
        if found.status == 100:
            return self.answer()
        return found._replace(body=self._exactly(int(found.headers.get("content-length", 0))))

    def head(self) -> Answer:
        """An answer without its body. Raises Closed."""
        first, *lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        named = (line.partition(": ") for line in lines if line)
        return Answer(
            int(first.split(" ")[1]), {name.lower(): value for name, _, value in named}, b""
        )

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._held:
            self._more()
        found, _, self._held = self._held.partition(mark)
        return found

    def _exactly(self, size: int) -> bytes:
        while len(self._held) < size:
            self._more()
        found, self._held = self._held[:size], self._held[size:]
        return found

    def _more(self) -> None:
        try:
            data = self._socket.recv(65_536)
        except ConnectionError as exc:
            raise Closed from exc
        if not data:
            raise Closed
        self._held += data
