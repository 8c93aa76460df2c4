"""PostgreSQL itself says which columns a query names: lineage misses none, and makes none up."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import psycopg
import pytest
import sqlglot

from horizon.observe.lineage import sources
from horizon.observe.lineage.dictionary import dictionary, with_temporary
from horizon.observe.lineage.jobs import _NOT_SQL, named_queries
from horizon.observe.lineage.model import Column, Relation, Value
from horizon.observe.lineage.reader import Reader
from horizon.observe.lineage.scope import OthersTableError, Scope
from horizon.postgres.database import Database, Role
from tests.integration.test_queries import COPIES, TYPED

# Of a function whose body is parsed when it is made, the server keeps what it depends on.
MAKE = "CREATE FUNCTION pg_temp.asked() RETURNS void LANGUAGE sql BEGIN ATOMIC {text}\n; END"
DEPENDS = """
SELECT DISTINCT c.relname, a.attname
FROM pg_depend d JOIN pg_class c ON c.oid = d.refobjid
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid
WHERE d.classid = 'pg_proc'::regclass AND d.objid = 'pg_temp.asked'::regproc
  AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0
"""
KNOWN, TEMPORARY = with_temporary(dictionary(), named_queries().values())
ROOMS = ("campaigns.make_room", "identity.make_room")
MOVES_NO_DATA = {*ROOMS, "campaigns.empty_room"}
CASES = sorted(set(named_queries()) - COPIES - MOVES_NO_DATA)


def named_by_postgres(tx: psycopg.Connection[Any], text: str) -> set[Column]:
    text = text.replace("{scores}", "scores").replace("{events}", "profile_events")
    text = text.rstrip().rstrip(";")
    parameters = {name: TYPED.get(name) for name in re.findall(r"%\((\w+)\)s", text)}
    if any(name in text for name in TEMPORARY):
        for room in ROOMS:
            tx.execute(named_queries()[room])
    psycopg.ClientCursor(tx).execute(MAKE.replace("{text}", text), parameters)
    return {Column(row[0], row[1]) for row in tx.execute(DEPENDS)}


def keys_of_conflicts(text: str) -> set[str]:
    """Which columns a conflict is about is no source of anything."""
    found = re.findall(r"ON CONFLICT \(([^)]*)\)", text)
    return {key for part in found for key in re.findall(r"\w+", part)}


@cache
def view_columns(name: str) -> list[str]:
    return list(Reader(dictionary()).query(dictionary().views[name]).columns)


class Notes:
    """Every column that a reader comes by, and whether it went into a function of ours."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.columns: set[Column] = set()
        self.called = False
        for name in dictionary().views:
            view_columns(name)  # before anything is noted
        plain_column, plain_all = Scope.column, Reader._all
        plain_joins, plain_call = Reader.joins, Reader.call

        def column(scope: Scope, *more: Any) -> Value:
            return self.note(plain_column(scope, *more))

        def joins(reader: Reader, *more: Any) -> Value:
            return self.note(plain_joins(reader, *more))

        def everything(reader: Reader, columns: dict[str, Value], *more: Any) -> None:
            before = set(columns)
            plain_all(reader, columns, *more)
            for name in columns.keys() - before:
                self.note(columns[name])

        def call(reader: Reader, *more: Any) -> Relation | None:
            found = plain_call(reader, *more)
            self.called |= found is not None
            return found

        patch.setattr(Scope, "column", column)
        patch.setattr(Reader, "_all", everything)
        patch.setattr(Reader, "joins", joins)
        patch.setattr(Reader, "call", call)
        patch.setattr(sources, "view_columns", lambda _, name: iter(view_columns(name)))

    def note(self, value: Value) -> Value:
        self.columns.update(origin.column for origin in value.origins)
        return value


@pytest.fixture
def notes() -> Iterator[Notes]:
    with pytest.MonkeyPatch.context() as patch:
        yield Notes(patch)


def read_by_us(text: str, notes: Notes) -> set[Column]:
    """Gives the columns that an INSERT leaves to themselves: in an ON CONFLICT the server counts
    them as named."""
    for what, instead in _NOT_SQL:
        text = text.replace(what, instead)
    reader = Reader(KNOWN)
    reader.query(sqlglot.parse(text, dialect="postgres")[0])
    left = set()
    for write in reader.trace.writes:
        for name, value in write.columns.items():
            filled = any(one.startswith(("default", "left empty")) for one in value.reasons)
            named = value.origins or not filled
            (notes.columns if named else left).add(Column(write.table, name))
    return left


@pytest.mark.parametrize("name", CASES)
def test_postgres_and_lineage_name_the_same_columns(
    name: str, module_database: Database, notes: Notes
) -> None:
    text = named_queries()[name]
    try:
        left = read_by_us(text, notes)
    except OthersTableError:
        return
    with module_database.connect(Role.OWNER) as tx:
        theirs = named_by_postgres(tx, text)
        tx.rollback()
    keys = keys_of_conflicts(text)
    missed = theirs - notes.columns - left
    assert {one for one in missed if one.name not in keys} == set(), "lineage has missed these"
    if not notes.called:  # a function names columns of its own, of which that list knows nothing
        made_up = notes.columns - theirs
        assert {one for one in made_up if one.name not in keys} == set(), "lineage made these up"


def test_a_column_that_lineage_misses_is_found_out(module_database: Database, notes: Notes) -> None:
    read_by_us("SELECT user_id FROM events WHERE name = 'x'", notes)
    with module_database.connect(Role.OWNER) as tx:
        theirs = named_by_postgres(tx, "SELECT user_id FROM events WHERE type = 'x'")
        tx.rollback()
    assert theirs - notes.columns == {Column("events", "type")}
    assert notes.columns - theirs == {Column("events", "name")}
