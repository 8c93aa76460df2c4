"""Domains are asked about beside the sending, which waits for none of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

import psycopg

from horizon.errors import HorizonError
from horizon.pipeline.installation import Installation
from horizon.pipeline.runner import Stage
from horizon.postgres.database import Role

if TYPE_CHECKING:
    from horizon.delivery.channels.smtp.resolver import Resolver

FIRST_LOOK_S = 0.1  # the planner writes its first thousands meanwhile
LOOK_S = 5.0  # a look at 500,000 waiting mails takes 0.3 s
LINGER_S = 3.0  # a short campaign is sent before its domains are asked


@contextmanager
def beside(horizon: Installation, run: UUID, stop: threading.Event) -> Iterator[None]:
    """Raises SettingsError."""
    if not horizon.settings.dns_lookups:
        yield
        return
    from horizon.delivery.channels.smtp.resolver import open_resolver  # dnspython takes 25 ms

    looking = _Lookups(horizon, open_resolver(horizon.settings), run, stop)
    thread = threading.Thread(target=looking.run, name="domains", daemon=True)
    thread.start()
    try:
        yield
    finally:
        looking.end()
        thread.join()


@dataclass
class _Lookups:
    horizon: Installation
    resolver: Resolver
    correlation_id: UUID
    stop: threading.Event
    _sent: threading.Event = field(default_factory=threading.Event)
    _end_at: float = float("inf")

    def run(self) -> None:
        wait_s = FIRST_LOOK_S
        try:
            while self._look() or not self._sent.wait(wait_s):
                wait_s = min(2 * wait_s, LOOK_S)
        except (HorizonError, psycopg.Error):
            pass  # the runner has logged it, and whoever sends meets a database that is away

    def end(self) -> None:
        self._end_at = time.monotonic() + LINGER_S
        self._sent.set()

    def _look(self) -> bool:
        """Whether there may be more to ask about."""
        from horizon.delivery.channels.smtp import domains

        if not self._more():
            return False
        with self.horizon.database.transaction(Role.WORKER) as tx:
            taken = domains.take(tx)
        if taken:
            answers = domains.ask(self.resolver, taken, self._more)
            self.horizon.runner.run(
                Stage("domains", "resolver", partial(domains.run, answers=answers)),
                correlation_id=self.correlation_id,
            )
        return len(taken) == domains.MOST

    def _more(self) -> bool:
        return not self.stop.is_set() and time.monotonic() < self._end_at
