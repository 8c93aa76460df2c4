"""HTTP as the edge speaks it over ASGI: a request read within limits, a reply, a refusal."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Awaitable, Callable, Coroutine, Mapping, MutableMapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import takewhile
from typing import Any

import msgspec

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

READ_TIMEOUT_S = 30.0
READING_BYTES = 96_000_000  # of all bodies of requests that are not answered yet
DRAINED_BYTES = 8_000_000  # of a body that is too large: who writes it reads our answer after it
JSON = {"content-type": "application/json"}


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def header_lines(self) -> list[tuple[bytes, bytes]]:
        """As ASGI has them; made once of a reply that many get."""
        lines = [(name.encode(), value.encode()) for name, value in self.headers.items()]
        return [*lines, (b"content-length", b"%d" % len(self.body))]


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
    """The bodies of requests under way: how many bytes are held, and whose take too long.

    One timer for all of them: ``asyncio.timeout`` took a tenth of a small request.
    """

    def __init__(self) -> None:
        self.held_bytes = 0
        self._begun: dict[asyncio.Task[Any], float] = {}  # the oldest first
        self._late: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def in_time(self, reading: Coroutine[Any, Any, bytes]) -> bytes:
        """Raises Refusal after READ_TIMEOUT_S and up to a tenth more."""
        task = asyncio.current_task()
        assert task is not None
        self._begun[task] = time.monotonic()
        if self._timer is None:
            self._wait()
        try:
            return await reading
        except asyncio.CancelledError as exc:
            if task not in self._late:
                raise
            task.uncancel()
            raise Refusal(
                408, "too_slow", f"The body took more than {READ_TIMEOUT_S:.0f} s: send it again."
            ) from exc
        finally:
            del self._begun[task]
            self._late.discard(task)

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(READ_TIMEOUT_S / 10, self._look)

    def _look(self) -> None:
        begun_s = time.monotonic() - READ_TIMEOUT_S
        for task in takewhile(lambda one: self._begun[one] <= begun_s, self._begun):
            if task not in self._late:
                self._late.add(task)
                task.cancel()
        self._timer = None
        if self._begun:
            self._wait()


class Request:
    """One request; header names are lower-case."""

    def __init__(self, scope: Scope, receive: Receive, reading: Reading | None = None) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.raw_path: bytes = scope.get("raw_path") or b""  # as it came, percent-encoded
        self.query: bytes = scope.get("query_string", b"")
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self._receive = receive
        self._reading = reading or Reading()
        self._held_bytes = 0

    async def read(self, limit: int) -> bytes:
        """The body, gzip unpacked; at most ``limit`` bytes before and after. Raises Refusal."""
        encoding = self.headers.get(b"content-encoding", b"").strip().lower()
        if encoding not in (b"", b"identity", b"gzip"):
            raise Refusal(400, "unsupported_encoding", "Send the body plain or as gzip.")
        try:
            body = await self._reading.in_time(self._read_raw(limit))
            if encoding == b"gzip":
                body = _unpack(body, limit)
                self._hold(len(body))
        except BaseException:
            self.release()
            raise
        return body

    async def skip(self, limit: int) -> None:
        """Let a client write a body that nobody asked for, which is what it does before it reads
        our answer. Raises Refusal."""
        if (
            self.headers.get(b"content-length", b"0") != b"0"
            or b"transfer-encoding" in self.headers
        ):
            await self._reading.in_time(self._read_raw(limit))
            self.release()

    async def _read_raw(self, limit: int) -> bytes:
        announced = self.headers.get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > limit:
            await self._drain(int(announced))
            raise too_large(limit)
        parts: list[bytes] = []
        more = True
        while more:
            part, more = await self._read_part()
            parts.append(part)
            self._hold(len(part))
            if self._held_bytes > limit:
                raise too_large(limit)
        return b"".join(parts)

    def _hold(self, size_bytes: int) -> None:
        """Raises Refusal where all requests together hold too much."""
        self._held_bytes += size_bytes
        self._reading.held_bytes += size_bytes
        if self._reading.held_bytes > READING_BYTES:
            raise busy()

    def release(self) -> None:
        """It is answered: what it held counts no more."""
        self._reading.held_bytes -= self._held_bytes
        self._held_bytes = 0

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
    await send(
        {"type": "http.response.start", "status": reply.status, "headers": reply.header_lines}
    )
    await send({"type": "http.response.body", "body": reply.body if with_body else b""})
