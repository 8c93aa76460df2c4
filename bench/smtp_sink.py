"""A mail server that answers 250 and keeps nothing but a count, in a process of its own."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from typing import cast

import uvloop

_EHLO = b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n"


class Session(asyncio.Protocol):
    """Finds the ends of lines and of contents; never looks into a mail."""

    messages = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._rest = b""
        self._in_content = False
        self._transport.write(b"220 sink\r\n")

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        answers: list[bytes] = []
        start = 0
        while True:
            mark = b"\r\n.\r\n" if self._in_content else b"\r\n"
            end = data.find(mark, start)
            if end < 0:
                break
            answers.append(self._answer(data[start : start + 4]))
            start = end + len(mark)
        self._rest = data[start:]
        if answers:
            self._transport.write(b"".join(answers))

    def _answer(self, verb: bytes) -> bytes:
        if self._in_content:
            self._in_content = False
            Session.messages += 1
            if Session.messages == 1:
                print(time.time(), flush=True)
            return b"250 2.0.0 Ok: queued\r\n"
        if verb == b"DATA":
            self._in_content = True
            return b"354 End data with <CR><LF>.<CR><LF>\r\n"
        return _EHLO if verb in (b"EHLO", b"ehlo") else b"250 2.1.0 Ok\r\n"


async def main() -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    server = await loop.create_server(Session, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await stopped.wait()
    server.close()
    print(Session.messages, flush=True)


if __name__ == "__main__":
    uvloop.run(main())
    sys.exit(0)
