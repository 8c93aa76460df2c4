"""Asks other servers: one request, one answer, within one deadline."""

from __future__ import annotations

import functools
import http.client
import re
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from horizon import __version__
from horizon.errors import ForbiddenTargetError, OutboundError
from horizon.outbound.rules import AllowList, Target, read_target
from horizon.outbound.wire import (
    Deadline,
    Resolve,
    Wire,
    dial,
    find_addresses,
    resolve_name,
)

TIMEOUT_S = 15.0
MOST_BYTES = 1_000_000
MOST_HEADER_BYTES = 65_536
# Shorter than servers keep a silent connection (gunicorn 2 s, Node.js 5 s): a request that meets
# its closing is one of which nobody knows whether it was heard.
REUSED_WITHIN_S = 1.5
MOST_IDLE = 8  # a host

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110 5.6.2
_VALUE = re.compile(r"[\t -~\x80-\xff]*")  # http.client lets folded lines pass: no CR or LF here
_OURS = frozenset({"host", "content-length", "transfer-encoding", "connection", "expect"})


@dataclass(frozen=True, slots=True)
class Answer:
    """``headers`` by their names in lower case. ``cut``: the body is not whole, since it was too
    long, too slow or broke off; the status is the server's word all the same."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    cut: bool = False


class Outbound(Protocol):
    """What another server says to one request. A redirect is an answer like any other.

    Raises OutboundError where there is none: ``begun`` says whether the request may have arrived.
    """

    def get(self, url: str, headers: Mapping[str, str] | None = None) -> Answer: ...

    def post(self, url: str, body: bytes, headers: Mapping[str, str] | None = None) -> Answer: ...

    def close(self) -> None: ...


class NullOutbound:
    """Asks nobody; everything is answered 204."""

    def get(self, url: str, headers: Mapping[str, str] | None = None) -> Answer:  # noqa: ARG002
        read_target(url)
        return Answer(204, {}, b"")

    def post(
        self,
        url: str,
        body: bytes,  # noqa: ARG002
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        return self.get(url, headers)

    def close(self) -> None:
        pass


class HttpOutbound:
    """HTTP/1.1 over sockets of our own. Keeps idle connections a while; threads may share it."""

    def __init__(
        self,
        allow: AllowList | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
        most_bytes: int = MOST_BYTES,
        resolve: Resolve = resolve_name,
    ) -> None:
        self._allow = allow or AllowList()
        self._timeout_s = timeout_s
        self._most_bytes = most_bytes
        self._resolve = resolve
        self._idle: dict[tuple[str, str, int], list[Wire]] = {}

    @functools.cached_property
    def _context(self) -> ssl.SSLContext:
        return ssl.create_default_context()  # reads every authority of the machine: 28 ms

    def check(self, url: str) -> None:
        """Whether it may be asked, without asking. Raises OutboundError."""
        target = read_target(url)
        self._allow.check(target, find_addresses(target, self._resolve, Deadline(self._timeout_s)))

    def get(self, url: str, headers: Mapping[str, str] | None = None) -> Answer:
        return self._ask("GET", url, None, headers or {})

    def post(self, url: str, body: bytes, headers: Mapping[str, str] | None = None) -> Answer:
        return self._ask("POST", url, body, headers or {})

    def close(self) -> None:
        while self._idle:
            for wire in self._idle.popitem()[1]:
                wire.hang_up()

    def _ask(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        target = read_target(url)
        _check_headers(headers)
        deadline = Deadline(self._timeout_s)
        origin = (target.scheme, target.host, target.port)
        wire = self._waiting(origin) or dial(
            target, self._allow, self._resolve, self._context, deadline
        )
        kept = False
        try:
            wire.begin(deadline, self._most_bytes + MOST_HEADER_BYTES)
            answer, kept = _exchange(wire, target, method, body, headers, self._most_bytes)
        finally:
            kept = kept and self._keep(origin, wire)
            if not kept:
                wire.hang_up()
        return answer

    def _waiting(self, origin: tuple[str, str, int]) -> Wire | None:
        idle = self._idle.get(origin, [])
        while idle:
            try:
                wire = idle.pop()
            except IndexError:  # another thread was faster
                return None
            if time.monotonic() - wire.idle_since < REUSED_WITHIN_S and wire.quiet():
                return wire
            wire.hang_up()
        return None

    def _keep(self, origin: tuple[str, str, int], wire: Wire) -> bool:
        wire.idle_since = time.monotonic()
        idle = self._idle.setdefault(origin, [])
        if len(idle) >= MOST_IDLE:
            return False
        idle.append(wire)
        return True


def _check_headers(headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value) or name.lower() in _OURS:
            raise ForbiddenTargetError(
                f"The header {name!r} cannot be sent: take out line breaks and foreign characters."
            )


def _exchange(
    wire: Wire,
    target: Target,
    method: str,
    body: bytes | None,
    headers: Mapping[str, str],
    most_bytes: int,
) -> tuple[Answer, bool]:
    """The answer, and whether the connection can serve another request."""
    connection = http.client.HTTPConnection(target.host, target.port)
    connection.auto_open = 0  # never a connection of its own
    connection.sock = wire
    sent = {"Host": target.host_header, "User-Agent": f"horizon/{__version__}", **headers}
    try:
        connection.request(method, target.path, body, sent)
        response = connection.getresponse()
    except (OSError, http.client.HTTPException) as exc:
        raise OutboundError(
            f"{target.host} did not answer ({_said(exc, wire.deadline.seconds)})", begun=wire.begun
        ) from exc
    if response.status < 200:
        raise OutboundError(f"{target.host} answered {response.status} only", begun=True)
    content, cut = _body(response, most_bytes)
    names = {name.lower(): value for name, value in reversed(response.getheaders())}
    whole = response.isclosed() and not response.will_close
    return Answer(response.status, names, content, cut), whole


def _body(response: http.client.HTTPResponse, most_bytes: int) -> tuple[bytes, bool]:
    try:
        body = response.read(most_bytes + 1)
    except (OSError, http.client.HTTPException):
        return b"", True
    return body[:most_bytes], len(body) > most_bytes or bool(response.length)


def _said(exc: Exception, seconds: float) -> str:
    """In our own words: what http.client quotes came from the server."""
    if isinstance(exc, TimeoutError):
        return f"no answer within {seconds:g} s"
    if isinstance(exc, http.client.RemoteDisconnected | ConnectionError):
        return "the connection broke"
    return "no HTTP" if isinstance(exc, http.client.HTTPException) else str(exc)
