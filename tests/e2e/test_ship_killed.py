"""However often shipper and server die, the index holds exactly the log's lines."""

from __future__ import annotations

import base64
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from horizon.log import LineFile
from horizon.observe.shipper import rules
from tests.search_server import SearchServer

pytestmark = pytest.mark.slow


class Writer(threading.Thread):
    """Writes lines at an uneven pace, and the log rotates every 200 kB or so."""

    def __init__(self, path: Path, seed: int) -> None:
        super().__init__()
        self.lines = LineFile(path, max_bytes=200_000, keep=1000)
        self.random = random.Random(seed)
        self.done = threading.Event()
        self.written = 0

    def run(self) -> None:
        while not self.done.wait(self.random.expovariate(30)):
            many = self.random.choice((1, 1, 5, 20, 100))
            head = {"message": "message", "stage": "email", "component": "mailer"}
            self.lines.many(
                head,
                ({"count": self.written + i, "user_id": "ünï@example.com"} for i in range(many)),
            )
            self.written += many


def expected(path: Path) -> dict[str, dict[str, Any]]:
    """Each line of the log's files as its document, by an id that is put together here."""
    found = {}
    for file in path.parent.glob(f"{path.name}*"):
        content = file.read_bytes()
        key = rules.file_key(file.stat().st_ino, content.split(b"\n")[0])
        offset = 0
        for line in content.split(b"\n")[:-1]:
            fields = json.loads(line)
            plain = offset.to_bytes(5, "big") + key + crc32(line).to_bytes(4, "big")
            found[base64.urlsafe_b64encode(plain).decode()] = {
                "@timestamp": fields.pop("ts"),
                **fields,
            }
            offset += len(line) + 1
    return found


@contextmanager
def shipping(environment: dict[str, str], *options: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "horizon.cli", "ship", *options], env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("engine", "kills", "server_kills"), [("opensearch", 50, 3), ("elasticsearch", 12, 1)]
)
def test_killed_at_random_moments(
    engine: str, kills: int, server_kills: int, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    server: SearchServer = request.getfixturevalue(engine)
    log = tmp_path / "logs" / "cdp_events.log"
    environment = {
        **os.environ,
        "HORIZON_HOME": str(tmp_path / "home"),
        "LOG_PATH": str(log),
        "ES_URL": server.url,
    }
    chance = random.Random(kills)
    writer = Writer(log, seed=kills)
    writer.start()
    server_dies = set(chance.sample(range(5, kills), server_kills))
    try:
        for number in range(kills):
            with shipping(environment) as process:
                assert process.stdout is not None
                process.stdout.readline()  # it has begun
                time.sleep(chance.uniform(0.0, 0.8))
                if number in server_dies:
                    server.kill()
                    time.sleep(chance.uniform(0.0, 0.5))
                process.send_signal(signal.SIGKILL)
            if not server.alive():
                server.start()
    finally:
        writer.done.set()
        writer.join()
    with shipping(environment, "--once") as process:
        assert process.wait(120) == 0
    documents, lines = server.documents(), expected(log)
    assert len(lines) == writer.written > kills * 10
    assert documents.keys() == lines.keys()
    assert documents == lines
    assert len(list(log.parent.glob("cdp_events.log*"))) > 3, "the log was to be rotated"
    print(
        f"{engine}: {kills} kills of the shipper, {server_kills} of the server, {len(lines)} lines"
    )
