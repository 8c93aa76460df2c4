"""``python -m bench.ship_bare LOG URL INDEX``: ready bulk bodies over as many connections as the
shipper has. Made first; it waits for a line on its standard input before it sends."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from horizon.cli.output import calm_memory
from horizon.observe.shipper import bulk
from horizon.observe.shipper.batch import make_batch
from horizon.observe.shipper.client import Client
from horizon.observe.shipper.files import LogFile
from horizon.observe.shipper.position import Place
from horizon.observe.shipper.reader import CHUNK_BYTES
from horizon.observe.shipper.run import CONNECTIONS
from horizon.settings import Settings


def bodies(log: Path) -> list[bytes]:
    """The requests that the shipper would make of the log."""
    place = Place(key="626172652020", inode=0, head="")
    file = LogFile(log, -1, 0, 0, 0.0, final=False)
    content, offset, made = log.read_bytes(), 0, []
    while offset < len(content):
        end = content.rfind(b"\n", offset, offset + CHUNK_BYTES) + 1
        made.append(b"".join(make_batch(place, file, offset, content[offset:end]).items))
        offset = end
    return made


def main() -> None:
    log, url, index = sys.argv[1:]
    ready = bodies(Path(log))
    calm_memory()
    print("ready", flush=True)
    sys.stdin.readline()
    threads = [
        threading.Thread(target=_send, args=(Client(Settings(ES_URL=url)), index, ready[n::2]))
        for n in range(CONNECTIONS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _send(client: Client, index: str, ready: list[bytes]) -> None:
    for body in ready:
        answer = client.ask("POST", f"/{index}/{bulk.REQUEST}", body)
        assert answer.body.startswith(b'{"errors":false'), answer.body[:200]


if __name__ == "__main__":
    main()
