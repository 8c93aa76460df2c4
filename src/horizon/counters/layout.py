"""The file's form: a mark, how many of its bytes are used, then entries that are only added.

An entry is the length of its key and the number of its slots (two uint32), the key (the family's
name and the labels' values, JSON), padding to 8 bytes, then its slots, each a float64. A reader
that comes in the middle of anything sees whole numbers: each is 8 bytes at a multiple of 8.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from horizon.counters.families import BY_NAME

MARK: Final = b"HZNCNT1\n"
HEAD_BYTES: Final = 16
FILE_BYTES: Final = 262_144  # some 1,500 entries; sparse, so that it takes what is used
SCRATCH_BYTES: Final = 256  # at the end: what has no room is counted there, and nobody reads it

Labels = tuple[str, ...]

_ENTRY = struct.Struct("=II")


@dataclass(frozen=True, slots=True)
class Entry:
    name: str
    labels: Labels
    place: int  # of its first slot, in float64s from the file's beginning
    slots: int


def encode(name: str, labels: Labels, slots: int) -> bytes:
    """An entry with its slots at 0."""
    key = json.dumps([name, *labels]).encode()
    key += b" " * (-(len(key) + _ENTRY.size) % 8)
    return _ENTRY.pack(len(key), slots) + key + bytes(8 * slots)


def entries(data: memoryview | bytes) -> Iterator[Entry]:
    """Those of families that this version knows. Raises ValueError where it is no file of ours."""
    if len(data) < HEAD_BYTES or bytes(data[:8]) != MARK:
        raise ValueError("no counters")
    (end,) = struct.unpack("=Q", data[8:HEAD_BYTES])
    if end > len(data) - SCRATCH_BYTES:
        raise ValueError("longer than it is")
    place = HEAD_BYTES
    while place < end:
        key_bytes, slots = _ENTRY.unpack(data[place : place + _ENTRY.size])
        start = place + _ENTRY.size
        first = start + key_bytes
        place = first + 8 * slots
        if place > end or first % 8:
            raise ValueError("a broken entry")
        name, labels = _decode(bytes(data[start:first]))
        family = BY_NAME.get(name)
        if family and family.slots == slots and len(family.labels) == len(labels):
            yield Entry(name, labels, first // 8, slots)


def _decode(key: bytes) -> tuple[str, Labels]:
    found = json.loads(key)
    if not isinstance(found, list) or not found or not all(isinstance(one, str) for one in found):
        raise ValueError("a broken key")
    return found[0], tuple(found[1:])
