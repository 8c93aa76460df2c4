"""The simulator: 200 people of a shop for outdoor things, the same ones for the same epoch.

Their calls are planned by a pure function and sent through the public HTTP API by the unmodified
segment-analytics-python client.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import queue
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from segment.analytics.client import Client
from segment.analytics.request import APIError

from horizon.errors import HorizonError
from horizon.postgres.database import Connection
from horizon.postgres.queries import Queries
from horizon.sources.plan import SEED, Call
from horizon.sources.plan import plan as plan

QUERIES = Queries("horizon.sources")
UPLOAD_SIZE = 100
RETRIES = 3  # after 0, 0.5 and 1 s; the client's own ten would be five minutes of silence
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class SendResult:
    events: int
    users: int


def epoch_of(tx: Connection, name: str = "demo", *, now: datetime, seed: int = SEED) -> datetime:
    """The simulation's epoch: ``now`` in whole seconds at its first run, the same ever after."""
    first = {"name": name, "epoch": now.replace(microsecond=0), "seed": seed}
    tx.execute(QUERIES["keep_simulation"], first)
    row = tx.execute(QUERIES["read_epoch"], {"name": name}).fetchone()
    assert row is not None
    epoch: datetime = row.epoch
    return epoch


def send(calls: Sequence[Call], host: str, write_key: str) -> SendResult:
    """Send the calls to a collector and wait for its answers; raise HorizonError where not all
    were taken. ``host`` is its URL. Of a repeated call the collector counts the first."""
    with _client(host, write_key) as (client, failures):
        for call in calls:
            if failures:
                break
            _enqueue(client, call)
        client.flush()
    if failures:
        raise HorizonError(
            f"{host} did not take the simulator's events ({_said(failures[0])}): start the "
            "collector with `horizon up`, and look at the write key."
        )
    return SendResult(len(calls), len({call.user_id for call in calls}))


@contextlib.contextmanager
def _client(host: str, write_key: str) -> Iterator[tuple[Client, list[Exception]]]:
    failures: list[Exception] = []

    def give_up(error: Exception, _: object) -> None:
        # One batch that fails has been tried long enough: the others would each wait as long.
        failures.append(error)
        with contextlib.suppress(queue.Empty):
            while True:
                client.queue.get_nowait()
                client.queue.task_done()

    with _quiet(logging.getLogger("segment")):
        # No bound on the queue: a full one drops calls, and all of them are in memory anyway.
        client = Client(
            write_key, host=host, on_error=give_up, max_retries=RETRIES, upload_size=UPLOAD_SIZE,
            max_queue_size=0, upload_interval=0.1, max_rate_limit_duration=60,
            proxies=_no_proxy(host),
        )  # fmt: skip
        try:
            yield client, failures
        finally:
            client.join()
            atexit.unregister(client.join)


def _no_proxy(host: str) -> dict[str, str] | None:
    """A proxy that the environment names would look for our loopback on its own machine."""
    return {"http": "", "https": ""} if urlsplit(host).hostname in LOOPBACK else None


@contextlib.contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def _enqueue(client: Client, call: Call) -> None:
    common: dict[str, Any] = {
        "user_id": call.user_id, "message_id": call.message_id, "timestamp": call.timestamp,
        "context": dict(call.context),  # the client writes its own name into it
    }  # fmt: skip
    if call.kind == "identify":
        client.identify(traits=call.values, **common)
    elif call.kind == "page":
        client.page(name=call.name, properties=call.values, **common)
    else:
        client.track(event=call.name, properties=call.values, **common)


def _said(error: Exception) -> str:
    if isinstance(error, APIError):
        return f"it answered {error.status}: {' '.join(str(error.message).split())[:200]}"
    return f"no answer, {type(error).__name__}"
