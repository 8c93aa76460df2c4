"""A server's replies (RFC 5321, 4.2), read off a socket within a deadline."""

from __future__ import annotations

import socket
import time

import msgspec

LONGEST_REPLY_BYTES = 65_536


class BrokenConnection(OSError):  # noqa: N818 - it is what happened
    """The connection ended, or what came over it is no SMTP."""


class Reply(msgspec.Struct, frozen=True):
    code: int
    text: str

    @property
    def ok(self) -> bool:
        return self.code // 100 == 2

    def __str__(self) -> str:
        return f"{self.code} {self.text}"


class ReplyReader:
    """Reads whole replies; a server that sends a byte now and then has no more time than others."""

    def __init__(self, sock: socket.socket, timeout_s: float) -> None:
        self._socket = sock
        self._timeout_s = timeout_s
        self._lines: list[bytes] = []
        self._rest = b""

    def read(self) -> Reply:
        """Raises BrokenConnection, and TimeoutError."""
        said: list[bytes] = []
        deadline = 0.0
        while True:
            if not self._lines:
                deadline = deadline or time.monotonic() + self._timeout_s
                self._receive(deadline)
                continue
            line = self._lines.pop(0)
            said.append(line[4:])
            if line[3:4] != b"-":
                return Reply(_code(line), b" ".join(said).decode(errors="replace"))
            if sum(map(len, said)) > LONGEST_REPLY_BYTES:
                raise BrokenConnection("the server's reply does not end")

    def _receive(self, deadline: float) -> None:
        self._socket.settimeout(max(0.001, deadline - time.monotonic()))
        received = self._socket.recv(8192)
        if not received:
            raise BrokenConnection("the server closed the connection")
        *lines, self._rest = (self._rest + received).split(b"\r\n")
        self._lines = lines
        if len(self._rest) > LONGEST_REPLY_BYTES:
            raise BrokenConnection("the server's reply does not end")


def _code(line: bytes) -> int:
    if len(line) < 3 or not line[:3].isdigit() or not 200 <= int(line[:3]) <= 599:
        raise BrokenConnection("what the server says is no SMTP")
    return int(line[:3])
