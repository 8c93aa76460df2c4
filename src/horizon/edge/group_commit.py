"""Group commit: one thread writes in one transaction what arrived while the last one ran."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import takewhile

import psycopg

from horizon.edge.watch import Watch
from horizon.events.rejection import RejectedEvent
from horizon.events.rows import Row
from horizon.events.store import store_rows
from horizon.log import Logger
from horizon.postgres.database import Connection
from horizon.serving.held import HeldConnection, Unavailable

GROUP_EVENTS = 2_000
# Where fewer parcels wait than the last group had: who was just answered is about to send again.
# A fifth of the commits less; 1 ms was too long, and none at all a quarter slower on a disk.
GATHER_S = 0.0005
CAPACITY_EVENTS = 50_000
WAIT_S = 8.0  # for a commit; SDKs give up after 10 and 15 s, and would learn nothing
_LOOK_S = 1.0  # between looks for who waits too long
STUCK_S = 2.0  # from then on /readyz says that nothing can be committed
CAPACITY_BYTES = 32_000_000  # of request bodies; read into events they take about three times that


class Full(Exception):  # noqa: N818 - an answer, not a failure
    """As much waits to be written as may."""


class NotStorable(Exception):  # noqa: N818 - an answer, not a failure
    """The database refuses this parcel's content."""


@dataclass(frozen=True, eq=False)
class Parcel:
    """What one request wants written; ``done`` belongs to the event loop."""

    events: Sequence[Row]
    rejected: Sequence[RejectedEvent]
    received_at: datetime
    size_bytes: int
    done: asyncio.Future[None]


class GroupCommit:
    """``commit`` returns after the commit. Its thread starts with ``start``."""

    def __init__(self, connection: HeldConnection, log: Logger, watch: Watch | None = None) -> None:
        self._connection = connection
        self._log = log
        self._watch = watch or Watch()
        self._waiting: deque[Parcel] = deque()
        # The event loop's: what requests wait for and until when, the oldest first.
        self._open: dict[asyncio.Future[None], float] = {}
        self._looking: asyncio.TimerHandle | None = None
        self._last = 0  # parcels of the last group
        self._held_events = 0
        self._held_bytes = 0
        self._stopping = False
        self._changed = threading.Condition()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._write, name="edge-writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Write what waits, then end. Not from the event loop, which it needs."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join()
        self._connection.close()

    @property
    def full(self) -> bool:
        return self._held_events >= CAPACITY_EVENTS or self._held_bytes >= CAPACITY_BYTES

    @property
    def stuck(self) -> bool:
        """Whether the oldest has waited for STUCK_S: the database takes nothing."""
        open_ = next((until_s for done, until_s in self._open.items() if not done.done()), None)
        return open_ is not None and self._loop.time() > open_ - WAIT_S + STUCK_S

    async def commit(
        self, events: Sequence[Row], rejected: Sequence[RejectedEvent], received_at: datetime,
        size_bytes: int,
    ) -> None:  # fmt: skip
        """Raises Full, Unavailable, NotStorable.

        Who waited WAIT_S is told Unavailable, and may be written all the same: ids make it once.
        """
        if self.full:
            raise Full
        parcel = Parcel(events, rejected, received_at, size_bytes, self._loop.create_future())
        self._open[parcel.done] = self._loop.time() + WAIT_S
        if self._looking is None:
            self._looking = self._loop.call_later(_LOOK_S, self._end_long_waits)
        self._held_events += len(events) + len(rejected)
        self._held_bytes += size_bytes
        with self._changed:
            self._waiting.append(parcel)
            self._changed.notify()
        await parcel.done

    def _end_long_waits(self) -> None:
        """Of all that wait at once: a timer each would cost each of them."""
        now_s = self._loop.time()
        for done in [*takewhile(lambda one: self._open[one] <= now_s, self._open)]:
            del self._open[done]
            if not done.done():
                done.set_exception(Unavailable())
        self._looking = self._loop.call_later(_LOOK_S, self._end_long_waits) if self._open else None

    def _write(self) -> None:
        while group := self._next_group():
            try:
                failures = self._commit_group(group)
            except Exception as exc:  # noqa: BLE001 - this thread must outlive any error
                self._log.error("commit_failed", error=type(exc).__name__)
                failures = dict.fromkeys(group, Unavailable())
            self._loop.call_soon_threadsafe(self._answer, group, failures)

    def _next_group(self) -> list[Parcel]:
        """Wait for the next group; an empty one when stopped."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopping)
            fewer = len(self._waiting) < self._last and not self._stopping
        if fewer:
            time.sleep(GATHER_S)
        with self._changed:
            group: list[Parcel] = []
            size = 0
            while self._waiting and size < GROUP_EVENTS:
                group.append(self._waiting.popleft())
                size += len(group[-1].events)
            self._last = len(group)
            return group

    def _commit_group(self, group: Sequence[Parcel]) -> dict[Parcel, Exception]:
        began_s = time.perf_counter()
        try:
            new = self._store(group)
        except Unavailable as exc:
            self._count(group, None, began_s)
            return dict.fromkeys(group, exc)
        except (psycopg.DataError, psycopg.IntegrityError) as exc:
            if len(group) > 1:  # one parcel's content must not harm the others
                found = [self._commit_group([parcel]) for parcel in group]
                return {parcel: error for failed in found for parcel, error in failed.items()}
            self._log.error("not_storable", error=type(exc).__name__)
            self._count(group, None, began_s)
            return {group[0]: NotStorable()}
        self._count(group, new, began_s)
        return {}

    def _store(self, group: Sequence[Parcel]) -> int:
        """How many of the group's events are new. Raises Unavailable, and what psycopg raises."""
        events = [event for parcel in group for event in parcel.events]
        rejected = [refused for parcel in group for refused in parcel.rejected]
        received = [parcel.received_at for parcel in group]

        def store(tx: Connection, era: int, *, careful: bool = True) -> int:
            return store_rows(tx, events, received, rejected, era=era, careful=careful)

        try:
            return self._connection.run(partial(store, careful=False))
        except psycopg.errors.UniqueViolation:  # one of them is a copy
            return self._connection.run(store)

    def _count(self, group: Sequence[Parcel], new: int | None, began_s: float) -> None:
        events = sum(len(parcel.events) for parcel in group)
        rejected = sum(len(parcel.rejected) for parcel in group)
        self._watch.committed(events, new, rejected, time.perf_counter() - began_s)
        self._watch.waiting(self._held_events)

    def _answer(self, group: Sequence[Parcel], failures: dict[Parcel, Exception]) -> None:
        for parcel in group:
            self._held_events -= len(parcel.events) + len(parcel.rejected)
            self._held_bytes -= parcel.size_bytes
            self._open.pop(parcel.done, None)
            if parcel.done.done():  # its client went away, or was told to come again
                continue
            if parcel in failures:
                parcel.done.set_exception(failures[parcel])
            else:
                parcel.done.set_result(None)
