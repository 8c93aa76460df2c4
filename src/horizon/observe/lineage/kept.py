"""Where events of runs wait that the queue's disk has no room for: the database, whose disk has
taken what the run itself did."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import psycopg

from horizon.errors import HorizonError
from horizon.postgres.database import Database, Role, closing_connection
from horizon.postgres.queries import Queries

QUERIES = Queries("horizon.observe.lineage")
AT_ONCE = 1_000  # are read


class Kept(Protocol):
    def put(self, lines: Sequence[bytes]) -> bool:
        """Whether it has them, all of them."""

    def take(self, deliver: Callable[[bytes], None]) -> None:
        """Each line in its order, and forget it; what ``deliver`` raises ends that."""


class NullKept:
    """Takes nothing and has nothing."""

    def put(self, lines: Sequence[bytes]) -> bool:
        del lines
        return False

    def take(self, deliver: Callable[[bytes], None]) -> None:
        pass


@dataclass(frozen=True)
class DatabaseKept:
    """``find`` tells the database when it is asked: the embedded one may not run yet."""

    find: Callable[[], Database]
    target: str

    def put(self, lines: Sequence[bytes]) -> bool:
        try:
            with self.find().transaction(Role.WORKER) as tx:
                texts = [line.decode() for line in lines]
                tx.execute(QUERIES["keep_lineage"], {"target": self.target, "lines": texts})
        except (HorizonError, psycopg.Error):
            return False
        return True

    def take(self, deliver: Callable[[bytes], None]) -> None:
        try:
            connection = self.find().connect(Role.WORKER, autocommit=True)
        except HorizonError:
            return  # another time: who delivers from the disk needs no database
        values = {"target": self.target, "most": AT_ONCE}
        # Of a database that is not migrated yet, or goes away: what was not forgotten comes again.
        with closing_connection(connection), suppress(psycopg.Error):
            while rows := connection.execute(QUERIES["kept_lineage"], values).fetchall():
                for row in rows:
                    deliver(row.line.encode())
                    connection.execute(QUERIES["forget_lineage"], {"kept_id": row.kept_id})
