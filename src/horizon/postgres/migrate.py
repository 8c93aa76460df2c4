"""SQL migrations with a ledger of their own: name and sha256 of each file that was applied."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from importlib import resources
from importlib.resources.abc import Traversable

import psycopg

from horizon.errors import DatabaseError
from horizon.postgres.database import (
    LOWEST_VERSION,
    Connection,
    Database,
    closing_connection,
    database_error,
)

Migration = tuple[str, str]  # name, text

LOCK = 4_857_001  # advisory: one migration at a time
JOBS = "procrastinate"
JOBS_GRANTS = """
GRANT SELECT, INSERT, UPDATE, DELETE ON procrastinate_jobs, procrastinate_events,
    procrastinate_periodic_defers, procrastinate_workers TO horizon_worker;
GRANT USAGE ON SEQUENCE procrastinate_jobs_id_seq, procrastinate_events_id_seq,
    procrastinate_periodic_defers_id_seq TO horizon_worker;
"""


def migrations() -> list[Migration]:
    """Our own, in order."""
    return _files(resources.files("horizon.postgres") / "schema")


def job_schema() -> str:
    """Procrastinate's tables, as its present version makes them."""
    return (resources.files(JOBS) / "sql" / "schema.sql").read_text() + JOBS_GRANTS


def job_migrations() -> list[Migration]:
    """What brings the tables of an older procrastinate to the present version's, in order."""
    files = _files(resources.files(JOBS) / "sql" / "migrations")
    return [(f"{JOBS}/{name}", text) for name, text in files]


def _files(folder: Traversable) -> list[Migration]:
    files = sorted((file for file in folder.iterdir()), key=lambda file: file.name)
    return [(file.name, file.read_text()) for file in files if file.name[0].isdigit()]


def migrate(database: Database) -> list[str]:
    """Apply what is missing, each file in a transaction of its own; give back their names.

    Raises DatabaseError where a migration that was applied has changed since, or where the
    server, the database or its user will not do.
    """
    with closing_connection(database.connect(autocommit=True)) as connection:
        _check_server(connection)
        try:
            connection.execute("SELECT pg_advisory_lock(%s)", [LOCK])
            connection.execute("SET lock_timeout = '5s'")  # not before: another one may take long
            return _apply_missing(connection)
        except psycopg.errors.InsufficientPrivilege as exc:
            raise DatabaseError(
                f"The database's user may not set it up ({exc.diag.message_primary}): make it the "
                "database's owner and give it CREATEROLE."
            ) from exc
        except psycopg.OperationalError as exc:
            raise database_error(exc) from exc


def _check_server(connection: Connection) -> None:
    if connection.info.server_version < LOWEST_VERSION:
        raise DatabaseError(
            f"PostgreSQL {connection.info.server_version // 10000} is too old: Horizon needs 15 or "
            "newer."
        )
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise DatabaseError(
            f"The database keeps text as {encoding}, and people's names do not fit: make one with "
            "`createdb --template=template0 --encoding=UTF8 NAME`."
        )


def _apply_missing(connection: Connection) -> list[str]:
    connection.execute(
        "CREATE TABLE IF NOT EXISTS migrations (name text PRIMARY KEY, sha256 text NOT NULL, "
        "applied_at timestamptz NOT NULL DEFAULT now())"
    )
    applied = {row.name: row.sha256 for row in connection.execute("SELECT * FROM migrations")}
    own = migrations()
    for name, text in own:
        if applied.get(name, _digest(text)) != _digest(text):
            raise DatabaseError(
                f"Migration {name} is not the one this database was made with: use the Horizon "
                "that made it, or `horizon backup` there and `horizon restore` here."
            )
    missing = [migration for migration in own if migration[0] not in applied]
    jobs = job_migrations()
    if JOBS not in applied:
        # The schema is what all of its migrations together make.
        missing.append((JOBS, job_schema()))
        return _apply(connection, missing, also=jobs)
    return _apply(connection, [*missing, *(new for new in jobs if new[0] not in applied)])


def _apply(
    connection: Connection, missing: Iterable[Migration], also: Iterable[Migration] = ()
) -> list[str]:
    """Apply each; the ledger learns of ``also``, which the last one contains."""
    done = []
    for name, text in missing:
        with connection.transaction():
            _apply_one(connection, name, text)
            for known, its_text in ((name, text), *(also if name == JOBS else ())):
                connection.execute(
                    "INSERT INTO migrations VALUES (%s, %s)", [known, _digest(its_text)]
                )
        done.append(name)
    return done


def _apply_one(connection: Connection, name: str, text: str) -> None:
    try:
        connection.execute(text.encode())
    except psycopg.errors.LockNotAvailable as exc:
        raise DatabaseError(
            f"Migration {name} waited 5 s for a table that something else holds: stop what uses "
            "the database and run `horizon init` again."
        ) from exc
    except (psycopg.errors.DuplicateTable, psycopg.errors.DuplicateObject) as exc:
        raise DatabaseError(
            f"The database holds something that is not Horizon's ({exc.diag.message_primary}): "
            "give PG_DSN a database of its own."
        ) from exc
    except (psycopg.errors.InsufficientPrivilege, psycopg.OperationalError):
        raise
    except psycopg.Error as exc:
        raise DatabaseError(
            f"Migration {name} cannot be applied ({exc.diag.message_primary}): nothing of it was "
            "done; mend that and run `horizon init` again."
        ) from exc


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
