"""Eras: a database remembers which cluster it lives in, since transaction ids mean something
only there."""

from __future__ import annotations

import psycopg

from horizon.errors import DatabaseError
from horizon.postgres.database import Connection


def system_identifier(tx: Connection) -> str:
    row = tx.execute("SELECT system_identifier::text AS id FROM pg_control_system()").fetchone()
    return str(row.id) if row else ""


def open_era(tx: Connection, reason: str) -> int:
    row = tx.execute(
        "INSERT INTO eras (era, system_identifier, reason) "
        "SELECT coalesce(max(era), 0) + 1, %s, %s FROM eras RETURNING era",
        [system_identifier(tx), reason],
    ).fetchone()
    assert row is not None
    return int(row.era)


def current_era(tx: Connection) -> int:
    """The era of this cluster; raise DatabaseError where the database came from another one."""
    try:
        row = tx.execute(
            "SELECT era, system_identifier FROM eras ORDER BY era DESC LIMIT 1"
        ).fetchone()
    except psycopg.errors.UndefinedTable as exc:
        raise DatabaseError("The database is not set up: run `horizon init`.") from exc
    if row is None:
        raise DatabaseError("The database is not set up: run `horizon init`.")
    if row.system_identifier != system_identifier(tx):
        raise DatabaseError(
            "This database was copied from another server: run `horizon restore --adopt` to let "
            "Horizon take it over."
        )
    return int(row.era)
