"""What stands in a FROM: tables, views, functions, subqueries, lists of values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from sqlglot import exp

from horizon.observe.lineage.dictionary import Table
from horizon.observe.lineage.model import Column, Kind, Origin, Relation, Value, given
from horizon.observe.lineage.scope import OthersTableError, Scope, UnreadableQueryError

if TYPE_CHECKING:
    from horizon.observe.lineage.reader import Reader

# Functions that make rows of several columns.
ROWS = {"jsonb_each": ("key", "value"), "jsonb_each_text": ("key", "value")}

OTHERS = re.compile(r"pg_|procrastinate_|migrations$")

WRITES = re.compile(r"\b(INSERT INTO|UPDATE|DELETE FROM)\b")
INTO = re.compile(r"(?<=RETURNING \*) INTO \w+")
_DECLARATION = re.compile(r"(\w+) (\w+)(?:\s*:=\s*(.*?))?;", re.DOTALL)


def add(reader: Reader, node: exp.Expr, scope: Scope) -> Value:
    """Take it into the scope by its alias; gives what decided which rows it has."""
    relation = _relation(reader, node, scope)
    if node.args.get("ordinality"):
        relation = Relation(
            {**relation.columns, "ordinality": given("the row's number")}, relation.whole
        )
    names = [name for name in node.alias_column_names if name]
    if names:
        relation = relation.renamed(names)
    scope.relations[node.alias_or_name] = relation
    return relation.whole | reader.joins(node.args.get("joins") or (), scope)


def _relation(reader: Reader, node: exp.Expr, scope: Scope) -> Relation:
    if isinstance(node, exp.Lateral):
        return _relation_of_lateral(reader, node, scope)
    if isinstance(node, exp.Subquery):
        return reader.query(node.this, scope.outside())
    if isinstance(node, exp.Values):
        return reader.rows(node, scope)
    if isinstance(node, exp.Unnest):
        return _unnest(reader, node, scope)
    if isinstance(node, exp.Table):
        if isinstance(node.this, exp.Identifier):
            return _named(reader, node.name, scope)
        return _function(reader, node.this, node.alias, scope)
    raise UnreadableQueryError(f"nothing is known of {type(node).__name__.upper()} in FROM")


def _relation_of_lateral(reader: Reader, node: exp.Lateral, scope: Scope) -> Relation:
    if isinstance(node.this, exp.Subquery):
        return reader.query(node.this.this, scope)
    if isinstance(node.this, exp.Values | exp.Unnest):
        return _relation(reader, node.this, scope)
    return _function(reader, node.this, node.alias, scope)


def _named(reader: Reader, name: str, scope: Scope) -> Relation:
    cte = scope.cte(name)
    if cte is not None:
        return cte
    if name in reader.filled:
        return reader.filled[name]
    view = reader.known.views.get(name)
    if view is not None and reader.expand:
        return reader.query(view)
    reader.trace.reads.add(name)
    if view is not None:
        return _as_stored(name, view_columns(reader, name))
    if name not in reader.known.tables and OTHERS.match(name):
        raise OthersTableError(f"{name} is no table of ours")
    if name not in reader.known.tables:
        raise UnreadableQueryError(f"there is no table {name}")
    return stored(reader.known.tables[name])


def view_columns(reader: Reader, name: str) -> Iterator[str]:
    yield from type(reader)(reader.known).query(reader.known.views[name]).columns


def stored(table: Table) -> Relation:
    return _as_stored(table.name, iter(table.columns))


def _as_stored(name: str, columns: Iterator[str]) -> Relation:
    return Relation({one: Value(frozenset({Origin(Column(name, one))})) for one in columns})


def _unnest(reader: Reader, node: exp.Unnest, scope: Scope) -> Relation:
    """A column for each array; with one alone and no names the alias is the column's too."""
    alias = node.args.get("alias")
    names = [one.name for one in alias.columns] if alias else []
    names = names or [node.alias or f"unnest{place}" for place in range(len(node.expressions))]
    values = [
        reader.expressions.value(one, scope).through(Kind.TRANSFORMATION)
        for one in node.expressions
    ]
    columns = dict(zip(names, values, strict=True))
    offset = node.args.get("offset")
    if offset:
        columns[offset.name] = given("the row's number")
    return Relation(columns)


def _function(reader: Reader, node: exp.Expr, alias: str, scope: Scope) -> Relation:
    if isinstance(node, exp.Anonymous):
        ours = reader.call(node.name.lower(), node.expressions, scope)
        if ours is not None:
            return ours
    value = reader.expressions.value(node, scope).through(Kind.TRANSFORMATION)
    return Relation(dict.fromkeys(ROWS.get(node.name.lower(), (alias,)), value))


def declarations(text: str) -> Iterator[tuple[str, str, str | None]]:
    """PL/pgSQL's: name, type and the value that it begins with."""
    for found in _DECLARATION.finditer(text.replace("DECLARE", "")):
        yield found[1], found[2], found[3]
