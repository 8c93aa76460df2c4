"""Tables, views and functions as the migrations make them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache

import sqlglot
from sqlglot import exp
from sqlglot.tokenizer_core import Token, TokenType

from horizon.postgres.migrate import migrations

DIALECT = "postgres"

_FUNCTION = re.compile(
    r"CREATE FUNCTION (?P<name>\w+)\((?P<arguments>[^)]*)\)\s*"
    r"RETURNS (?P<returns>TABLE \((?P<table>[^)]*)\)|(?:SETOF )?\w+).*?"
    r"LANGUAGE (?P<language>\w+).*?\$\$(?P<body>.*)\$\$",
    re.DOTALL,
)


@dataclass(frozen=True)
class Table:
    """Its columns and their types, in order; ``filled`` are those that fill themselves."""

    name: str
    columns: Mapping[str, str]
    filled: Mapping[str, str]


@dataclass(frozen=True)
class Function:
    """One of ours. ``returns`` names its columns where it is a table's; a body in SQL is followed
    like a query, one in PL/pgSQL statement by statement."""

    name: str
    arguments: tuple[tuple[str, str], ...]  # name, type
    returns: tuple[str, ...]
    language: str
    body: str


@dataclass(frozen=True)
class Dictionary:
    tables: Mapping[str, Table]
    views: Mapping[str, exp.Expr]
    functions: Mapping[str, Function]


@cache
def dictionary() -> Dictionary:
    """Of this version of Horizon: needs no database."""
    return read(text for _, text in migrations())


def with_temporary(known: Dictionary, texts: Iterable[str]) -> tuple[Dictionary, frozenset[str]]:
    """Also the temporary tables that these queries make; and their names."""
    made = [
        _table(sqlglot.parse_one(statement, dialect=DIALECT))
        for text in texts
        if "CREATE TEMP TABLE" in text
        for statement in statements(text)
    ]
    tables = {**known.tables, **{table.name: table for table in made}}
    return replace(known, tables=tables), frozenset(table.name for table in made)


def read(texts: Iterable[str]) -> Dictionary:
    tables: dict[str, Table] = {}
    views: dict[str, exp.Expr] = {}
    functions: dict[str, Function] = {}
    for statement in (one for text in texts for one in statements(text)):
        begin = statement[:16].upper()
        if begin.startswith("CREATE FUNCTION"):
            function = _function(statement)
            functions[function.name] = function
        elif begin.startswith("CREATE TABLE") and "PARTITION OF" not in statement:
            table = _table(sqlglot.parse_one(statement, dialect=DIALECT))
            tables[table.name] = table
        elif begin.startswith("CREATE VIEW"):
            view = sqlglot.parse_one(statement, dialect=DIALECT)
            views[view.this.name] = view.expression
    return Dictionary(tables, views, functions)


def statements(text: str) -> Iterator[str]:
    """A file's statements. Semicolons in comments and bodies end none."""
    begin: Token | None = None
    for token in sqlglot.tokenize(text, dialect=DIALECT):
        if token.token_type is TokenType.SEMICOLON:
            if begin is not None:
                yield text[begin.start : token.start]
            begin = None
        elif begin is None:
            begin = token
    if begin is not None:
        yield text[begin.start :]


def _table(create: exp.Expr) -> Table:
    columns: dict[str, str] = {}
    filled: dict[str, str] = {}
    for part in create.this.expressions:
        if not isinstance(part, exp.ColumnDef):
            continue
        columns[part.name] = part.args["kind"].sql(dialect=DIALECT).lower()
        for constraint in part.constraints:
            if isinstance(constraint.kind, exp.DefaultColumnConstraint):
                filled[part.name] = f"default {constraint.kind.this.sql(dialect=DIALECT)}"
            elif isinstance(constraint.kind, exp.GeneratedAsIdentityColumnConstraint):
                filled[part.name] = "default: the next number"
    return Table(create.this.this.name, columns, filled)


def _function(statement: str) -> Function:
    found = _FUNCTION.match(statement)
    if found is None:
        raise ValueError(f"This function is written in a way that lineage cannot read: {statement}")
    return Function(
        found["name"], tuple(_pairs(found["arguments"])),
        tuple(name for name, _ in _pairs(found["table"] or "")), found["language"], found["body"],
    )  # fmt: skip


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for part in text.split(","):
        if part.strip():
            name, _, kind = part.strip().partition(" ")
            yield name, kind.strip()
