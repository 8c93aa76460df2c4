"""An Arrow table into PostgreSQL by its binary COPY: nothing looks at each row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, LiteralString

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from psycopg import sql

from horizon.postgres.database import Connection

_EPOCH_MICROS: Final = 946_684_800_000_000  # 2000-01-01, where PostgreSQL's times begin
_HEAD: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TAIL: Final = b"\xff\xff"
_FORMS: Final = {"int4": ">i4", "int8": ">i8", "float8": ">f8", "time": ">i8", "bool": "i1"}


def copy(
    tx: Connection,
    statement: LiteralString | sql.Composed,
    table: pa.Table,
    kinds: Mapping[str, str],
) -> None:
    """``statement`` is a ``COPY ... FROM STDIN (FORMAT binary)`` of the columns of ``kinds``.

    A kind is int4, int8, float8, time, bool or text; texts are few different ones.
    """
    columns = [table[name].combine_chunks() for name in kinds]
    with tx.cursor() as cursor, cursor.copy(statement) as stream:
        stream.write(_HEAD)
        for rows in _alike(columns, list(kinds.values())):
            alike = [column.take(rows) for column in columns]
            stream.write(_rows(alike, list(kinds.values())).tobytes())
        stream.write(_TAIL)


def _alike(columns: list[pa.Array], kinds: list[str]) -> Iterator[pa.Array]:
    """Rows of the same width: the same texts, and NULL in the same columns. Those are few sorts."""
    sorts = np.zeros(len(columns[0]), np.int64)
    for column, kind in zip(columns, kinds, strict=True):
        if kind == "text":
            coded = column.dictionary_encode()
            indices = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
            sorts = sorts * (len(coded.dictionary) + 1) + indices + 1
        elif column.null_count:
            sorts = sorts * 2 + column.is_null().to_numpy(zero_copy_only=False)
    for one in np.unique(sorts):
        yield pa.array(np.flatnonzero(sorts == one))


def _rows(columns: list[pa.Array], kinds: list[str]) -> NDArray[np.void]:
    form: list[tuple[str, str]] = [("count", ">i2")]
    values: dict[str, Any] = {"count": len(columns)}
    for at, (column, kind) in enumerate(zip(columns, kinds, strict=True)):
        width, told = _told(column, kind)
        form.append((f"length{at}", ">i4"))
        values[f"length{at}"] = width
        if width > 0:
            form.append((f"value{at}", _FORMS.get(kind, f"S{width}")))
            values[f"value{at}"] = told
    rows = np.empty(len(columns[0]), np.dtype(form))
    for name, value in values.items():
        rows[name] = value
    return rows


def _told(column: pa.Array, kind: str) -> tuple[int, Any]:
    """The width of each value of a column of one sort, -1 for NULL, and the values."""
    if column.null_count:
        return -1, None
    if kind == "text":
        said = str(column[0]).encode()
        return len(said), said
    if kind == "time":
        return 8, column.cast(pa.int64()).to_numpy(zero_copy_only=False) - _EPOCH_MICROS
    return np.dtype(_FORMS[kind]).itemsize, column.to_numpy(zero_copy_only=False)
