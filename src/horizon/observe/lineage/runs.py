"""What a run tells of itself, put into a queue on disk: no stage ever waits for who listens.

The queue holds what only the run knows. What the SQL says is added when it is delivered, so that
a stage does not pay for reading it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID, uuid4

import msgspec
import psycopg

from horizon import clock
from horizon.errors import HorizonError
from horizon.observe.lineage.kept import Kept, NullKept
from horizon.observe.lineage.queue import Queue

PIPELINE = "pipeline"


class Fact(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the queue. ``database`` is (server, name)."""

    event: str  # START, COMPLETE, FAIL, ABORT
    time: datetime
    job: str
    run: UUID
    now: datetime
    database: tuple[str, str]
    parent: UUID | None = None
    figures: dict[str, Any] = {}
    error: str | None = None


@dataclass
class Told:
    """What a run has to say so far; its figures go out with its end."""

    figures: Mapping[str, Any] = field(default_factory=dict)


class Lineage(Protocol):
    def run(
        self, job: str, now: datetime, *, run_id: UUID | None = None, parent: UUID | None = None
    ) -> AbstractContextManager[Told]:
        """Tell of a run from its start to its end; an exception is told and goes on."""


class NullLineage:
    @contextmanager
    def run(
        self, job: str, now: datetime, *, run_id: UUID | None = None, parent: UUID | None = None
    ) -> Iterator[Told]:
        del job, now, run_id, parent
        yield Told()


class QueuedLineage:
    """``database`` as OpenLineage names it: ("postgres://host:port", "name").

    Where the queue's disk takes nothing, ``kept`` has the events; where that takes nothing either,
    this process has them until one of the two does.
    """

    def __init__(self, queue: Queue, database: tuple[str, str], kept: Kept | None = None) -> None:
        self._queue = queue
        self._database = database
        self._kept = kept or NullKept()
        self._waiting: list[bytes] = []
        self._lock = threading.Lock()  # a campaign is planned and sent at the same time
        self._complained = False

    @contextmanager
    def run(
        self, job: str, now: datetime, *, run_id: UUID | None = None, parent: UUID | None = None
    ) -> Iterator[Told]:
        start = Fact("START", clock.now(), job, run_id or uuid4(), now, self._database, parent)
        told = Told()
        with self._open(start):
            queued = self._put(start)

            def end(event: str, error: str | None = None) -> None:
                self._put(_ended(start, event, told, error), queued=queued)

            try:
                yield told
            except HorizonError as exc:
                end("FAIL", str(exc))
                raise
            except Exception as exc:
                end("FAIL", _scrubbed(exc))
                raise
            except BaseException:
                end("ABORT", "It was stopped.")
                raise
            end("COMPLETE")

    def _put(self, fact: Fact, *, queued: bool = True) -> bool:
        """Whether the queue has it. A run's end goes where its start went, so that it comes
        after it."""
        with self._lock:
            self._waiting.append(msgspec.json.encode(fact, enc_hook=str))
            if not queued and self._keep():
                return False
            try:
                while self._waiting:
                    self._queue.append(self._waiting[0])
                    del self._waiting[0]
            except OSError as exc:
                self._complain(exc, kept=self._keep())
                return False
            return True

    def _keep(self) -> bool:
        kept = self._kept.put(self._waiting)
        if kept:
            self._waiting.clear()
        return kept

    def _complain(self, exc: OSError, *, kept: bool) -> None:
        if self._complained:
            return
        self._complained = True
        where = "in the database" if kept else "in this process, and are lost with it"
        with contextlib.suppress(OSError, ValueError):
            print(
                f"horizon: events of lineage wait {where}, because {self._queue.folder} takes "
                f"nothing ({exc.strerror}): free some disk.",
                file=sys.stderr,
            )

    @contextmanager
    def _open(self, start: Fact) -> Iterator[None]:
        """A file that is locked as long as the run lives, so that one that was killed is known."""
        folder = self._queue.folder / "open"
        path = folder / str(start.run)
        try:
            file = _held(folder, path, msgspec.json.encode(start, enc_hook=str))
        except OSError:  # _put says so
            yield
            return
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            os.close(file)


def _ended(start: Fact, event: str, told: Told, error: str | None) -> Fact:
    if error is not None:  # a file's name may hold a lone surrogate
        error = error.encode(errors="replace").decode()
    figures = dict(told.figures)
    return msgspec.structs.replace(
        start, event=event, time=clock.now(), figures=figures, error=error
    )


def _held(folder: Path, path: Path, text: bytes) -> int:
    """The file is locked before it has its name: nobody meets it unlocked."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = folder / f".{path.name}"
    file = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        os.write(file, text)
        fresh.rename(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        os.close(file)
        raise
    return file


def abort_killed(queue: Queue) -> None:
    """End the runs whose processes are gone."""
    folder = queue.folder / "open"
    for path in sorted(folder.iterdir()) if folder.exists() else ():
        with contextlib.suppress(FileNotFoundError, BlockingIOError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError: it runs
            if not os.fstat(file.fileno()).st_nlink:
                continue  # it has just ended by itself
            with contextlib.suppress(msgspec.ValidationError, msgspec.DecodeError):
                start = msgspec.json.decode(file.read(), type=Fact)
                if not path.name.startswith("."):  # killed before its START, it was no run yet
                    _abort(queue, start)
            path.unlink(missing_ok=True)


def _abort(queue: Queue, start: Fact) -> None:
    """Raises OSError where the disk is full: then it is for another time."""
    why = "Its process ended without a word."
    end = msgspec.structs.replace(start, event="ABORT", time=clock.now(), error=why)
    queue.append(msgspec.json.encode(end))


def _scrubbed(exc: Exception) -> str:
    """Without the rows that a database's DETAIL shows."""
    said = exc.diag.message_primary if isinstance(exc, psycopg.Error) else None
    return said or type(exc).__name__
