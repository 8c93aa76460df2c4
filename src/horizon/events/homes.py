"""Where an event's id is remembered: always where dropping a day's partition forgets it in time.

An id lies under the hour of its original timestamp where that is near its receipt. What is far
from it (no timestamp, an absurd one, an old archive) lies with what was received in the same thirty
days: under the first of them, its hour added as microseconds, so that an archive's ids stay in
their order.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Final

from horizon.events.ids import EPOCH, HOUR_US, key_start

PERIOD_DAYS: Final = 30  # so long a copy may come after the first one, at least
AHEAD_DAYS: Final = 60
_DAY_US: Final = 24 * HOUR_US


class Homes:
    """Of ids that are received on this day. Keys are as ids.key_of makes them.

    A copy that comes within PERIOD_DAYS finds the first one: it looks at each place where that may
    be. Of nearly all that is one place; a day is added to both ends of what is near, since two
    collectors' clocks, and midnight, may lie between the two.
    """

    def __init__(self, received_on: date) -> None:
        day = (received_on - EPOCH).days
        self._period_us = day // PERIOD_DAYS * PERIOD_DAYS * _DAY_US
        self._first, self._end = _of(day - PERIOD_DAYS), _of(day + AHEAD_DAYS)
        self._sure_first, self._sure_end = _of(day - PERIOD_DAYS + 1), _of(day + PERIOD_DAYS)
        self._gone = _of(day - 2 * PERIOD_DAYS - 1)  # nothing near its receipt was so long ago
        self.period_on = EPOCH + timedelta(days=day // PERIOD_DAYS * PERIOD_DAYS)
        self.period_before_on = self.period_on - timedelta(days=PERIOD_DAYS)
        # Others may still write the last period's, and not be done yet.
        self.turning = day % PERIOD_DAYS == 0

    def sure(self, keys: Sequence[bytes]) -> bool:
        """Whether each of the sorted keys has one place, which is the key itself."""
        return not keys or (keys[0] >= self._sure_first and keys[-1] < self._sure_end)

    def doubtful(self, keys: Sequence[bytes]) -> Iterator[bytes]:
        yield from keys[: bisect_left(keys, self._sure_first)]
        yield from keys[bisect_left(keys, self._sure_end) :]

    def home(self, key: bytes) -> bytes:
        return key if self._near(key) else _moved(self._period_us, key)

    def before(self, key: bytes) -> bytes:
        """Its place in the period before."""
        return _moved(self._period_us - PERIOD_DAYS * _DAY_US, key)

    def elsewhere(self, key: bytes) -> Iterator[bytes]:
        """Where else a doubtful one may lie."""
        yield self.before(key)
        if self._near(key):
            yield _moved(self._period_us, key)
        elif key >= self._gone:
            yield key

    def _near(self, key: bytes) -> bool:
        return self._first <= key < self._end


def _of(day: int) -> bytes:
    return key_start(max(1, day * _DAY_US))  # 0 is no time


def _moved(start_us: int, key: bytes) -> bytes:
    hours = int.from_bytes(key[:8], "big") // HOUR_US
    return key_start(max(0, start_us) + hours) + key[8:]
