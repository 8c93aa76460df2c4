"""What the collector counts of itself. A request costs it a third of a microsecond."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import Counter, defaultdict
from typing import Final

from horizon.counters import Counters, NullCounters
from horizon.counters import families as f

# By the first letters of an address: a label for each address would be without end.
ROUTES: Final = {
    "/v1": "events", "/u/": "unsubscribe", "/p/": "preferences", "/y/": "confirm", "/c/": "click",
    "/o/": "open", "/he": "health", "/re": "health",
}  # fmt: skip
WRITTEN_AFTER_S: Final = 0.2  # so much of it a kill may lose; what commits count is written at once

_BOUNDS: Final = f.REQUEST_SECONDS.buckets


class Watch:
    """``request`` belongs to the event loop, ``committed`` to the writer's thread."""

    def __init__(self, counters: Counters | None = None) -> None:
        self._counters = counters or NullCounters()
        self._answered: Counter[tuple[str, int]] = Counter()
        self._took: Counter[tuple[str, int]] = Counter()  # by route and bucket
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._waiting: asyncio.TimerHandle | None = None

    def request(self, path: str, status: int, seconds: float) -> None:
        route = ROUTES.get(path[:3], "other")
        self._answered[route, status] += 1
        self._took[route, bisect_left(_BOUNDS, seconds)] += 1
        self._seconds[route] += seconds
        if self._waiting is None:
            loop = asyncio.get_running_loop()
            self._waiting = loop.call_later(WRITTEN_AFTER_S, self.write)

    def write(self) -> None:
        """Bring the requests up to now into the counters."""
        self._waiting = None
        for (route, status), count in self._answered.items():
            self._counters.add(f.REQUESTS, count, (route, str(status)))
        for (route, bucket), count in self._took.items():
            self._counters.observe_many(f.REQUEST_SECONDS, bucket, count, 0.0, (route,))
        for route, seconds in self._seconds.items():
            self._counters.observe_many(f.REQUEST_SECONDS, 0, 0, seconds, (route,))
        self._answered.clear()
        self._took.clear()
        self._seconds.clear()

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
