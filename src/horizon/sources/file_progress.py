"""How far a file is: written with the rows, so that whatever ends the process, it goes on there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import psycopg

from horizon.errors import HorizonError
from horizon.postgres.database import Connection
from horizon.postgres.queries import Queries
from horizon.sources.lines import Position

QUERIES = Queries("horizon.sources")
_LOCK_WAIT = "10s"  # a process that was killed leaves its session for a moment


class Counts(NamedTuple):
    inserted: int = 0
    duplicates: int = 0
    rejected: int = 0

    @property
    def read(self) -> int:
        return sum(self)


@dataclass(frozen=True)
class Progress:
    """A file in a source, read with a mapping."""

    position: Position
    counts: Counts
    finished_at: datetime | None
    others: bool  # it was read with another mapping too


class FileKey(NamedTuple):
    source_id: int
    digest: str
    mapping: str

    def begin(self, tx: Connection, now: datetime, *, again: bool) -> Progress:
        """Where it stands; with ``again``, at the beginning."""
        query = QUERIES["restart_file" if again else "begin_file"]
        tx.execute(query, {**self._asdict(), "now": now})
        row = tx.execute(QUERIES["file_progress"], self._asdict()).fetchone()
        assert row is not None
        return Progress(
            Position(row.next_offset, row.number),
            Counts(row.inserted, row.duplicates, row.rejected),
            row.finished_at,
            row.others or again,
        )

    def move(self, tx: Connection, start: Position, end: Position, counts: Counts) -> None:
        """In the transaction of the rows. Raises HorizonError where somebody else moved it."""
        values: dict[str, Any] = {
            **self._asdict(), **counts._asdict(), "start": start.offset,
            "next_offset": end.offset, "number": end.number,
        }  # fmt: skip
        if tx.execute(QUERIES["move_file"], values).rowcount != 1:
            raise HorizonError("Another process reads this file too: let it finish.")

    def finish(self, tx: Connection, now: datetime) -> None:
        tx.execute(QUERIES["finish_file"], {**self._asdict(), "now": now})

    @contextmanager
    def held(self, connection: Connection, name: str) -> Iterator[None]:
        """One process at a time. The lock is the session's, so it ends with the process."""
        key = [":".join(map(str, self))]
        try:
            with connection.transaction():
                connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_WAIT}'".encode())
                connection.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", key)
        except psycopg.errors.LockNotAvailable as exc:
            raise HorizonError(f"Another process ingests {name}: let it finish.") from exc
        try:
            yield
        finally:
            if not connection.broken:
                connection.rollback()
                connection.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", key)
                connection.commit()
