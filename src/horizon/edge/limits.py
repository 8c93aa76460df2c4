"""How many events a source may send: a bucket of tokens each, in this process."""

from __future__ import annotations

import math
from typing import Final

from horizon.events.model import Source

BURST_S: Final = 10.0  # a source may save up so much of its rate where nothing else is set


class Bucket:
    """``burst`` tokens when full, ``rate`` new ones a second; times are in seconds.

    A request is let in whole as long as there is a token, and may leave the bucket in debt: a batch
    that is larger than the bucket would never pass otherwise.
    """

    def __init__(self, rate: float, burst: float, at_s: float) -> None:
        self.rate = rate
        self.burst = burst
        self._level = burst
        self._at_s = at_s

    def take(self, events: int, at_s: float) -> float:
        """Take a token an event, or none and say in how many seconds to come again."""
        level = min(self.burst, self._level + max(0.0, at_s - self._at_s) * self.rate)
        self._level, self._at_s = level, max(at_s, self._at_s)
        if events and level < 1:
            return (1 - level) / self.rate
        self._level -= events
        return 0.0


class Limits:
    """The buckets of the sources that have a limit; one that is changed starts anew, full."""

    def __init__(self) -> None:
        self._buckets: dict[int, Bucket] = {}

    def wait_s(self, source: Source, events: int, at_s: float) -> int:
        """0: the events are let in. Else whole seconds after which to come again."""
        if source.rate is None:
            return 0
        burst = max(1.0, source.burst or source.rate * BURST_S)
        bucket = self._buckets.get(source.source_id)
        if bucket is None or (bucket.rate, bucket.burst) != (source.rate, burst):
            bucket = self._buckets[source.source_id] = Bucket(source.rate, burst, at_s)
        return math.ceil(bucket.take(events, at_s))
