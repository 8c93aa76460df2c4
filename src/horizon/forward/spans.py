"""Reads what is to be sent, a page at a time, and keeps how far it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from psycopg.rows import kwargs_row, tuple_row

from horizon.forward.message import Row
from horizon.postgres.database import Connection
from horizon.postgres.queries import Queries

QUERIES = Queries("horizon.forward")

PAGE_ROWS = 4_000
PAGE_BYTES = 8_000_000  # of texts: an event has 32 KB at most, its batch's context joined to it
_FETCHED = 250


@dataclass(frozen=True)
class Position:
    """After which row of its window a span goes on; as the database writes its values."""

    at_era: int = 0
    at_tx: str = "0"
    at_received: str = "-infinity"
    at_time: str = "-infinity"
    at_event: str = "00000000-0000-0000-0000-000000000000"

    @classmethod
    def of(cls, row: Row) -> Position:
        return cls(
            row.era, row.tx, row.received_at.isoformat(), row.time.isoformat(), str(row.event_id)
        )


@dataclass(frozen=True)
class Span:
    """A row of forward_spans: what is to be sent of the time from ``from_at`` to ``to_at``."""

    span_id: int
    again: bool
    from_at: str
    to_at: str
    era: int
    seen: str
    until_era: int | None
    until: str | None
    at_era: int
    at_tx: str
    at_received: str
    at_time: str
    at_event: str

    def values(self) -> dict[str, Any]:
        return dict(vars(self))

    def moved(self, row: Row) -> Span:
        return replace(self, **vars(Position.of(row)))

    def opened(self, era: int, until: str) -> Span:
        """With the window of what is committed now."""
        return replace(self, until_era=era, until=until)

    def closed(self) -> Span:
        """The window is done: the next one begins where it ended."""
        assert self.until_era is not None
        assert self.until is not None
        return replace(
            self,
            era=self.until_era,
            seen=self.until,
            until_era=None,
            until=None,
            **vars(Position()),
        )


@dataclass(frozen=True)
class Page:
    """Rows of a window after the span's position. ``last``: the window has no more."""

    span: Span
    rows: Sequence[Row]
    last: bool

    def end(self) -> Span:
        if not self.last:
            return self.span.moved(self.rows[-1])
        return replace(self.span, **vars(Position())) if self.span.again else self.span.closed()


def spans(tx: Connection, forward_id: int) -> list[Span]:
    with tx.cursor(row_factory=kwargs_row(Span)) as cursor:
        return cursor.execute(QUERIES["spans"], {"forward_id": forward_id}).fetchall()


def sources_of(tx: Connection, source_id: int | None) -> list[int]:
    return [row.source_id for row in tx.execute(QUERIES["sources"], {"source_id": source_id})]


def opened(tx: Connection, span: Span) -> Span:
    """The span with a window: its own that is not done, or one up to now."""
    if span.until is not None:
        return span
    row = tx.execute(QUERIES["present"]).fetchone()
    assert row is not None
    return span.opened(row.era, row.until)


def covered(tx: Connection, live: Span, replay: Span, sources: Sequence[int]) -> bool:
    """Whether all that a replay has to send again was sent once."""
    if live.until is not None:
        return False
    values = {
        **live.values(), "until_era": replay.until_era, "until": replay.until,
        "sources": list(sources),
    }  # fmt: skip
    row = tx.execute(QUERIES["covered"], values, prepare=False).fetchone()
    return row is not None and bool(row.covered)


def read_page(tx: Connection, span: Span, sources: Sequence[int]) -> Page:
    """As many rows as fit into PAGE_ROWS and PAGE_BYTES; from the server a few at a time, since
    4,000 of the largest have 250 MB."""
    values = {**span.values(), "sources": list(sources), "most": PAGE_ROWS}
    rows: list[Row] = []
    size = 0
    with tx.transaction():
        # How many rows a snapshot hides no statistics tell: left to guess, it sorts the window.
        tx.execute("SET LOCAL enable_seqscan = off")
        tx.execute("SET LOCAL enable_bitmapscan = off")
        with tx.cursor("forward_page", row_factory=tuple_row) as cursor:
            cursor.itersize = _FETCHED
            cursor.execute(QUERIES["page"], values)
            while size < PAGE_BYTES and (found := cursor.fetchmany(_FETCHED)):
                rows += [Row(*one) for one in found]
                size += sum(_size(row) for row in rows[-len(found) :])
            last = len(rows) < PAGE_ROWS and size < PAGE_BYTES
    return Page(span, rows, last)


def _size(row: Row) -> int:
    return sum(len(text) for text in (row.properties, row.traits, row.context) if text)


@dataclass(frozen=True)
class Refused:
    row: Row
    status: int
    answer: str


@dataclass(frozen=True)
class Done:
    """What came of a page, or of its beginning: how many were sent, refused, had been here."""

    span: Span
    sent: Sequence[Row]
    refused: Sequence[Refused]
    looped: Sequence[Row]


def keep(tx: Connection, forward_id: int, done: Done, clock: datetime) -> None:
    """How far it is, and what became of each event up to there, in one transaction."""
    with tx.transaction():
        ended = done.span.again and done.span.at_era == 0
        moved = tx.execute(QUERIES["move"], {
            **done.span.values(), "sent": len(done.sent), "refused": len(done.refused),
            "looped": len(done.looped), "finished_at": clock if ended else None,
        })  # fmt: skip
        if moved.rowcount == 0:  # the forward was removed meanwhile
            return
        if done.refused:
            tx.execute(QUERIES["note_refused"], {
                "forward_id": forward_id, "clock": clock,
                "event_ids": [one.row.event_id for one in done.refused],
                "received": [one.row.received_at for one in done.refused],
                "statuses": [one.status for one in done.refused],
                "answers": [one.answer for one in done.refused],
            })  # fmt: skip
        days = _by_day(done)
        if days:
            tx.execute(QUERIES["note_days"], {"forward_id": forward_id, **days})


def _by_day(done: Done) -> dict[str, list[Any]]:
    """The counts by day and type, a list a column; of a replay only what was sent again."""
    counts: dict[tuple[Any, str], list[int]] = {}

    def add(row: Row, place: int) -> None:
        counts.setdefault((row.received_at.date(), row.type), [0, 0, 0, 0])[place] += 1

    for row in done.sent:
        add(row, 3 if done.span.again else 0)
    if not done.span.again:
        for one in done.refused:
            add(one.row, 1)
        for row in done.looped:
            add(row, 2)
    if not counts:
        return {}
    rows = [(*key, *found) for key, found in sorted(counts.items())]
    names = ("days", "types", "sent", "refused", "looped", "sent_again")
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
