"""Rows of one width between PostgreSQL and arrays, in its binary formats: nothing looks at each."""

from __future__ import annotations

import struct
from typing import Any, LiteralString
from uuid import UUID

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg.adapt import Dumper
from psycopg.pq import Format

from horizon.postgres.database import Connection

Ints = NDArray[np.int64]
Digests = NDArray[np.bytes_]  # of 16 bytes; they compare as PostgreSQL's uuid does

_EPOCH_MICROS = 946_684_800_000_000  # 2000-01-01, where PostgreSQL's times begin
_HEAD = 19  # of a binary COPY: signature, flags, length of an extension
_TAIL = 2
_ALIKE = 8  # digests that begin with the same 8 bytes: two of a million million have that
_WIDTHS = {"uuid": ("S16", 16), "int": (">i8", 8), "time": (">i8", 8)}


def read(tx: Connection, query: LiteralString, *columns: str) -> list[Any]:
    """A query's columns, each ``uuid``, ``int`` (a bigint) or ``time``, none of them NULL.

    A time is in microseconds since 1970, UTC.
    """
    fields: list[tuple[str, str]] = [("count", ">i2")]
    for at, column in enumerate(columns):
        fields += [(f"length{at}", ">i4"), (f"value{at}", _WIDTHS[column][0])]
    statement: LiteralString = f"COPY ({query.rstrip().rstrip(';')}) TO STDOUT (FORMAT binary)"
    with tx.cursor() as cursor, cursor.copy(statement) as copy:
        body = b"".join(copy)
    rows = np.frombuffer(body[_HEAD : len(body) - _TAIL], np.dtype(fields))
    return [_told(rows[f"value{at}"], column) for at, column in enumerate(columns)]


def _told(values: NDArray[Any], column: str) -> NDArray[Any]:
    if column == "uuid":
        return values.astype("S16")
    return values.astype(np.int64) + (_EPOCH_MICROS if column == "time" else 0)


def uuids(digests: Digests) -> list[UUID]:
    return [UUID(bytes=bytes(one).ljust(16, b"\0")) for one in digests]


class UuidArray:
    """A parameter ``uuid[]`` of an array's digests."""

    def __init__(self, digests: Digests) -> None:
        self.body = _array(2950, np.ascontiguousarray(digests, "S16"), 16, "S16")


class IntArray:
    """A parameter ``bigint[]``."""

    def __init__(self, numbers: Ints) -> None:
        self.body = _array(20, numbers, 8, ">i8")


def _array(oid: int, values: NDArray[Any], width: int, form: str) -> bytes:
    if len(values) == 0:
        return struct.pack(">iii", 0, 0, oid)
    rows = np.empty(len(values), np.dtype([("length", ">i4"), ("value", form)]))
    rows["length"] = width
    rows["value"] = values
    return struct.pack(">iiiii", 1, 0, oid, len(values), 1) + rows.tobytes()


class _UuidArrayDumper(Dumper):
    format = Format.BINARY
    oid = 2951

    def dump(self, obj: UuidArray) -> bytes:
        return obj.body


class _IntArrayDumper(Dumper):
    format = Format.BINARY
    oid = 1016

    def dump(self, obj: IntArray) -> bytes:
        return obj.body


psycopg.adapters.register_dumper(UuidArray, _UuidArrayDumper)
psycopg.adapters.register_dumper(IntArray, _IntArrayDumper)


def places(known: Digests, asked: Digests) -> Ints:
    """Where each asked digest stands among the known ones, which are sorted; -1: nowhere."""
    if len(asked) == 0 or len(known) == 0:
        return np.full(len(asked), -1, np.int64)
    halves, wanted = _halves(known), _halves(asked)
    found = np.searchsorted(halves[:, 0], wanted[:, 0])
    found = np.minimum(found, len(known) - 1)
    for _ in range(_ALIKE):
        other = (halves[found, 0] == wanted[:, 0]) & (halves[found, 1] < wanted[:, 1])
        if not other.any():
            break
        found[other] = np.minimum(found[other] + 1, len(known) - 1)
    there = (halves[found] == wanted).all(axis=1)
    return np.where(there, found, -1).astype(np.int64)


def order(digests: Digests) -> Ints:
    """What sorts them, as PostgreSQL does."""
    halves = _halves(digests)
    return np.lexsort((halves[:, 1], halves[:, 0]))


def _halves(digests: Digests) -> NDArray[np.uint64]:
    return np.ascontiguousarray(digests, "S16").view(">u8").astype(np.uint64).reshape(-1, 2)
