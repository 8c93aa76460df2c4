"""Figures of the database, never older than they need be and never dearer than they may be."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Final

import psycopg

from horizon import clock
from horizon.errors import HorizonError
from horizon.observe.metrics.figures import Figure, read_figures
from horizon.observe.metrics.samples import Gauge, Sample
from horizon.postgres.database import Connection, Database, Role, closing_connection

SHARE: Final = 0.02  # of one core at most: what took 1 s is read again 50 s later
OPTIONS: Final = "-c default_transaction_read_only=on -c max_parallel_workers_per_gather=0"

AGE = Gauge(
    "horizon_figures_age_seconds", "How old the database's figures are, by group.",
    ("group",), "seconds",
)  # fmt: skip
TOOK = Gauge(
    "horizon_figures_duration_seconds", "How long reading a group of figures took last.",
    ("group",), "seconds",
)  # fmt: skip


class Group:
    """Figures that are read together, when somebody asks, in a thread of their own."""

    def __init__(
        self, name: str, figures: Sequence[Figure], database: Database, *,
        every_s: float, timeout_s: float,
    ) -> None:  # fmt: skip
        self._name = name
        self._figures = figures
        self._database = database
        self._every_s = every_s
        self._options = f"{OPTIONS} -c statement_timeout={int(timeout_s * 1000)}"
        self._lock = threading.Lock()
        self._idle = threading.Event()
        self._idle.set()
        self._next_s = 0.0
        self._read_s: float | None = None  # when
        self.up = False  # whether the database answered the last time it was asked
        self._took_s = 0.0
        self._samples: dict[tuple[Gauge, tuple[str, ...]], float] = {}

    def samples(self, wait_s: float) -> list[Sample]:
        """The newest there are; waits so long for newer ones where it is time for them."""
        with self._lock:
            if self._idle.is_set() and time.monotonic() >= self._next_s:
                self._idle.clear()
                threading.Thread(target=self._read, name=self._name, daemon=True).start()
        self._idle.wait(wait_s)
        with self._lock:
            if self._read_s is None:
                return []
            own = [
                Sample(AGE, (self._name,), time.monotonic() - self._read_s),
                Sample(TOOK, (self._name,), self._took_s),
            ]
            return [*own, *(Sample(*key, value) for key, value in self._samples.items())]

    def _read(self) -> None:
        began_s = time.monotonic()
        try:
            with closing_connection(self._connect()) as tx:
                self.up = True
                self._keep(read_figures(tx, self._figures, clock.now()), began_s)
        except HorizonError:
            self.up = False
            with self._lock:
                self._read_s = None
        except psycopg.Error:
            pass  # too slow, or cut off: the age of what there is tells that
        finally:
            self._took_s = time.monotonic() - began_s
            pause_s = max(self._every_s, self._took_s * (1 / SHARE - 1))
            self._next_s = time.monotonic() + pause_s
            self._idle.set()

    def _connect(self) -> Connection:
        return self._database.connect(Role.READER, options=self._options)

    def _keep(self, found: Sequence[Sample], began_s: float) -> None:
        with self._lock:
            self._read_s = began_s
            # What was there and is no more is 0, so that a graph falls and does not break off.
            zeros = dict.fromkeys(self._samples, 0.0)
            self._samples = {**zeros, **{(one.gauge, one.labels): one.value for one in found}}
