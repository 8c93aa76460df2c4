"""How fast a sender may be."""

from __future__ import annotations

import threading
import time


class Pace:
    """Turns at a steady rate, for whoever asks; without a rate everybody's turn is now."""

    def __init__(self, rate: float | None) -> None:
        self.rate = rate
        self._next = time.monotonic()
        self._lock = threading.Lock()

    def reserve(self, turns: int = 1) -> float:
        """Take so many turns; give back in how many seconds the first one is."""
        if self.rate is None:
            return 0.0
        with self._lock:
            now = time.monotonic()
            turn = max(self._next, now)
            self._next = turn + turns / self.rate
        return turn - now

    def wait(self, turns: int, stop: threading.Event) -> bool:
        """Wait for one's turns; whether ``stop`` came first."""
        wait_s = self.reserve(turns)
        return stop.wait(wait_s) if wait_s > 0 else stop.is_set()
