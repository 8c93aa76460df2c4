"""The privacy catalogue declares every column and log field that there is, and no other."""

from __future__ import annotations

import ast
import tomllib
from importlib import resources
from pathlib import Path

import horizon
from horizon.observe.shipper import schema
from horizon.postgres.database import Database, Role

CATALOGUE = tomllib.loads((resources.files("horizon.privacy") / "catalogue.toml").read_text())
CLASSES = {"none", "pseudonym", "personal", "secret"}
TABLE_VERBS = {"keep", "null", "replace", "delete"}

COLUMNS = """
SELECT CASE c.relkind WHEN 'v' THEN 'view' ELSE 'table' END AS kind, c.relname AS name,
       a.attname AS column, a.attnotnull AS not_null
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND NOT c.relispartition AND c.relname NOT LIKE 'procrastinate%'
"""


def declared(kind: str) -> dict[tuple[str, str, str], str]:
    return {
        (kind, table, column): entry
        for table, columns in CATALOGUE[kind].items()
        for column, entry in columns.items()
    }


def test_every_column_is_declared_and_every_declared_one_exists(module_database: Database) -> None:
    with module_database.transaction(Role.OWNER) as tx:
        found = {(row.kind, row.name, row.column) for row in tx.execute(COLUMNS)}
    known = set(declared("table")) | set(declared("view"))
    assert sorted(found - known) == [], "add these to privacy/catalogue.toml"
    assert sorted(known - found) == [], "take these out of privacy/catalogue.toml"


def test_entries_are_a_class_and_what_erasure_does() -> None:
    for kind, verbs in (("table", TABLE_VERBS), ("view", {"derived"})):
        for where, entry in declared(kind).items():
            sort, verb = entry.split(": ")
            assert sort in CLASSES, where
            assert verb in verbs, where
    assert set(CATALOGUE["log"].values()) <= CLASSES


def test_a_column_to_be_emptied_can_be_empty(module_database: Database) -> None:
    with module_database.transaction(Role.OWNER) as tx:
        never_null = {
            (row.kind, row.name, row.column) for row in tx.execute(COLUMNS) if row.not_null
        }
    emptied = {where for where, entry in declared("table").items() if entry.endswith(": null")}
    assert emptied & never_null == set()


def test_a_row_goes_whole_or_stays_whole() -> None:
    for table, columns in CATALOGUE["table"].items():
        goes = {entry.endswith(": delete") for entry in columns.values()}
        assert len(goes) == 1, table


def test_erasure_leaves_nothing_personal_of_a_customer() -> None:
    """An actor is one of the operator's people; who wrote what down is kept by law."""
    kept = {
        where[1:]
        for where, entry in declared("table").items()
        if entry.startswith("personal") and entry.endswith("keep")
    }
    assert kept == {("audit", "actor"), ("consents", "actor")}


def test_no_log_field_is_secret() -> None:
    assert "secret" not in CATALOGUE["log"].values()


def test_every_field_of_the_index_is_declared_and_every_log_field_is_in_it() -> None:
    fields = schema.names(schema.mappings()["properties"])
    declared = (set(CATALOGUE["log"]) - {"ts"}) | set(CATALOGUE["index"])
    assert sorted(fields - declared) == [], "add these to privacy/catalogue.toml, under [index]"
    assert sorted(declared - fields) == [], "give these a type in observe/shipper/schema.py"
    assert set(CATALOGUE["index"].values()) <= CLASSES - {"secret"}
    for alias, ours in schema.ALIASES.items():
        assert CATALOGUE["index"][alias] == CATALOGUE["log"][ours]


def test_no_declared_log_field_is_stale() -> None:
    """That none is missing is seen on every line that any test logs: see conftest.py."""
    known: set[str] = {"message"}  # structlog's event by its name in the log
    for path in Path(horizon.__path__[0]).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.keyword) and node.arg:
                known.add(node.arg)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                known.add(node.value)
    queries = "".join(path.read_text() for path in Path(horizon.__path__[0]).rglob("*.sql"))
    stale = {name for name in CATALOGUE["log"] if name not in known and name not in queries}
    assert stale == set(), "take these out of privacy/catalogue.toml"
