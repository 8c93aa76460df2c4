"""Migrations: each once, in one transaction, and refusals that say what to do."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import psycopg
import pytest

from horizon.errors import DatabaseError
from horizon.postgres import migrate as migrating
from horizon.postgres.database import Database, Role, closing_connection
from horizon.postgres.embedded import EmbeddedPostgres
from horizon.postgres.era import current_era, open_era
from horizon.postgres.migrate import job_migrations, migrate, migrations


@pytest.fixture
def empty(server: EmbeddedPostgres) -> Iterator[Database]:
    """A database with nothing in it."""
    database = Database(server.dsn).named(f"empty_{uuid4().hex}")
    database.make()
    yield database
    database.drop()


def add(monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    files = [*migrations(), (name, text)]
    monkeypatch.setattr(migrating, "migrations", lambda: files)


def test_a_second_run_applies_nothing(empty: Database) -> None:
    own = [name for name, _ in migrations()]
    assert migrate(empty) == [*own, "procrastinate"]
    assert migrate(empty) == []


def test_two_at_once_apply_each_once(empty: Database) -> None:
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(migrate, [empty, empty])
    assert sorted([len(first), len(second)]) == [0, len(migrations()) + 1]


def test_the_ledger_keeps_names_and_digests(database: Database) -> None:
    with database.transaction(Role.OWNER) as tx:
        ledger = {row.name: row.sha256 for row in tx.execute("SELECT * FROM migrations")}
    for name, text in [*migrations(), *job_migrations()]:
        assert ledger.pop(name) == hashlib.sha256(text.encode()).hexdigest()
    assert list(ledger) == ["procrastinate"]


def test_names_are_in_order_and_without_gaps() -> None:
    names = [name for name, _ in migrations()]
    assert [name[:5] for name in names] == [f"{n:04}_" for n in range(1, len(names) + 1)]
    assert all(re.fullmatch(r"\d{4}_[a-z_]+\.sql", name) for name in names)


def test_a_changed_migration_is_refused(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    (name, text), *others = migrations()
    changed = [(name, text + "\n-- changed"), *others]
    monkeypatch.setattr(migrating, "migrations", lambda: changed)
    with pytest.raises(DatabaseError) as refused:
        migrate(database)
    assert str(refused.value) == (
        "Migration 0001_ground.sql is not the one this database was made with: use the Horizon "
        "that made it, or `horizon backup` there and `horizon restore` here."
    )


def test_a_migration_that_fails_leaves_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(monkeypatch, "9999_half.sql", "CREATE TABLE half (a int); SELECT 1 / 0")
    with pytest.raises(DatabaseError, match=r"9999_half\.sql .*division by zero"):
        migrate(database)
    with database.transaction(Role.OWNER) as tx:
        found = tx.execute("SELECT to_regclass('half') AS name").fetchone()
        known = tx.execute("SELECT FROM migrations WHERE name = '9999_half.sql'").fetchone()
    assert found is not None
    assert found.name is None
    assert known is None


def test_a_migration_waits_five_seconds_for_a_lock(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(monkeypatch, "9999_seen.sql", "CREATE TABLE seen AS SELECT current_setting('lock_timeout')")
    migrate(database)
    with database.transaction(Role.OWNER) as tx:
        assert tx.execute("SELECT * FROM seen").fetchall() == [("5s",)]


def test_a_table_in_use_gets_a_sentence(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient = "SET LOCAL lock_timeout = '50ms'; ALTER TABLE runs ADD COLUMN late int"
    add(monkeypatch, "9999_late.sql", impatient)
    with database.connect(Role.WORKER) as busy:
        busy.execute("SELECT FROM runs")
        with pytest.raises(DatabaseError, match="waited 5 s for a table that something else holds"):
            migrate(database)


def test_a_newer_procrastinate_brings_its_own_migrations(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = [*job_migrations(), ("procrastinate/99.00.00_01_new.sql", "CREATE TABLE newer (a int)")]
    monkeypatch.setattr(migrating, "job_migrations", lambda: newer)
    monkeypatch.setattr(migrating, "job_schema", lambda: "SELECT 1 / 0")
    assert migrate(database) == ["procrastinate/99.00.00_01_new.sql"]
    assert migrate(database) == []


def test_a_database_of_somebody_else_s_is_refused(empty: Database) -> None:
    with closing_connection(empty.connect(autocommit=True)) as connection:
        connection.execute("CREATE TABLE runs (a int)")
    with pytest.raises(DatabaseError, match=r'relation "runs" already exists.*of its own'):
        migrate(empty)


def test_a_user_who_may_not_is_told_so(empty: Database, server: EmbeddedPostgres) -> None:
    admin = psycopg.connect(server.dsn_of("postgres", "postgres"), autocommit=True)
    with closing_connection(admin):
        admin.execute("CREATE ROLE stranger LOGIN")
        try:
            with pytest.raises(DatabaseError, match="give it CREATEROLE"):
                migrate(Database(server.dsn_of(empty.name, "stranger")))
        finally:
            admin.execute("DROP ROLE stranger")


def test_an_encoding_that_people_s_names_do_not_fit_is_refused(server: EmbeddedPostgres) -> None:
    origin = Database(server.dsn)
    with closing_connection(origin.connect(autocommit=True)) as connection:
        connection.execute(
            "CREATE DATABASE ascii TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE_PROVIDER libc "
            "LOCALE 'C'"
        )
        try:
            with pytest.raises(DatabaseError, match=r"SQL_ASCII.*createdb"):
                migrate(origin.named("ascii"))
        finally:
            connection.execute("DROP DATABASE ascii")


def test_a_database_without_tables_says_run_init(empty: Database) -> None:
    with (
        closing_connection(empty.connect()) as tx,
        pytest.raises(DatabaseError, match="run `horizon init`"),
    ):
        current_era(tx)


def test_a_database_from_another_cluster_is_refused_until_adopted(database: Database) -> None:
    with database.connect() as tx:
        era = current_era(tx)
        tx.execute("UPDATE eras SET system_identifier = 'another'")
        with pytest.raises(DatabaseError, match="horizon restore --adopt"):
            current_era(tx)
        assert open_era(tx, "adopted") == era + 1 == current_era(tx)
        tx.rollback()


@pytest.mark.parametrize(
    ("dsn", "said"),
    [
        ("postgresql://127.0.0.1:1/x", "The database does not answer"),
        ("host=/nowhere dbname=x", "The database does not answer"),
    ],
)
def test_a_database_that_is_not_there_gets_a_sentence(dsn: str, said: str) -> None:
    with pytest.raises(DatabaseError, match=said) as failed:
        Database(dsn).connect()
    assert "\n" not in str(failed.value)


def test_a_server_that_was_never_set_up_says_run_init(empty: Database) -> None:
    with pytest.raises(DatabaseError, match="run `horizon init`"):
        empty.connect("horizon_missing")  # type: ignore[arg-type]
