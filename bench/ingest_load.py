"""Ready requests of the tracking API, and the program that sends them."""

from __future__ import annotations

import base64
import json
import shutil
import struct
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from horizon import clock
from horizon.errors import HorizonError

BATCH = 100
_LENGTH = struct.Struct("=I")


class Load(NamedTuple):
    """What came of it; times from a request's first byte to its answer's last."""

    requests: int
    good: int
    seconds: float
    p50_s: float
    p99_s: float


def compile_sender(folder: Path) -> Path:
    """Raises HorizonError without a C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise HorizonError("The load comes from a C program: install a compiler named cc.")
    source, program = Path(__file__).with_name("ingest_load.c"), folder / "ingest_load"
    subprocess.run([compiler, "-O2", "-D_GNU_SOURCE", "-o", program, source], check=True)
    return program


def send(
    sender: Path, port: int, connections: int, requests: Path, warm: int, rate: float | None = None
) -> Load:
    """Send a file of requests; the first ``warm`` are not timed. With a rate so many are due each
    second, and times are from then on. Raises HorizonError."""
    paced = [] if rate is None else [str(rate)]
    said = subprocess.run(
        [sender, str(port), str(connections), requests, str(warm), *paced],
        text=True, capture_output=True,
    )  # fmt: skip
    if said.returncode:
        raise HorizonError(f"The load ended early: {said.stderr.strip()}")
    answered, good, *times = said.stdout.split()
    if good != answered:
        raise HorizonError(f"Of {answered} requests {good} were taken: {said.stderr.strip()}")
    return Load(int(answered), int(good), *map(float, times))


def events(count: int) -> Iterator[bytes]:
    """Events of 500 bytes, each of a person of its own and with a message id of its own."""
    run, now = uuid4().hex[:8], clock.now()
    times = [
        (now - timedelta(seconds=second)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        for second in range(3600)
    ]
    for number in range(count):
        yield json.dumps(
            {
                "type": "track", "messageId": str(uuid4()), "userId": f"user-{run}-{number:08d}",
                "event": "Product Viewed", "timestamp": times[number % 3600],
                "properties": {
                    "product_id": f"p-{number % 1000}", "sku": "G-32", "category": "Games",
                    "name": "Monopoly: 3rd Edition", "brand": "Hasbro", "price": 18.99,
                    "quantity": 1, "currency": "USD",
                    "url": "https://www.example.com/product/path",
                    "image_url": "https://www.example.com/product/path.jpg",
                },
                "context": {"library": {"name": "analytics-python", "version": "2.4.0"}},
                "integrations": {},
            },
            separators=(",", ":"),
        ).encode()  # fmt: skip


def write_batches(path: Path, key: str, count: int) -> None:
    sent_at = clock.now().isoformat().replace("+00:00", "Z").encode()
    stream = events(count)
    with path.open("wb") as file:
        for _ in range(count // BATCH):
            batch = b",".join(next(stream) for _ in range(BATCH))
            body = b'{"batch":[' + batch + b'],"sentAt":"' + sent_at + b'"}'
            file.write(_post("/v1/batch", key, body))


def write_singles(path: Path, key: str, count: int) -> None:
    with path.open("wb") as file:
        for event in events(count):
            file.write(_post("/v1/track", key, event))


def _post(path: str, key: str, body: bytes) -> bytes:
    head = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return request("POST", path, key, head, body)


def request(method: str, path: str, key: str, head: str = "", body: bytes = b"") -> bytes:
    """One of a file's, with its length before it."""
    named = base64.b64encode(f"{key}:".encode()).decode()
    text = (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Basic {named}\r\n{head}\r\n"
    ).encode()
    return _LENGTH.pack(len(text) + len(body)) + text + body
