"""Takes events from the queue to who listens, in their order, each until it was taken."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from threading import Event
from typing import Any

import msgspec

from horizon import clock
from horizon.errors import DatabaseError
from horizon.observe.lineage.delivery import AwayError, RefusedError, Target
from horizon.observe.lineage.kept import DatabaseKept, Kept, NullKept
from horizon.observe.lineage.queue import Queue, append_whole, queue_of
from horizon.observe.lineage.runs import Fact, abort_killed
from horizon.postgres import database as databases
from horizon.postgres.database import Database
from horizon.postgres.embedded import EmbeddedPostgres
from horizon.settings import Settings

LOOK_S = 1.0  # how often an empty queue is looked at
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
KEPT_LOOK_S = 60.0  # how often the database is asked for what the disk had no room for
REFUSED = "refused.jsonl"
REFUSED_BYTES = 50_000_000  # of refused events are kept, and as many older ones

Make = Callable[[Fact], Mapping[str, Any]]


def open_courier(
    settings: Settings,
    target: Target,
    queue: Queue | None = None,
    find: Callable[[], Database] | None = None,
) -> Courier:
    """``queue`` and ``find``: another one's than LINEAGE_TO's, another database's."""
    queue = queue or queue_of(settings)

    def make_events() -> Make:
        from horizon.observe.lineage.events import Events  # sqlglot takes 0.3 s to import

        return Events(settings.LINEAGE_NAMESPACE).event

    kept = DatabaseKept(find or (lambda: running_database(settings)), queue.name)
    return Courier(queue, target, make_events, kept)


def running_database(settings: Settings) -> Database:
    """Never starts the embedded one. Raises DatabaseError."""
    if not settings.PG_DSN and not EmbeddedPostgres(settings.home).running():
        raise DatabaseError("The embedded database does not run: `horizon up` starts it.")
    return databases.find(settings)


@dataclass
class Delivered:
    sent: int = 0
    refused: int = 0


class Courier:
    """``events`` makes an event of a fact; it is asked for at the first one, since that reads
    every query."""

    def __init__(
        self,
        queue: Queue,
        target: Target,
        make_events: Callable[[], Make],
        kept: Kept | None = None,
    ) -> None:
        self._queue = queue
        self._kept = kept or NullKept()
        self._kept_next_s = 0.0
        self._target = target
        self._make_events = make_events
        self._event: Make | None = None
        self.refused_path = queue.folder / REFUSED

    def flush(self, stop: Event | None = None) -> Delivered | None:
        """Deliver what waits, once; None where another process is at it. Raises AwayError."""
        self._queue.make_folder()
        with self._queue.locked(".courier", wait=False) as ours:
            return self._flush(stop or Event()) if ours else None

    def _flush(self, stop: Event) -> Delivered:
        with suppress(OSError):  # a full disk: delivering makes room
            abort_killed(self._queue)
        delivered = Delivered()
        try:
            for line, place in self._queue.lines():
                if stop.is_set():
                    break
                self._deliver(line, delivered)
                # Killed before this, it is sent again: run and event type tell that it is the same.
                self._queue.done(place)
            self._take_kept(delivered)
        finally:
            self._target.close()
            self._queue.tidy()
        return delivered

    def _take_kept(self, delivered: Delivered) -> None:
        """What the disk had no room for, after what it has: of those runs that began before."""
        if time.monotonic() >= self._kept_next_s:
            self._kept.take(lambda line: self._deliver(line, delivered))
            self._kept_next_s = time.monotonic() + KEPT_LOOK_S

    def _deliver(self, line: bytes, delivered: Delivered) -> None:
        try:
            self._target.send(self._made(line))
            delivered.sent += 1
        except RefusedError as exc:
            self._keep_refused(line, str(exc))
            delivered.refused += 1

    def _made(self, line: bytes) -> bytes:
        """Raises RefusedError for a line that is no fact of ours."""
        try:
            fact = msgspec.json.decode(line, type=Fact)
        except (msgspec.ValidationError, msgspec.DecodeError) as exc:
            raise RefusedError(f"it is no line of the queue: {exc}") from exc
        if self._event is None:
            self._event = self._make_events()
        return msgspec.json.encode(self._event(fact))

    def _keep_refused(self, line: bytes, why: str) -> None:
        """In a file of some size, and one older one."""
        with suppress(FileNotFoundError):
            if self.refused_path.stat().st_size >= REFUSED_BYTES:
                self.refused_path.replace(self.refused_path.with_suffix(".old"))
        told = {"time": clock.now(), "why": why, "line": line.decode(errors="replace")}
        try:
            append_whole(self.refused_path, msgspec.json.encode(told) + b"\n")
        except OSError as exc:
            raise AwayError(
                f"{self.refused_path} takes nothing ({exc.strerror}): free some disk."
            ) from exc

    def serve(self, stop: Event, complain: Callable[[str], None]) -> None:
        """Deliver until ``stop``; wait longer and longer while nobody takes it."""
        wait_s = FIRST_WAIT_S
        while not stop.is_set():
            before = self._queue.place()
            try:
                delivered = self.flush(stop)
                if delivered and delivered.refused:
                    complain(f"{delivered.refused} events were refused: see {self.refused_path}.")
            except (AwayError, OSError) as exc:
                if self._queue.place() != before:  # it was there in between
                    wait_s = FIRST_WAIT_S
                if wait_s == FIRST_WAIT_S:
                    complain(str(exc))
                stop.wait(wait_s * random.uniform(0.8, 1.2))
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)
            else:
                wait_s = FIRST_WAIT_S
                stop.wait(LOOK_S)
