"""What the collector counts of itself. A request costs it less than a microsecond."""

from __future__ import annotations

from typing import Final

from horizon.counters import Counters
from horizon.counters import families as f
from horizon.serving.requests import Requests

_SETTINGS: Final = "/v1/projects/"

# By the first letters of an address: a label for each address would be without end.
ROUTES: Final = {
    "/v1": "events", "/u/": "unsubscribe", "/p/": "preferences", "/y/": "confirm", "/c/": "click",
    "/o/": "open", "/he": "health", "/re": "health", "/an": "bundle", "settings": "settings",
}  # fmt: skip


class Watch(Requests):
    """``request`` belongs to the event loop, ``committed`` to the writer's thread."""

    def __init__(self, counters: Counters | None = None) -> None:
        super().__init__(counters, f.REQUESTS, f.REQUEST_SECONDS)

    def request(self, path: str, status: int, seconds: float) -> None:
        start = "settings" if path.startswith(_SETTINGS) else path[:3]
        self.count(ROUTES.get(start, "other"), status, seconds)

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
