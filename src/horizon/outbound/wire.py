"""One connection under one deadline: a server that sends a byte a second ends with it as well."""

from __future__ import annotations

import io
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from queue import Empty, SimpleQueue

from horizon.errors import OutboundError, UntrustedServerError
from horizon.outbound.rules import Address, AllowList, Target

Resolve = Callable[[str, int], Sequence[str]]


class Deadline:
    """A moment that everything of one request shares; a timeout of each read would begin anew."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._at = time.monotonic() + seconds

    def left_s(self) -> float:
        """Raises TimeoutError where nothing is left."""
        left = self._at - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"no answer within {self.seconds:g} s")
        return left


class Wire:
    """A socket as http.client wants one. Its ``close`` is for http.client, which calls it before
    the body is read; ``hang_up`` closes."""

    def __init__(self, sock: socket.socket, idle_since: float = 0.0) -> None:
        self._socket = sock
        self.idle_since = idle_since
        self.begun = False
        self.deadline = Deadline(0)
        self.bytes_left = 0

    def begin(self, deadline: Deadline, most_bytes: int) -> None:
        self.begun = False
        self.deadline, self.bytes_left = deadline, most_bytes

    def sendall(self, data: bytes) -> None:
        """As a socket's, but TLS sockets count their timeout anew for each record."""
        rest = memoryview(data)
        while rest:
            self._socket.settimeout(self.deadline.left_s())
            self.begun = True
            rest = rest[self._socket.send(rest) :]

    def receive_into(self, buffer: memoryview) -> int:
        if self.bytes_left <= 0:
            raise OSError("the answer is too large")
        self._socket.settimeout(self.deadline.left_s())
        count = self._socket.recv_into(buffer)
        self.bytes_left -= count
        return count

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self))

    def quiet(self) -> bool:
        """Whether nothing waits to be read: a connection that the server closed is readable."""
        try:
            return not select.select([self._socket], [], [], 0)[0]
        except (OSError, ValueError):
            return False

    def close(self) -> None:
        pass

    def hang_up(self) -> None:
        self._socket.close()


class _Reader(io.RawIOBase):
    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        return self._wire.receive_into(memoryview(buffer))


def resolve_name(host: str, port: int) -> list[str]:
    """All addresses of a name, as the system has them. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def dial(
    target: Target,
    allow: AllowList,
    resolve: Resolve,
    context: ssl.SSLContext,
    deadline: Deadline,
) -> Wire:
    """Resolve once, check every address, connect to one of those. Raises OutboundError."""
    addresses = find_addresses(target, resolve, deadline)
    allow.check(target, addresses)
    sock = _connect(target, addresses, deadline)
    if target.scheme == "http":
        return Wire(sock)
    try:
        sock.settimeout(deadline.left_s())
        return Wire(context.wrap_socket(sock, server_hostname=target.host))
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError) as exc:
        sock.close()
        raise OutboundError(f"{target.host} hung up while TLS began") from exc
    except ssl.SSLError as exc:
        sock.close()
        raise UntrustedServerError(
            f"{target.host} cannot be trusted ({_reason(exc)}): it needs a certificate for this "
            "name from an authority that this machine knows."
        ) from exc
    except OSError as exc:
        sock.close()
        raise OutboundError(f"{target.host} began no TLS ({exc})") from exc


def _reason(exc: ssl.SSLError) -> str:
    return getattr(exc, "verify_message", "") or exc.reason or "no TLS"


def find_addresses(target: Target, resolve: Resolve, deadline: Deadline) -> list[Address]:
    """Raises OutboundError where there are none."""
    try:
        return [ip_address(target.host)]
    except ValueError:
        pass
    try:
        texts = _within(deadline, lambda: resolve(target.host, target.port))
        addresses = [ip_address(text) for text in texts]
    except (OSError, ValueError) as exc:
        raise OutboundError(f"{target.host} has no address ({exc})") from exc
    if not addresses:
        raise OutboundError(f"{target.host} has no address")
    return addresses


def _within(deadline: Deadline, ask: Callable[[], Sequence[str]]) -> Sequence[str]:
    """The system's resolver knows no timeout, so it is asked in a thread that may stay."""
    answers: SimpleQueue[Sequence[str] | Exception] = SimpleQueue()

    def run() -> None:
        try:
            answers.put(ask())
        except (OSError, ValueError) as exc:
            answers.put(exc)

    threading.Thread(target=run, name="resolver", daemon=True).start()
    try:
        answer = answers.get(timeout=deadline.left_s())
    except Empty as exc:
        raise TimeoutError("the name service does not answer") from exc
    if isinstance(answer, Exception):
        raise answer
    return answer


def _connect(target: Target, addresses: Sequence[Address], deadline: Deadline) -> socket.socket:
    """Try one address after the other, each with its share of the time that is left."""
    last: OSError | None = None
    for number, address in enumerate(addresses):
        try:
            share_s = deadline.left_s() / (len(addresses) - number)
            # A literal address: create_connection asks no name service for it.
            sock = socket.create_connection((str(address), target.port), share_s)
        except OSError as exc:
            last = exc
        else:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock
    raise OutboundError(f"{target.host} cannot be reached ({last})") from last
