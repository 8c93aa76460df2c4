"""The file source: each line of a file becomes an event, a batch a transaction.

An event's messageId is (file digest, line number), so a file that comes again adds nothing, and
lines that repeat each other are separate events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from horizon.errors import UsageError
from horizon.events.model import Event, Source, read_message
from horizon.events.rejection import Rejected, RejectedEvent, storable_body
from horizon.events.sources import ensure_source
from horizon.events.store import store
from horizon.postgres.database import Connection, Database, Role, closing_connection
from horizon.postgres.queries import Queries
from horizon.sources.lines import Line, TextFile, batches, open_text
from horizon.sources.mapping import Mapping
from horizon.sources.rows import BadLineError, RowReader, decode_line, split_line

QUERIES = Queries("horizon.sources")

OnProgress = Callable[[int, int], None]  # bytes read, bytes in all


@dataclass(frozen=True)
class FileResult:
    """Of ``read`` lines with content each is an event, new or a duplicate, or rejected."""

    read: int
    inserted: int
    duplicates: int
    rejected: int
    digest: str


@dataclass
class _Batch:
    events: list[Event] = field(default_factory=list)
    rejected: list[RejectedEvent] = field(default_factory=list)


@dataclass(frozen=True)
class _Reader:
    """Makes batches of lines; what it holds stays the same throughout a file."""

    rows: RowReader
    digest: str
    source: Source
    node_key: bytes
    received_at: datetime

    def batch(self, lines: Sequence[Line]) -> _Batch:
        batch = _Batch()
        for number, raw in lines:
            try:
                event = self._event(number, raw)
            except (BadLineError, Rejected) as bad:
                batch.rejected.append(self._rejected(number, raw, bad.code, bad.message))
            else:
                if event is not None:
                    batch.events.append(event)
        return batch

    def _event(self, number: int, raw: bytes) -> Event | None:
        message = self.rows.message(number, raw)
        if message is None:
            return None
        return read_message(
            message, source=self.source, received_at=self.received_at, node_key=self.node_key
        )

    def _rejected(self, number: int, raw: bytes, code: str, message: str) -> RejectedEvent:
        return RejectedEvent(
            source_id=self.source.source_id,
            received_at=self.received_at,
            position=number,
            code=code,
            message=f"file {self.digest[:12]}, line {number}: {message}",
            body=storable_body(raw.rstrip(b"\r\n")),
            cut=code == "too_long",
        )


def ingest_file(
    database: Database, path: Path, mapping: Mapping, *, source_name: str, node_key: bytes,
    era: int, now: datetime, on_progress: OnProgress | None = None,
) -> FileResult:  # fmt: skip
    """Bring a file's lines in, as the worker. Lines that are no events are kept as rejected.

    ``now`` is when the events count as received; ``on_progress`` is called after each commit.
    Raises UsageError where the file cannot be read and MappingError where the mapping does not
    fit it, both before anything is written.
    """
    with open_text(path) as text, closing_connection(database.connect(Role.WORKER)) as connection:
        lines = text.lines()
        rows = RowReader(mapping, _columns(text, mapping, lines), text.digest)
        with connection.transaction():
            source = ensure_source(connection, source_name, "file")
        reader = _Reader(rows, text.digest, source, node_key, now)
        events = inserted = rejected = 0
        for some in batches(lines):
            batch = reader.batch(some)
            with connection.transaction():
                inserted += _write(connection, batch, era)
            events += len(batch.events)
            rejected += len(batch.rejected)
            if on_progress:
                on_progress(text.position, text.size_bytes)
        text.check_unchanged()
    return FileResult(events + rejected, inserted, events - inserted, rejected, text.digest)


def _columns(text: TextFile, mapping: Mapping, lines: Iterator[Line]) -> Sequence[str]:
    """The columns' names; takes the header off the lines where there is one."""
    if not mapping.header:
        return mapping.columns
    _, raw = next(lines, (1, b""))
    try:
        header = split_line(decode_line(raw, mapping.encoding), mapping.delimiter)
    except BadLineError as bad:
        raise UsageError(
            f"{text.path} has a first line that {mapping.name} cannot read ({bad.message}): set "
            "the mapping's encoding and delimiter to the file's."
        ) from bad
    return mapping.columns or header


def _write(tx: Connection, batch: _Batch, era: int) -> int:
    return store(tx, batch.events, _new_rejects(tx, batch.rejected), era=era)


def _new_rejects(tx: Connection, rejected: Sequence[RejectedEvent]) -> Sequence[RejectedEvent]:
    """Those that are not kept yet: a file that comes again adds no rejected lines either."""
    if not rejected:
        return []
    rows = tx.execute(
        QUERIES["known_rejects"],
        {
            "source_id": rejected[0].source_id,
            "first": rejected[0].position,
            "last": rejected[-1].position,
            "messages": [reject.message for reject in rejected],
        },
    )
    known = {row.message for row in rows}
    return [reject for reject in rejected if reject.message not in known]
