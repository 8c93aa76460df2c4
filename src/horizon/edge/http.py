"""HTTP as the edge speaks it over ASGI: a request read within limits, a reply, a refusal."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

READ_TIMEOUT_S = 30.0
READING_BYTES = 64_000_000  # of all bodies that are still coming in: slow clients hold no more
DRAINED_BYTES = 8_000_000  # of a body that is too large: who writes it reads our answer after it
JSON = {"content-type": "application/json"}


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class Refusal(Exception):  # noqa: N818 - an answer, not a failure
    """A whole request is refused; ``message`` says what to do about it."""

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})

    def reply(self) -> Reply:
        # Every error body carries both: an SDK raises KeyError without, and retries even a 400.
        return json_reply(self.status, {"code": self.code, "message": self.message}, self.headers)


def json_reply(status: int, value: object, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(status, msgspec.json.encode(value), {**JSON, **(headers or {})})


def busy() -> Refusal:
    return Refusal(
        429, "busy", "More arrives than can be written: send it again later.", {"retry-after": "1"}
    )


def unavailable() -> Refusal:
    return Refusal(
        503, "unavailable", "Nothing can be written just now: send it again.", {"retry-after": "2"}
    )


def wrong_link_method() -> Reply:
    return json_reply(
        405, {"code": "wrong_method", "message": "Open the link, or POST to it."},
        {"allow": "GET, HEAD, POST"},
    )  # fmt: skip


def too_large(limit: int) -> Refusal:
    return Refusal(400, "request_too_large", f"The body has more than {limit} bytes: send less.")


class Reading:
    """How many bytes of bodies are held that are still coming in."""

    def __init__(self) -> None:
        self.held_bytes = 0


class Request:
    """One request; header names are lower-case."""

    def __init__(self, scope: Scope, receive: Receive, reading: Reading | None = None) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query: bytes = scope.get("query_string", b"")
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self._receive = receive
        self._reading = reading or Reading()

    async def read(self, limit: int) -> bytes:
        """The body, gzip unpacked; at most ``limit`` bytes before and after. Raises Refusal."""
        encoding = self.headers.get(b"content-encoding", b"").strip().lower()
        if encoding not in (b"", b"identity", b"gzip"):
            raise Refusal(400, "unsupported_encoding", "Send the body plain or as gzip.")
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                body = await self._read_raw(limit)
        except TimeoutError as exc:
            raise Refusal(
                408, "too_slow", f"The body took more than {READ_TIMEOUT_S:.0f} s: send it again."
            ) from exc
        return _unpack(body, limit) if encoding == b"gzip" else body

    async def _read_raw(self, limit: int) -> bytes:
        announced = self.headers.get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > limit:
            await self._drain(int(announced))
            raise too_large(limit)
        parts: list[bytes] = []
        size = 0
        try:
            while True:
                part, more = await self._read_part()
                parts.append(part)
                size += len(part)
                self._reading.held_bytes += len(part)
                if size > limit:
                    raise too_large(limit)
                if not more:
                    return b"".join(parts)
                if self._reading.held_bytes > READING_BYTES:
                    raise busy()
        finally:
            self._reading.held_bytes -= size

    async def _read_part(self) -> tuple[bytes, bool]:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise Refusal(
                400, "cut_off", "The connection closed before the body's end: send it again."
            )
        return message.get("body", b""), message.get("more_body", False)

    async def _drain(self, announced: int) -> None:
        """Let a client write what it announced: else it meets a broken pipe, and never our answer.

        Not one that waits to be asked for the body, nor where that would take long.
        """
        more = announced <= DRAINED_BYTES and b"expect" not in self.headers
        while more:
            _, more = await self._read_part()


def _unpack(body: bytes, limit: int) -> bytes:
    """Unpack one gzip member without ever holding more than ``limit`` bytes of it."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        plain = unpacker.decompress(body, limit + 1)
    except zlib.error as exc:
        raise Refusal(400, "bad_gzip", "The body is not gzip: leave Content-Encoding out.") from exc
    if len(plain) > limit:
        raise too_large(limit)
    if not unpacker.eof or unpacker.unused_data:
        raise Refusal(400, "bad_gzip", "The body is not one whole gzip file: send it again.")
    return plain


async def send_reply(send: Send, reply: Reply, *, with_body: bool = True) -> None:
    headers = [(name.encode(), value.encode()) for name, value in reply.headers.items()]
    headers.append((b"content-length", b"%d" % len(reply.body)))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body if with_body else b""})
