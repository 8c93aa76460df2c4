"""The file source: each line or row of a file becomes an event, a batch a transaction.

An event's messageId is (file digest, line number), unless the line is a message that has one. So a
file that comes again adds nothing, and lines that repeat each other are separate events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from horizon.errors import HorizonError, UsageError
from horizon.events.kinds import BUILT_IN, Kinds
from horizon.events.model import Event, Source, read_message
from horizon.events.rejection import Rejected, RejectedEvent, storable_body
from horizon.events.sources import ensure_source
from horizon.events.store import store
from horizon.events.tombstones import Tombstones
from horizon.postgres.database import Connection, Database, Role, closing_connection
from horizon.postgres.queries import Queries
from horizon.sources.bad_line import BadLineError, file_mark, line_id, place, place_in
from horizon.sources.file_progress import Counts, FileKey, Progress
from horizon.sources.lines import READING, Batch, OnProgress, Position
from horizon.sources.mapping import Mapping, mapping_digest
from horizon.sources.readers import Reader, reader_of
from horizon.sources.stored import DEFAULT_LIMITS, Limits, Stored

QUERIES = Queries("horizon.sources")
KEPT_BYTES = 32_768  # of a rejected line: the file has the rest
HOPELESS_LINES = 1_000  # so many refused, and none that is an event: the mapping is wrong


@dataclass(frozen=True)
class FileResult:
    """Of ``read`` lines with content each is an event, new or a duplicate, or rejected.

    It is what this run did; of a file that was whole before (``finished_at``), what that one did.
    """

    read: int
    inserted: int
    duplicates: int
    rejected: int
    digest: str
    went_on_after: int = 0  # the line that a run before ended with
    last_line: int = 0
    stopped: bool = False
    finished_at: datetime | None = None

    @property
    def useless(self) -> bool:
        """Whether it is known that the whole file holds no event."""
        whole = self.finished_at or not (self.went_on_after or self.stopped)
        return bool(whole) and 0 < self.read == self.rejected


@dataclass
class _Events:
    events: list[Event] = field(default_factory=list)
    rejected: list[RejectedEvent] = field(default_factory=list)


@dataclass(frozen=True)
class Interpreter:
    """Makes events of lines; what it holds stays the same throughout a file."""

    reader: Reader
    digest: str
    source: Source
    node_key: bytes
    received_at: datetime
    name: str = ""  # of the file, for people
    tombstones: Tombstones = field(default_factory=Tombstones)
    kinds: Kinds = BUILT_IN

    def events(self, items: Sequence[tuple[int, Any]]) -> _Events:
        made = _Events()
        for number, item in items:
            try:
                event = self.event(number, item)
            except (BadLineError, Rejected) as bad:
                made.rejected.append(self._rejected(number, item, bad.code, bad.message))
            else:
                if event is not None:
                    made.events.append(event)
        return made

    def message_id(self, number: int) -> str:
        """Of a line that has none of its own."""
        return line_id(self.digest, number)

    def event(self, number: int, item: Any) -> Event | None:
        """Raises BadLineError and Rejected."""
        message = self.reader.message(self.message_id(number), item)
        if message is None:
            return None
        # A line's sentAt is of a clock long ago. Sent when it was received, its time is its own.
        event = read_message(
            message, source=self.source, received_at=self.received_at, sent_at=self.received_at,
            node_key=self.node_key, kinds=self.kinds,
        )  # fmt: skip
        self.tombstones.refuse(event, self.node_key)
        return event

    def _rejected(self, number: int, item: Any, code: str, message: str) -> RejectedEvent:
        # Nothing of an erased person is kept but that something came.
        body = b"" if code == "erased" else self.reader.body(item)
        return RejectedEvent(
            source_id=self.source.source_id,
            received_at=self.received_at,
            position=number,
            code=code,
            message=place(self.digest, self.name, self.reader.unit, number) + message,
            body=storable_body(body[:KEPT_BYTES]),
            cut=code == "too_long" or len(body) > KEPT_BYTES,
            sent_at=self.received_at,
        )


def ingest_file(
    database: Database, stored: Stored, mapping: Mapping | None, *, source_name: str,
    node_key: bytes, era: int, now: datetime, limits: Limits = DEFAULT_LIMITS, again: bool = False,
    kinds: Kinds = BUILT_IN, on_progress: OnProgress = lambda *_: None,
    stopping: Callable[[], bool] = lambda: False,
) -> FileResult:  # fmt: skip
    """Bring a file's lines in, as the worker. Lines that are no events are kept as rejected.

    ``now`` is when the events count as received; ``on_progress`` is called after each commit, and
    ``stopping`` asked. Raises UsageError where the file cannot be read and MappingError where the
    mapping does not fit it, both before anything is written.
    """
    reader = reader_of(stored, mapping, limits)
    digest = stored.identity or reader.digest(_unless(stopping, stored.name, on_progress))
    with closing_connection(database.connect(Role.WORKER)) as connection:
        with connection.transaction():
            source = ensure_source(connection, source_name, "file")
        key = FileKey(source.source_id, digest, mapping_digest(mapping))
        interpreter = Interpreter(reader, digest, source, node_key, now, stored.name, kinds=kinds)
        with key.held(connection, stored.name):
            run = _Run(connection, stored, interpreter, key, era, on_progress, stopping)
            return run.all_batches(again=again)


def _unless(stopping: Callable[[], bool], name: str, on_progress: OnProgress) -> OnProgress:
    def checked(step: str, done: int, total: int) -> None:
        if stopping():
            raise HorizonError(f"Stopped before anything of {name} was brought in.")
        on_progress(step, done, total)

    return checked


@dataclass
class _Run:
    connection: Connection
    stored: Stored
    interpreter: Interpreter
    key: FileKey
    era: int
    on_progress: OnProgress
    stopping: Callable[[], bool]

    def all_batches(self, *, again: bool) -> FileResult:
        now = self.interpreter.received_at
        with self.connection.transaction():
            before = self.key.begin(self.connection, now, again=again)
        if before.finished_at:
            return self._result(before.counts._replace(
                inserted=0, duplicates=before.counts.inserted + before.counts.duplicates
            ), before, before.position, finished_at=before.finished_at)  # fmt: skip
        position, counts, stopped = before.position, Counts(), False
        for batch in self.interpreter.reader.batches(position):
            if stopped := self.stopping():
                break
            added = self._batch(batch, position, before)
            counts = Counts(*map(sum, zip(counts, added, strict=True)))
            position = batch.end
            done_bytes = self.interpreter.reader.done_bytes()
            self.on_progress(READING, done_bytes, self.stored.size_bytes)
        if not stopped:
            self.stored.check_unchanged()
            with self.connection.transaction():
                self.key.finish(self.connection, now)
        return self._result(counts, before, position, stopped=stopped)

    def _batch(self, batch: Batch, start: Position, before: Progress) -> Counts:
        reader = self.interpreter.reader
        with self.connection.transaction():  # of the batches' length ago, as a collector's
            self.interpreter.tombstones.read(self.connection, self.era)
        made = self.interpreter.events(batch.items)
        if not made.events and len(made.rejected) >= HOPELESS_LINES and start.number <= 1:
            raise UsageError(
                f"{self.stored.name}: none of its first {len(made.rejected):,} {reader.unit}s is "
                f"an event ({made.rejected[0].message}): look with --dry-run, and mend the mapping."
            )
        with self.connection.transaction():
            rejected = made.rejected
            if before.others:
                rejected = list(_new_rejects(self.connection, rejected))
            self.stored.check_unchanged()
            inserted = store(self.connection, made.events, rejected, era=self.era)
            counts = Counts(inserted, len(made.events) - inserted, len(made.rejected))
            self.key.move(self.connection, start, batch.end, counts)
        return counts

    def _result(
        self, counts: Counts, before: Progress, end: Position, *, stopped: bool = False,
        finished_at: datetime | None = None,
    ) -> FileResult:  # fmt: skip
        return FileResult(
            counts.read, *counts, self.key.digest, went_on_after=before.position.number,
            last_line=end.number, stopped=stopped, finished_at=finished_at,
        )  # fmt: skip


def rejects(tx: Connection, source_name: str, digest: str) -> Iterator[dict[str, Any]]:
    """A file's rejected lines in their order, with number and reason, of whatever run."""
    values = {"source": source_name, "file": f"{file_mark(digest)}%"}
    with tx.cursor(name="rejects") as found:
        for row in found.execute(QUERIES["file_rejects"], values):
            yield {"line": row.position, "code": row.code, "reason": row.message}


def _new_rejects(tx: Connection, rejected: Sequence[RejectedEvent]) -> Sequence[RejectedEvent]:
    """Those that are not kept yet, where the same file was read before with another mapping."""
    if not rejected:
        return []
    rows = tx.execute(
        QUERIES["known_rejects"],
        {
            "source_id": rejected[0].source_id,
            "first": rejected[0].position,
            "last": rejected[-1].position,
            "positions": [reject.position for reject in rejected],
        },
    )
    known = {_unnamed(row.message) for row in rows}
    return [reject for reject in rejected if _unnamed(reject.message) not in known]


def _unnamed(message: str) -> str:
    """The same where the file has another name by now."""
    found = place_in(message)
    return found.unnamed + found.reason if found else message
