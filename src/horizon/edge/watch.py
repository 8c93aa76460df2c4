"""What the collector counts of itself. A request costs it less than a microsecond."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from typing import Final

from horizon.counters import Counters, NullCounters
from horizon.counters import families as f

_SETTINGS: Final = "/v1/projects/"

# By the first letters of an address: a label for each address would be without end.
ROUTES: Final = {
    "/v1": "events", "/u/": "unsubscribe", "/p/": "preferences", "/y/": "confirm", "/c/": "click",
    "/o/": "open", "/he": "health", "/re": "health", "/an": "bundle", "settings": "settings",
}  # fmt: skip
WRITTEN_AFTER_S: Final = 0.2  # so much of it a kill may lose; what commits count is written at once

_BOUNDS: Final = f.REQUEST_SECONDS.buckets


class Watch:
    """``request`` belongs to the event loop, ``committed`` to the writer's thread."""

    def __init__(self, counters: Counters | None = None) -> None:
        self._counters = counters or NullCounters()
        # By route and status: how many took how long (a bucket each), and seconds in all.
        self._cells: dict[tuple[str, int], list[float]] = {}
        self._waiting: asyncio.TimerHandle | None = None

    def request(self, path: str, status: int, seconds: float) -> None:
        start = "settings" if path.startswith(_SETTINGS) else path[:3]
        cell = self._cells.get((start, status)) or self._cell(start, status)
        cell[bisect_left(_BOUNDS, seconds)] += 1
        cell[-1] += seconds
        if self._waiting is None:
            loop = asyncio.get_running_loop()
            self._waiting = loop.call_later(WRITTEN_AFTER_S, self.write)

    def _cell(self, start: str, status: int) -> list[float]:
        return self._cells.setdefault(
            (start if start in ROUTES else "", status), [0.0] * f.REQUEST_SECONDS.slots
        )

    def write(self) -> None:
        """Bring the requests up to now into the counters."""
        self._waiting = None
        for (start, status), cell in self._cells.items():
            route = ROUTES.get(start, "other")
            *buckets, seconds = cell
            cell[:] = [0.0] * len(cell)
            self._counters.add(f.REQUESTS, sum(buckets), (route, str(status)))
            self._counters.observe_all(f.REQUEST_SECONDS, buckets, seconds, (route,))

    def committed(self, events: int, new: int | None, rejected: int, seconds: float) -> None:
        """One group: ``new`` of its events were not there yet; None: it could not be written."""
        add = self._counters.add
        add(f.COMMITS, 1, ("failed" if new is None else "done",))
        self._counters.observe(f.COMMIT_SECONDS, seconds)
        if new is None:
            add(f.EVENTS, events + rejected, ("failed",))
            return
        self._counters.observe(f.COMMIT_EVENTS, events)
        for result, count in (
            ("accepted", new),
            ("duplicate", events - new),
            ("rejected", rejected),
        ):
            if count:
                add(f.EVENTS, count, (result,))

    def waiting(self, events: int) -> None:
        self._counters.set(f.WAITING_EVENTS, events)
