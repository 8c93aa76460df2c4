"""Rows out of PostgreSQL as Arrow batches, through its binary COPY: nothing looks at each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import pyarrow as pa
from adbc_driver_manager import Error as AdbcError
from adbc_driver_postgresql import StatementOptions, dbapi
from psycopg import sql

from horizon.errors import DatabaseError
from horizon.postgres.database import Connection, Database, Role

# Larger ones cost twice as much: their memory is new to the process each time.
BATCH_BYTES = 2**20


def statement(tx: Connection, query: str, values: Mapping[str, Any]) -> str:
    """A named query with its values in it: ADBC copies only a statement without parameters."""
    text = query.rstrip(";")
    for name in values:
        text = text.replace(f"%({name})s", f"{{{name}}}")
    filled = sql.SQL(cast(Any, text))
    return filled.format(**{name: sql.Literal(value) for name, value in values.items()}).as_string(
        tx
    )


@contextmanager
def stream(database: Database, text: str) -> Iterator[Iterator[pa.RecordBatch]]:
    """The rows of a statement, over a connection of their own. Raises DatabaseError."""
    hint = {StatementOptions.BATCH_SIZE_HINT_BYTES.value: str(BATCH_BYTES)}
    try:
        with (
            dbapi.connect(database.conninfo(Role.WORKER), autocommit=True) as connection,
            connection.cursor(adbc_stmt_kwargs=hint) as cursor,
        ):
            cursor.execute(text)
            yield cursor.fetch_record_batch()
    except AdbcError as exc:
        raise DatabaseError(
            f"The database did not give its events ({' '.join(str(exc).split())}): run `horizon "
            "archive` again, and see `horizon doctor` if it stays so."
        ) from exc
