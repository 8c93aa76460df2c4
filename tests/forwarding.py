"""Forwards for tests: added as the command adds them, served in this process or in one of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

import horizon
from horizon import clock
from horizon.forward import book
from horizon.forward.serve import Forwarder
from horizon.pipeline.installation import Installation
from horizon.postgres.database import Role

SOURCES = str(Path(horizon.__file__).resolve().parents[1])
LONG_S = 30.0


def add_forward(horizon: Installation, url: str, key: str = "key", **more: Any) -> str:
    values = {"name": "there", "allow_private": True, **more}
    with horizon.database.transaction(Role.OWNER) as tx:
        return book.add(tx, horizon.keys, book.NewForward(url, key, **values), clock.now())


def standing(horizon: Installation) -> book.Standing:
    with horizon.database.transaction(Role.WORKER) as tx:
        return book.standings(tx, clock.now(), running=True)[0]


def replay(horizon: Installation, from_at: datetime, to_at: datetime) -> None:
    with horizon.database.transaction(Role.OWNER) as tx:
        book.replay(tx, "there", from_at, to_at, clock.now())


@contextmanager
def forwarding(horizon: Installation) -> Iterator[list[str]]:
    """A forwarder at work in this process; gives what it complains of."""
    said: list[str] = []
    stop = threading.Event()
    forwarder = Forwarder(
        horizon.settings, horizon.database, horizon.keys, horizon.log, said.append
    )
    thread = threading.Thread(target=forwarder.serve, args=(stop,))
    thread.start()
    try:
        yield said
    finally:
        stop.set()
        thread.join()


class ForwarderProcess:
    """``python -m horizon.pipeline.forwarder``; a test that fails leaves none behind."""

    def __init__(self, horizon: Installation) -> None:
        set_ = msgspec.structs.asdict(horizon.settings)
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "horizon.pipeline.child",
                str(os.getpid()),
                "horizon.pipeline.forwarder",
            ],
            env={
                **os.environ,
                **{name: str(value) for name, value in set_.items() if value},
                "PYTHONPATH": SOURCES,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid

    def ready(self) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n", self._process.communicate()

    def end(self, number: signal.Signals) -> str:
        self._process.send_signal(number)
        return self._process.communicate(timeout=LONG_S)[1]


def until(what: Callable[[], bool], seconds: float = LONG_S) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come so far"
        time.sleep(0.05)
