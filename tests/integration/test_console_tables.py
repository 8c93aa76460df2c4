"""The schema ``console``: what is in it, and what the console's role may do there."""

from __future__ import annotations

import tomllib
from importlib import resources

import psycopg
import pytest

from horizon.postgres.database import Database, Role
from tests.console_people import console as console
from tests.servers.console import Console

CATALOGUE = tomllib.loads((resources.files("horizon.privacy") / "catalogue.toml").read_text())

# Select, Insert, Update, Delete. What is not named here the console may not touch.
GRANTS = {
    "account_emailaddress": "SIUD", "account_emailconfirmation": "SIUD", "django_content_type": "S",
    "django_migrations": "S", "django_session": "SIUD", "links": "SI", "mfa_authenticator": "SIUD",
    "people": "SIU", "usersessions_usersession": "SIUD",
}  # fmt: skip
FOUND = """
SELECT c.relname AS name, r.rolname AS role, string_agg(left(p, 1), '' ORDER BY p.number) AS may
FROM pg_class c, pg_roles r,
     unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER'])
         WITH ORDINALITY AS p (p, number)
WHERE c.relnamespace = 'console'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND r.rolname IN ('horizon_edge', 'horizon_worker', 'horizon_console', 'horizon_reader')
  AND has_table_privilege(r.oid, c.oid, p)
GROUP BY 1, 2
"""
MAY_NOT = [
    "DELETE FROM console.people",
    "DELETE FROM console.links",
    "UPDATE console.links SET expires_at = 'infinity'",
    "UPDATE console.links SET person_id = NULL",
    "DELETE FROM console.django_migrations",
    "CREATE TABLE console.mine (a int)",
    "UPDATE audit SET details = '{}'",
]


@pytest.fixture(autouse=True)
def made(console: Console) -> None:
    """The console made the tables when it started."""


def test_the_console_has_the_grants_of_the_table_and_nobody_else_any(
    module_database: Database,
) -> None:
    with module_database.transaction(Role.OWNER) as tx:
        found = {(row.name, row.role): row.may for row in tx.execute(FOUND)}
    assert found == {(name, "horizon_console"): may for name, may in GRANTS.items()}


@pytest.mark.parametrize("statement", MAY_NOT)
def test_may_not(statement: str, module_database: Database) -> None:
    with (
        module_database.connect(Role.CONSOLE) as tx,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        tx.execute(statement)


def test_every_column_is_declared_and_every_declared_one_exists(module_database: Database) -> None:
    with module_database.transaction(Role.OWNER) as tx:
        rows = tx.execute(
            "SELECT table_name, column_name FROM information_schema.columns "
            "WHERE table_schema = 'console'"
        ).fetchall()
    declared = {(table, name) for table, names in CATALOGUE["console"].items() for name in names}
    assert declared == {(row.table_name, row.column_name) for row in rows}


def test_a_second_start_finds_all_of_it_there(console: Console, module_database: Database) -> None:
    port = console.settings.CATCHER_PAGE_PORT
    with Console(console.settings, port) as again:
        assert again.visitor().get("/sign-in").status_code == 200
