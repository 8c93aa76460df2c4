"""Events as rows of binary COPY, made where they are read: the writer's thread joins bytes.

The format: https://www.postgresql.org/docs/current/sql-copy.html, "Binary Format". A column is its
length in 32 bits, -1 for NULL, and its value as the type's receive function takes it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from horizon.events.model import Event

HEAD: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TAIL: Final = b"\xff\xff"


class Row(NamedTuple):
    key: bytes  # as ids.key_of makes it
    body: bytes  # of table events, all but the last column: only the transaction knows its era


_COLUMNS = 23
_UUID_OID = 2950
_NULL = struct.pack(">i", -1)
_TRUE, _FALSE = struct.pack(">i?", 1, True), struct.pack(">i?", 1, False)
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)  # PostgreSQL counts microseconds from here
_EPOCH_US = int(_EPOCH.timestamp()) * 1_000_000

_head = struct.Struct(">hi16sii").pack
_length = struct.Struct(">i").pack
_microseconds = struct.Struct(">iq").pack
_array = struct.Struct(">iiiiii").pack
_id_row = struct.Struct(">hiqi16s").pack
_key = struct.Struct(">q16s").unpack
_era = struct.Struct(">ii").pack
_UUID_LENGTH = _length(16)


def row_of(event: Event) -> Row:
    key = event.key
    return Row(key, b"".join((
        _head(_COLUMNS, 16, key[8:], 4, event.source_id),
        _text(event.message_id), _text(event.type), _text(event.name),
        _text(event.user_id), _text(event.anonymous_id), _text(event.email),
        _text(event.previous_id), _text(event.group_id),
        _uuids(event.node_digests),
        _NULL if event.identifiers is None else _text(event.identifiers),
        _time(event.original_timestamp), _time(event.time), _time(event.received_at),
        _text(event.time_flag),
        _TRUE if event.trusted else _FALSE, _TRUE if event.activity else _FALSE,
        _text(event.properties), _text(event.traits), _text(event.context), _text(event.consent),
    )))  # fmt: skip


def events_copy(bodies: Iterable[bytes], era: int) -> bytes:
    """What COPY of table events reads; of at least one row."""
    end = _era(4, era)
    return b"".join((HEAD, end.join(bodies), end, TAIL))


def ids_copy(keys: Iterable[bytes]) -> bytes:
    """What COPY of table event_ids reads."""
    rows = [_id_row(2, 8, since - _EPOCH_US, 16, digest) for since, digest in map(_key, keys)]
    return b"".join((HEAD, *rows, TAIL))


def _text(value: str | None) -> bytes:
    if value is None:
        return _NULL
    body = value.encode()
    return _length(len(body)) + body


def _time(instant: datetime | None) -> bytes:
    if instant is None:
        return _NULL
    since = instant - _EPOCH
    return _microseconds(8, (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds)


def _uuids(digests: Sequence[bytes]) -> bytes:
    """One dimension, no NULLs, counted from 1."""
    count = len(digests)
    head = _array(20 + 20 * count, 1, 0, _UUID_OID, count, 1)
    return head + b"".join([_UUID_LENGTH + digest for digest in digests])
