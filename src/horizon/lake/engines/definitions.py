"""Definitions in PostgreSQL's words, carried to an engine's own."""

from __future__ import annotations

from functools import cache, partial
from typing import LiteralString

import sqlglot
from sqlglot import exp

from horizon.postgres.queries import Queries

QUERIES = Queries("horizon.lake.engines", "postgres.sql")

_MICROS = {"duckdb": "EPOCH_US", "spark": "UNIX_MICROS"}


@cache
def carried(definition: str, dialect: str) -> str:
    """The same query in another dialect; its parameters are written as that one writes them."""
    query = sqlglot.parse_one(definition, dialect="postgres")
    return query.transform(partial(_in_seconds, dialect=dialect)).sql(dialect, comments=False)


def over_the_hot_store(definition: LiteralString) -> LiteralString:
    """What the definition asks, as PostgreSQL answers it of the events that are still hot.

    The reference that engines are compared with; also whose lineage is read.
    """
    return f"{QUERIES['relations']}\n{definition}"


def _in_seconds(node: exp.Expr, dialect: str) -> exp.Expr:
    """Seconds between two times, by whole microseconds.

    What engines call an interval differs, and Spark takes no epoch of one.
    """
    between = node.expression if isinstance(node, exp.Extract) else None
    if not isinstance(between, exp.Sub) or node.name.upper() != "EPOCH":
        return node
    ends = [exp.func(_MICROS[dialect], end.copy()) for end in (between.left, between.right)]
    micros = exp.cast(exp.paren(exp.Sub(this=ends[0], expression=ends[1])), "double")
    return exp.paren(micros / exp.cast(exp.Literal.number(1_000_000), "double"))
