"""How many events a source may send: a bucket of tokens each."""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from horizon.events.model import Source

BURST_S: Final = 10.0  # a source may save up so much of its rate where nothing else is set
_CLOCK_S: Final = 60.0  # what a bucket is of that was used later than this: of a machine's last run
_SLOT: Final = struct.Struct("=dddd")  # rate, burst, level, at_s; at the source's number


class Bucket:
    """``burst`` tokens when full, ``rate`` new ones a second; times are in seconds.

    A request is let in whole as long as there is a token, and may leave the bucket in debt: a batch
    that is larger than the bucket would never pass otherwise.
    """

    def __init__(self, rate: float, burst: float, at_s: float, level: float | None = None) -> None:
        self.rate = rate
        self.burst = burst
        self.level = burst if level is None else level
        self.at_s = at_s

    def fits(self, rate: float, burst: float, at_s: float) -> bool:
        """Whether it is of this limit, and of this run of the machine."""
        return (self.rate, self.burst) == (rate, burst) and self.at_s <= at_s + _CLOCK_S

    def take(self, events: int, at_s: float) -> float:
        """Take a token an event, or none and say in how many seconds to come again."""
        level = min(self.burst, self.level + max(0.0, at_s - self.at_s) * self.rate)
        self.level, self.at_s = level, max(at_s, self.at_s)
        if events and level < 1:
            return (1 - level) / self.rate
        self.level -= events
        return 0.0


class Limits:
    """The buckets of the sources that have a limit; one that is changed starts anew, full.

    The collectors of one home share them: each takes under the lock of the file they lie in.
    """

    def __init__(self, home: Path | None = None) -> None:
        self._file = _opened(home)

    def wait_s(self, source: Source, events: int, at_s: float) -> int:
        """0: the events are let in. Else whole seconds after which to come again.

        ``at_s`` is of a clock that all processes share and that a restart may begin anew.
        """
        if source.rate is None:
            return 0
        with self._bucket(source, source.rate, at_s) as bucket:
            return math.ceil(bucket.take(events, at_s))

    def give_back(self, source: Source, events: int, at_s: float) -> None:
        if source.rate is not None:
            with self._bucket(source, source.rate, at_s) as bucket:
                bucket.level = min(bucket.burst, bucket.level + events)

    @contextlib.contextmanager
    def _bucket(self, source: Source, rate: float, at_s: float) -> Iterator[Bucket]:
        burst = max(1.0, source.burst or rate * BURST_S)
        place = source.source_id * _SLOT.size
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            bucket = _kept(os.pread(self._file, _SLOT.size, place))
            if bucket is None or not bucket.fits(rate, burst, at_s):
                bucket = Bucket(rate, burst, at_s)
            yield bucket
            kept = _SLOT.pack(bucket.rate, bucket.burst, bucket.level, bucket.at_s)
            os.pwrite(self._file, kept, place)
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)


def _opened(home: Path | None) -> int:
    """A file for this process alone where the home cannot be written."""
    if home is not None:
        with contextlib.suppress(OSError):
            return os.open(home / "limits", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _kept(slot: bytes) -> Bucket | None:
    rate, burst, level, at_s = _SLOT.unpack(slot.ljust(_SLOT.size, b"\0"))
    return Bucket(rate, burst, at_s, level) if rate else None
