"""Rows out of PostgreSQL as Arrow batches, through its binary COPY: nothing looks at each."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
from adbc_driver_postgresql import StatementOptions, dbapi

from horizon.postgres.database import Database, Role

BATCH_BYTES = 8 * 2**20


def stream(database: Database, statement: str) -> Iterator[pa.RecordBatch]:
    """The rows of a statement that has its values in it, over a connection of their own."""
    hint = {StatementOptions.BATCH_SIZE_HINT_BYTES.value: str(BATCH_BYTES)}
    with (
        dbapi.connect(database.conninfo(Role.WORKER), autocommit=True) as connection,
        connection.cursor(adbc_stmt_kwargs=hint) as cursor,
    ):
        cursor.execute(statement)
        yield from cursor.fetch_record_batch()
