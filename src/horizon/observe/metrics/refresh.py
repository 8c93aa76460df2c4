"""Figures that cost something: never older than they need be, never dearer than they may be."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import psycopg

from horizon import clock
from horizon.errors import HorizonError
from horizon.observe.metrics.figures import Figure, read_figures
from horizon.observe.metrics.gauges import Gauge, Sample
from horizon.postgres.database import Database, Role, closing_connection

SHARE: Final = 0.02  # of one core at most: what took 1 s is read again 50 s later
OPTIONS: Final = "-c default_transaction_read_only=on -c max_parallel_workers_per_gather=0"

AGE = Gauge(
    "horizon_figures_age_seconds", "How old the figures are that cost something, by group.",
    ("group",), "seconds",
)  # fmt: skip
TOOK = Gauge(
    "horizon_figures_duration_seconds", "How long reading a group of figures took last.",
    ("group",), "seconds",
)  # fmt: skip


@dataclass(frozen=True)
class Tables:
    """Reads figures from the database. Raises HorizonError where it is away, psycopg.Error."""

    database: Database
    figures: Sequence[Figure]
    timeout_s: float

    def __call__(self) -> list[Sample]:
        options = f"{OPTIONS} -c statement_timeout={int(self.timeout_s * 1000)}"
        with closing_connection(self.database.connect(Role.READER, options=options)) as tx:
            return read_figures(tx, self.figures, clock.now())


class Group:
    """Figures that are read together, when somebody asks, in a thread of their own."""

    def __init__(self, name: str, read: Callable[[], Sequence[Sample]], *, every_s: float) -> None:
        self._name = name
        self._figures = read
        self._every_s = every_s
        self._lock = threading.Lock()
        self._idle = threading.Event()
        self._idle.set()
        self._next_s = 0.0
        self._read_s: float | None = None  # when
        self.up = False  # whether what is asked was there the last time
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
            found = self._figures()
            self.up = True
            self._keep(found, began_s)
        except HorizonError:
            self.up = False
            with self._lock:
                self._read_s = None
        except psycopg.Error:
            self.up = True  # too slow, or cut off: the age of what there is tells that
        finally:
            self._took_s = time.monotonic() - began_s
            pause_s = max(self._every_s, self._took_s * (1 / SHARE - 1))
            self._next_s = time.monotonic() + pause_s
            self._idle.set()

    def _keep(self, found: Sequence[Sample], began_s: float) -> None:
        with self._lock:
            self._read_s = began_s
            # What was there and is no more is 0, so that a graph falls and does not break off.
            zeros = dict.fromkeys(self._samples, 0.0)
            self._samples = {**zeros, **{(one.gauge, one.labels): one.value for one in found}}
