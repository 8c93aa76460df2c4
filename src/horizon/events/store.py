"""Keeps events, each one once, in the transaction of its caller."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime

import msgspec

from horizon.events import rows
from horizon.events.claiming import claim
from horizon.events.model import Event
from horizon.events.partitions import ensure_partitions
from horizon.events.rejection import RejectedEvent as RejectedEvent
from horizon.events.rows import Row, row_of
from horizon.postgres.database import Connection
from horizon.postgres.queries import Queries

_REJECTED_TYPES = (
    "int4", "timestamptz", "int8", "text", "text", "text", "bool", "text", "timestamptz", "text",
)  # fmt: skip

_queries = Queries("horizon.events")


def store(
    tx: Connection, events: Sequence[Event], rejected: Sequence[RejectedEvent] = (), *, era: int
) -> int:
    """Write the events that were not there yet, and the refused ones; say how many were new.

    Two writers with the same ids wait for each other: an event counts where it commits first.
    For READ COMMITTED: a stricter transaction fails where a copy was committed meanwhile.
    """
    received = [event.received_at for event in events]
    return store_rows(tx, [row_of(event) for event in events], received, rejected, era=era)


def store_rows(
    tx: Connection,
    found: Sequence[Row],
    received: Iterable[datetime],
    rejected: Sequence[RejectedEvent] = (),
    *,
    era: int,
    careful: bool = True,
) -> int:
    """``store``, of rows that are made already; ``received``: the times they were received at.

    Not ``careful``, a copy fails the transaction: two round trips less where hardly any comes.
    Raises UniqueViolation then.
    """
    # Reversed, so that of copies within the batch the first one counts.
    bodies = dict(reversed(found))
    refusals = {one.key: one for one in reversed(rejected) if one.key is not None}
    if not (bodies or rejected):
        return 0
    instants = {*received, *(one.received_at for one in rejected)}
    days = [_day(instant) for instant in instants]
    ensure_partitions(tx, min(days), max(days))
    keys = sorted({*bodies, *refusals} if refusals else bodies)
    taken = claim(tx, keys, max(days), careful=careful) if keys else []
    new = [key for key in taken if key in bodies] if refusals else taken
    if new:
        with tx.cursor() as cursor, cursor.copy(_queries["copy_events"]) as copy:
            copy.write(rows.events_copy([bodies[key] for key in new], era))
    if rejected:
        mine = {id(refusals[key]) for key in taken if key in refusals}
        _keep_rejected(tx, [one for one in rejected if one.key is None or id(one) in mine])
    return len(new)


def _keep_rejected(tx: Connection, rejected: Sequence[RejectedEvent]) -> None:
    with tx.cursor() as cursor, cursor.copy(_queries["copy_rejected"]) as copy:
        copy.set_types(_REJECTED_TYPES)
        for one in rejected:
            copy.write_row(msgspec.structs.astuple(one)[: len(_REJECTED_TYPES)])


def _day(instant: datetime) -> date:
    return instant.astimezone(UTC).date()
