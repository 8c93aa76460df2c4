"""A receiver of batches that answers at once, or never: ``python -m bench.forward_sink [--hang]``.

Prints its port, then the count of messages each time it is sent a line.
"""

from __future__ import annotations

import asyncio
import sys

import uvloop

_ANSWER = b'HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{"success":true}'
_count = 0


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    global _count
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            body = await reader.readexactly(length)
            _count += body.count(b'"messageId"')
            if "--hang" in sys.argv:
                await asyncio.sleep(3600)
            writer.write(_ANSWER)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(_serve, "127.0.0.1", 0, limit=1 << 20)
    print(server.sockets[0].getsockname()[1], flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        print(_count, flush=True)


if __name__ == "__main__":
    uvloop.run(main())
