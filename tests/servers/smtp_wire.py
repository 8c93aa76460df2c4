"""Bytes of one SMTP connection, from the server's side."""

from __future__ import annotations

import asyncio
import ssl


class ConnectionOver(Exception):  # noqa: N818 - it is no error
    """The peer left, or the script says that the connection ends here."""


class Wire:
    """Lines in, answers out. Answers to a pipelined group leave together."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._in, self._out = bytearray(), bytearray()

    @property
    def waiting(self) -> bool:
        return bool(self._in)

    def say(self, answer: str) -> None:
        self._out += answer.encode() + b"\r\n"

    async def line(self) -> bytes:
        while (end := self._in.find(b"\r\n")) < 0:
            await self._more()
        return self._take(end + 2)[:-2]

    async def content(self) -> bytes:
        """What stands before the final dot, with the doubled dots undone."""
        seen = 0
        while not self._in.startswith(b".\r\n"):
            end = self._in.find(b"\r\n.\r\n", max(0, seen - 4))
            if end >= 0:
                stuffed = self._take(end + 5)[:-3]
                return (b"\r\n" + stuffed).replace(b"\r\n..", b"\r\n.")[2:]
            seen = len(self._in)
            await self._more()
        self._take(3)
        return b""

    async def wait_for_bytes(self, count: int) -> None:
        while len(self._in) < count:
            await self._more()

    async def start_tls(self, context: ssl.SSLContext) -> None:
        self._in.clear()  # what came before the handshake is not from the peer we shall trust
        await self.flush()
        await self._writer.start_tls(context)

    async def swallow(self) -> None:
        """Read and never answer, until the peer leaves."""
        while True:
            self._in.clear()
            await self._more()

    async def sip(self, seconds: float) -> None:
        """Read a byte now and then: what the peer still sends piles up on its way."""
        while await self._reader.read(1):
            await asyncio.sleep(seconds)
        raise ConnectionOver

    async def drip(self, answer: str, seconds: float) -> None:
        """Answer a byte now and then."""
        await self.flush()
        for byte in answer.encode() + b"\r\n":
            self._writer.write(bytes([byte]))
            await asyncio.sleep(seconds)

    async def flush(self) -> None:
        if self._out:
            self._writer.write(bytes(self._out))
            self._out.clear()
            await self._writer.drain()

    async def _more(self) -> None:
        await self.flush()
        chunk = await self._reader.read(262_144)
        if not chunk:
            raise ConnectionOver
        self._in += chunk

    def _take(self, count: int) -> bytes:
        taken = bytes(self._in[:count])
        del self._in[:count]
        return taken
