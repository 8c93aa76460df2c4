"""A database connection that is held open, and opened again by itself after it broke."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import psycopg

from horizon.errors import DatabaseError
from horizon.log import Logger
from horizon.postgres.database import Connection, Database, Role
from horizon.postgres.era import current_era

T = TypeVar("T")
Work = Callable[[Connection, int], T]

_ATTEMPTS = 3
# Broken while idle, shut down, chosen in a deadlock; the last one is a row on its way to the
# default partition while a new one was made. Ids make a repeat safe.
_PASSING = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.errors.CheckViolation)
_PAUSE_S = 0.5  # between attempts to connect, while requests are answered 503 at once


class Unavailable(Exception):  # noqa: N818 - an answer, not a failure
    """The database is away, or may not be written."""


class HeldConnection:
    """For one thread. The era is read anew with each connection: it may be another server."""

    def __init__(
        self, database: Database, log: Logger, role: Role = Role.EDGE, options: str = ""
    ) -> None:
        self._database = database
        self._log = log
        self._role = role
        self._options = options
        self._connection: Connection | None = None
        self._era = 0
        self._away_until_s = 0.0
        self._away = False

    def run(self, work: Work[T]) -> T:
        """``work(tx, era)`` in a transaction of its own; it must bear to be run again.

        Raises Unavailable; what else ``work`` raises passes, after a rollback.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            connection = self._opened()
            try:
                with connection.transaction():
                    result = work(connection, self._era)
            except _PASSING as exc:
                self.close()
                if attempt == _ATTEMPTS:
                    raise self._unavailable(exc) from exc
            else:
                self._note(away=False)
                return result
        raise AssertionError

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(psycopg.Error):
                connection.close()

    def _opened(self) -> Connection:
        if self._connection is None:
            if time.monotonic() < self._away_until_s:
                raise Unavailable
            try:
                self._connection = self._open()
            except (DatabaseError, psycopg.Error) as exc:
                raise self._unavailable(exc) from exc
        return self._connection

    def _open(self) -> Connection:
        connection = self._database.connect(self._role, autocommit=True, options=self._options)
        try:
            self._era = current_era(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _unavailable(self, exc: Exception) -> Unavailable:
        self._away_until_s = time.monotonic() + _PAUSE_S
        self._note(away=True, error=type(exc.__cause__ or exc).__name__)
        return Unavailable()

    def _note(self, *, away: bool, error: str | None = None) -> None:
        if away != self._away:
            self._away = away
            say = self._log.error if away else self._log.info
            fields = {"error": error} if error else {}
            say("database_away" if away else "database_back", **fields)


class Desk:
    """Small questions to the database from the event loop, one after the other in a thread."""

    def __init__(self, connection: HeldConnection) -> None:
        self._connection = connection
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="desk")

    async def ask(self, work: Work[T]) -> T:
        """Raises Unavailable."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._connection.run, work)

    def close(self) -> None:
        self._thread.shutdown()
        self._connection.close()
