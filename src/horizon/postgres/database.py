"""Where the database is and who one is in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow, namedtuple_row

from horizon.errors import DatabaseError, HorizonError
from horizon.postgres.embedded import EmbeddedPostgres
from horizon.settings import Settings

Connection = psycopg.Connection[Any]

LOWEST_VERSION = 150000


class Role(StrEnum):
    """What a connection may do: the migrations grant each what it needs."""

    OWNER = ""
    EDGE = "horizon_edge"
    WORKER = "horizon_worker"
    CONSOLE = "horizon_console"
    READER = "horizon_reader"


@dataclass(frozen=True)
class Database:
    dsn: str

    def conninfo(self, role: Role = Role.OWNER, more: str = "") -> str:
        options = [str(conninfo_to_dict(self.dsn).get("options") or ""), "-c timezone=UTC", more]
        if role:
            options.append(f"-c role={role}")
        return make_conninfo(
            self.dsn,
            options=" ".join(filter(None, options)),
            application_name=role or "horizon",
            connect_timeout=10,
        )

    def connect(
        self, role: Role = Role.OWNER, *, autocommit: bool = False, options: str = ""
    ) -> Connection:
        """Open a connection; raise DatabaseError with what to look at."""
        try:
            return psycopg.connect(
                self.conninfo(role, options), autocommit=autocommit, row_factory=namedtuple_row
            )
        except psycopg.Error as exc:
            raise database_error(exc) from exc

    @contextmanager
    def transaction(self, role: Role) -> Iterator[Connection]:
        with closing_connection(self.connect(role)) as tx, tx:
            yield tx

    def named(self, database: str) -> Database:
        """Another database of the same server."""
        return replace(self, dsn=make_conninfo(self.dsn, dbname=database))

    def for_program(self) -> tuple[str, dict[str, str]]:
        """The DSN without its password, and an environment with it: a command line is public."""
        values = conninfo_to_dict(self.dsn)
        password = values.pop("password", None)
        secret = {"PGPASSWORD": str(password)} if password is not None else {}
        return make_conninfo("", **values), {**os.environ, **secret}

    def server(self) -> Connection:
        """A connection from outside this database, to make, rename or drop it."""
        other = "postgres" if self.name != "postgres" else "template1"
        return self.named(other).connect(autocommit=True)

    @property
    def name(self) -> str:
        return str(conninfo_to_dict(self.dsn).get("dbname") or "")

    @property
    def server_url(self) -> str:
        """``postgres://HOST:PORT``, as OpenLineage names servers; one behind a socket is here."""
        values = conninfo_to_dict(self.dsn)
        host = str(values.get("host") or "").partition(",")[0]
        port = str(values.get("port") or "").partition(",")[0]
        return f"postgres://{'localhost' if host[:1] in ('', '/', '@') else host}:{port or 5432}"

    def make(self) -> None:
        """Make this database where there is none of its name."""
        with closing_connection(self.server()) as server:
            found = server.execute(
                "SELECT FROM pg_database WHERE datname = %s", [self.name]
            ).fetchone()
            if found is None:
                self._create(server)

    def drop(self) -> None:
        """Drop this database, if there is one, and end our sessions in it.

        Not WITH (FORCE): that wants to end autovacuum's as well, which only a superuser may; a
        plain DROP sends those away by itself.
        """
        with closing_connection(self.server()) as server:
            self.disconnect(server)
            server.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(self.name)))

    def disconnect(self, server: Connection) -> None:
        server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s "
            "AND pid <> pg_backend_pid() AND usename = current_user",
            [self.name],
        )

    def _create(self, server: Connection) -> None:
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'")
        try:
            server.execute(statement.format(sql.Identifier(self.name)))
        except psycopg.errors.DuplicateDatabase:
            pass  # another process was faster
        except psycopg.errors.InsufficientPrivilege as exc:
            raise DatabaseError(
                f"PG_DSN's user may not make the database {self.name}: give it CREATEDB, or make "
                "that database for it."
            ) from exc


@contextmanager
def closing_connection(connection: Connection) -> Iterator[Connection]:
    try:
        yield connection
    finally:
        connection.close()


def find(settings: Settings) -> Database:
    """The database of the settings: PG_DSN's, or the embedded one, started where it is not."""
    if settings.PG_DSN:
        return Database(_checked(settings.PG_DSN))
    server = EmbeddedPostgres(settings.home)
    server.start()
    return Database(server.dsn)


def _checked(dsn: str) -> str:
    try:
        conninfo_to_dict(dsn)
    except psycopg.Error as exc:
        raise DatabaseError(
            "PG_DSN cannot be read: it should look like postgresql://user:password@host:5432/name."
        ) from exc
    return dsn


def database_error(exc: psycopg.Error) -> HorizonError:
    """One sentence for the person; the driver's own words follow, without the password."""
    said = " ".join(str(exc).split("\n")[0].split())
    if "database" in said and "does not exist" in said:
        return DatabaseError(
            f"There is no such database ({said}): look at its name, or make it with `horizon init "
            "--database NAME`."
        )
    if "role" in said and "permission denied" in said:
        return DatabaseError(
            f"PG_DSN's user may not act as Horizon's roles ({said}): let it have CREATEROLE and "
            "run `horizon init`."
        )
    if 'role "horizon_' in said and "does not exist" in said:
        return DatabaseError("The database is not set up: run `horizon init`.")
    return DatabaseError(
        f"The database does not answer ({said}): start its server, or set PG_DSN to where it "
        "runs; `horizon up` starts the embedded one."
    )


def row_dicts(cursor: psycopg.Cursor[TupleRow]) -> list[dict[str, Any]]:
    names = [column.name for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
