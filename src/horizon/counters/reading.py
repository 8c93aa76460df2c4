"""Adding up what all processes of an installation counted."""

from __future__ import annotations

import fcntl
import mmap
import os
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from horizon.counters.families import BY_NAME
from horizon.counters.layout import FILE_BYTES, Labels, entries

Counted = dict[tuple[str, Labels], list[float]]  # family and label values -> its slots


def read_counters(folder: Path) -> tuple[Counted, Counter[str]]:
    """Counters of the living and the dead, gauges of the living; and how many live, by role."""
    total: Counted = {}
    living: Counter[str] = Counter()
    for path in sorted(folder.glob("*.counts")):
        with suppress(OSError, ValueError):  # one that is just being made, or none of ours
            found, alive = _read(path)
            living[path.name.partition("-")[0]] += alive
            _add(total, found, alive)
    return total, living


def _read(path: Path) -> tuple[Counted, bool]:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        alive = _is_locked(file)
        with (
            mmap.mmap(file, FILE_BYTES, access=mmap.ACCESS_READ) as data,
            memoryview(data) as raw,
            raw.cast("d") as values,
        ):
            found = {
                (one.name, one.labels): list(values[one.place : one.place + one.slots])
                for one in entries(bytes(raw))
            }
    finally:
        os.close(file)
    return found, alive


def _is_locked(file: int) -> bool:
    """Whether its process lives. Our own lock lasts microseconds: who opens its counters at that
    very moment takes the next file."""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(file, fcntl.LOCK_UN)
    return False


def _add(total: Counted, found: Counted, alive: bool) -> None:
    for key, slots in found.items():
        kind = BY_NAME[key[0]].kind
        if kind == "gauge" and not alive:
            continue
        before = total.get(key, [0.0] * len(slots))
        total[key] = [max(before[0], slots[0])] if kind == "latest" else _sums(before, slots)


def _sums(one: Sequence[float], other: Sequence[float]) -> list[float]:
    return [mine + its for mine, its in zip(one, other, strict=True)]
