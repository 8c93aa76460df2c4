"""Counting: a file a process, locked while it lives and handed on when it is dead."""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import struct
import sys
import threading
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from horizon.counters.families import BY_NAME, Family
from horizon.counters.layout import (
    FILE_BYTES,
    HEAD_BYTES,
    MARK,
    SCRATCH_BYTES,
    Labels,
    encode,
    entries,
)
from horizon.settings import Settings

ROLES: Final = ("collector", "api", "worker", "command")
MOST_PROCESSES: Final = 64  # of one role at once; the next one counts for itself alone


class Counters(Protocol):
    """Label values come in the family's order. Threads may share it."""

    def add(self, family: Family, amount: float = 1.0, labels: Labels = ()) -> None:
        """Of a counter; a gauge falls by a negative amount."""

    def observe(self, family: Family, value: float, labels: Labels = ()) -> None:
        """Of a histogram."""

    def observe_all(
        self, family: Family, buckets: Sequence[float], total: float, labels: Labels = ()
    ) -> None:
        """Of a histogram: so many values a bucket, which sum to ``total``."""

    def set(self, family: Family, value: float, labels: Labels = ()) -> None:
        """Of a gauge or a latest."""


class NullCounters:
    """Counts nothing."""

    def add(self, family: Family, amount: float = 1.0, labels: Labels = ()) -> None: ...

    def observe(self, family: Family, value: float, labels: Labels = ()) -> None: ...

    def observe_all(
        self, family: Family, buckets: Sequence[float], total: float, labels: Labels = ()
    ) -> None: ...

    def set(self, family: Family, value: float, labels: Labels = ()) -> None: ...


class FileCounters:
    """See Counters. ``file`` is locked by us and becomes ours."""

    def __init__(self, file: int) -> None:
        try:
            os.ftruncate(file, FILE_BYTES)
            self._map = mmap.mmap(file, FILE_BYTES)
        finally:
            os.close(file)  # the map has a copy of it, which holds the lock
        self._values = memoryview(self._map).cast("d")
        self._places: dict[tuple[str, Labels], int] = {}
        self._lock = threading.Lock()
        try:
            self._adopt()
        except ValueError:  # a new file, or one that a broken disk left
            self._places.clear()
            self._map[:] = bytes(FILE_BYTES)
            self._write_used(HEAD_BYTES)
            self._map[:8] = MARK

    def add(self, family: Family, amount: float = 1.0, labels: Labels = ()) -> None:
        with self._lock:
            place = self._places.get((family.name, labels)) or self._new(family, labels)
            self._values[place] += amount

    def observe(self, family: Family, value: float, labels: Labels = ()) -> None:
        bucket = bisect_left(family.buckets, value)
        with self._lock:
            place = self._places.get((family.name, labels)) or self._new(family, labels)
            self._values[place + bucket] += 1.0
            self._values[place + len(family.buckets) + 1] += value

    def observe_all(
        self, family: Family, buckets: Sequence[float], total: float, labels: Labels = ()
    ) -> None:
        with self._lock:
            place = self._places.get((family.name, labels)) or self._new(family, labels)
            for number, count in enumerate(buckets):
                self._values[place + number] += count
            self._values[place + len(buckets)] += total

    def set(self, family: Family, value: float, labels: Labels = ()) -> None:
        with self._lock:
            place = self._places.get((family.name, labels)) or self._new(family, labels)
            self._values[place] = value

    def close(self) -> None:
        """Let another process go on with the file."""
        self._values.release()
        self._map.close()

    def _adopt(self) -> None:
        for entry in entries(bytes(self._map)):
            self._places[entry.name, entry.labels] = entry.place
            if BY_NAME[entry.name].kind == "gauge":
                self._values[entry.place] = 0.0

    def _new(self, family: Family, labels: Labels) -> int:
        """The entry is there whole before the head counts it: a kill leaves no half one."""
        entry = encode(family.name, labels, family.slots)
        (used,) = struct.unpack("=Q", self._map[8:HEAD_BYTES])
        if used + len(entry) > FILE_BYTES - SCRATCH_BYTES:
            return (FILE_BYTES - SCRATCH_BYTES) // 8
        self._map[used : used + len(entry)] = entry
        self._write_used(used + len(entry))
        place = int(used + len(entry)) // 8 - family.slots
        self._places[family.name, labels] = place
        return place

    def _write_used(self, end: int) -> None:
        self._map[8:HEAD_BYTES] = struct.pack("=Q", end)


def folder_of(settings: Settings) -> Path:
    return settings.home / "counters"


def open_counters(settings: Settings, role: str) -> Counters:
    """Take a file of this role that nobody counts in. A home that cannot be written stops nobody:
    that nothing is counted is said once on stderr."""
    folder = folder_of(settings)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for number in range(MOST_PROCESSES):
            file = _locked(folder / f"{role}-{number}.counts")
            if file is not None:
                return FileCounters(file)
    except (OSError, ValueError) as exc:
        with contextlib.suppress(OSError, ValueError):
            print(
                f"horizon: what the {role} does is not counted for /metrics, because {folder} "
                f"cannot be written ({exc}): run as the user who owns it.",
                file=sys.stderr,
            )
    return NullCounters()


def _locked(path: Path) -> int | None:
    """The kernel gives the lock back when the process ends, however it ends."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    return file
