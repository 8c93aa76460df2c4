"""The request's own connection, as the house's functions take one.

What a screen changes through Django and what it writes by named queries is one transaction.
"""

from __future__ import annotations

from typing import Any, cast

import psycopg
from django.db import connection
from psycopg.rows import namedtuple_row
from psycopg.types.json import JsonbLoader

from horizon.postgres.database import Connection


def tx() -> Connection:
    connection.ensure_connection()
    return cast("Connection", _House(connection.connection))


class _House:
    """Rows by name, values bound by the server and jsonb read: Django sets its own otherwise."""

    def __init__(self, raw: psycopg.Connection[Any]) -> None:
        self._raw = raw

    def cursor(self) -> psycopg.Cursor[Any]:
        cursor = psycopg.Cursor(self._raw, row_factory=namedtuple_row)
        cursor.adapters.register_loader("jsonb", JsonbLoader)
        return cursor

    def execute(self, query: Any, params: Any = None, **more: Any) -> psycopg.Cursor[Any]:
        return self.cursor().execute(query, params, **more)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)
