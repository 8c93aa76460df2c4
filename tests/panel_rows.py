"""A panel's rows as a search server answers them, and as the tables have them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from horizon.observe.kibana.panels import LISTED, Chart, Column, Panel
from horizon.postgres.database import Connection
from horizon.postgres.queries import Queries

QUERIES = Queries("horizon.observe.kibana")
Row = dict[str, Any]


def searched(panel: Panel, answer: Any) -> list[Row]:
    """The rows that the panel's picture is drawn from."""
    records = _at(answer, panel.rows)
    if panel.unpack:
        records = [
            {"index": index, "value": value}
            for hit in records
            for index, value in enumerate(hit["_source"][panel.unpack][:LISTED])
        ]
    return [
        {column.name: _value(panel, column, one) for column in panel.columns} for one in records
    ]


def _value(panel: Panel, column: Column, record: Any) -> Any:
    value = _at(record, column.path)
    if column is panel.along and panel.chart in (Chart.RUNS, Chart.HOURS):
        return datetime.fromtimestamp(value / 1000, UTC)
    return value * column.scale if column.scale != 1 else value


def _at(record: Any, path: str) -> Any:
    for name in path.split("."):
        record = record[name]
    return record


def tabled(panel: Panel, tx: Connection) -> list[Row]:
    return [row._asdict() for row in tx.execute(QUERIES[panel.name])]


def same(panel: Panel, left: list[Row], right: list[Row]) -> bool:
    """Whatever the order, but that of a list."""
    names = [column.name for column in panel.columns]
    if not panel.unpack:
        left, right = (sorted(rows, key=lambda row: _key(panel, row)) for rows in (left, right))
    return len(left) == len(right) and all(
        set(one) == set(other) == set(names)
        and all(_equal(one[name], other[name]) for name in names)
        for one, other in zip(left, right, strict=True)
    )


def _key(panel: Panel, row: Row) -> tuple[Any, ...]:
    return tuple(row[column.name] for column in (panel.along, *panel.others))


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, float) or isinstance(other, float):
        return abs(one - other) < 1e-9
    return bool(one == other)
