"""Counts requests, by what was asked for and how it ended. One costs less than a microsecond."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from typing import Final

from horizon.counters import Counters, NullCounters
from horizon.counters.families import Family

WRITTEN_AFTER_S: Final = 0.2  # so much of it a kill may lose


class Requests:
    """Belongs to the event loop. ``counted`` by route and status, ``timed`` by route."""

    def __init__(self, counters: Counters | None, counted: Family, timed: Family) -> None:
        self._counters = counters or NullCounters()
        self._counted = counted
        self._timed = timed
        self._bounds = timed.buckets
        # By route and status: how many took how long (a bucket each), and seconds in all.
        self._cells: dict[tuple[str, int], list[float]] = {}
        self._waiting: asyncio.TimerHandle | None = None

    def count(self, route: str, status: int, seconds: float) -> None:
        cell = self._cells.get((route, status)) or self._cells.setdefault(
            (route, status), [0.0] * self._timed.slots
        )
        cell[bisect_left(self._bounds, seconds)] += 1
        cell[-1] += seconds
        if self._waiting is None:
            loop = asyncio.get_running_loop()
            self._waiting = loop.call_later(WRITTEN_AFTER_S, self.write)

    def write(self) -> None:
        """Bring the requests up to now into the counters."""
        self._waiting = None
        for (route, status), cell in self._cells.items():
            *buckets, seconds = cell
            cell[:] = [0.0] * len(cell)
            self._counters.add(self._counted, sum(buckets), (route, str(status)))
            self._counters.observe_all(self._timed, buckets, seconds, (route,))
