"""Every named query is one that the database understands, for the role that runs it."""

from __future__ import annotations

import pkgutil
import re
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from uuid import UUID

import pytest

import horizon
from horizon.postgres.database import Database, Role
from horizon.postgres.migrate import migrate
from horizon.postgres.queries import Queries
from tests.parts import debian_postgres

# What EXPLAIN does not take: these are carried out, with nothing to copy.
INTAKE_COPIES = {"events.copy_ids", "events.copy_events", "events.copy_rejected"}
COPIES = {*INTAKE_COPIES, "scoring.write_scores"}

# Parameters are NULL, but for those whose type no operator tells.
TYPED: dict[str, object] = {
    "now": datetime(2026, 1, 1, tzinfo=UTC),
    "clock": datetime(2026, 1, 1, tzinfo=UTC),
    "correlation_id": UUID(int=0),
}

ROLES = {
    "api": {Role.READER}, "edge": {Role.EDGE}, "postgres": {Role.OWNER}, "doctor": {Role.OWNER},
    "observe.kibana": {Role.READER}, "observe.metrics": {Role.READER}, "console": {Role.CONSOLE},
}  # fmt: skip
# The others' are the worker's.
EDGE_TOO = {
    "events.missing_partitions", "events.make_partitions", "events.claim_ids",
    "events.keyed_sources", "events.source_by_key", "events.source_by_name",
    "events.note_key_use", *INTAKE_COPIES,
}  # fmt: skip
CONSOLE_ALONE = {"profiles.operator_changes"}  # the audit is not the worker's to read
WORKER_ALONE = {"api.add_token", "api.revoke_token", "api.tokens"}  # commands
# No process that runs by itself may make a campaign, or forget one.
OWNER_ALONE = {
    "sources.remove_files", "sources.remove_source",
    "campaigns.add", "campaigns.forget",
    # Nor have data taken out of the house, or elsewhere.
    *(f"forward.{name}" for name in (
        "add", "put_key", "add_live", "add_replay", "change", "remove", "set_state",
    )),
}  # fmt: skip


def packages() -> Iterator[str]:
    for module in pkgutil.walk_packages(horizon.__path__, "horizon."):
        if module.ispkg and (resources.files(module.name) / "queries.sql").is_file():
            yield module.name


def cases() -> Iterator[tuple[str, str, Role]]:
    for package in packages():
        short = package.removeprefix("horizon.")
        for name in Queries(package).names():
            key = f"{short}.{name}"
            roles = {Role.OWNER} if key in OWNER_ALONE else ROLES.get(short, {Role.WORKER})
            roles = {Role.WORKER} if key in WORKER_ALONE else roles
            roles = {Role.CONSOLE} if key in CONSOLE_ALONE else roles
            for role in roles | ({Role.EDGE} if key in EDGE_TOO else set()):
                yield key, package, role


CASES = sorted(cases())


@pytest.mark.parametrize(
    ("key", "package", "role"), CASES, ids=[f"{key}-{role or 'owner'}" for key, _, role in CASES]
)
def test_the_database_understands_the_query(
    key: str, package: str, role: Role, module_database: Database
) -> None:
    understand(key, package, role, module_database)


@pytest.fixture(scope="module")
def old_database() -> Iterator[Database]:
    """The same on Debian's PostgreSQL 15, the oldest that serves."""
    folder = Path(tempfile.mkdtemp(prefix="horizon-tests-"))
    folder.chmod(0o755)
    try:
        with debian_postgres(folder) as dsn:
            database = Database(dsn).named("horizon")
            database.make()
            assert migrate(database)
            assert migrate(database) == []
            yield database
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_postgresql_15_understands_every_query(old_database: Database) -> None:
    for key, package, role in CASES:
        understand(key, package, role, old_database)


def understand(key: str, package: str, role: Role, database: Database) -> None:
    text = Queries(package)[key.rpartition(".")[2]]
    with database.connect(role) as tx:
        if "{scores}" in text:  # a run's own partition
            tx.execute("SELECT open_score_run(7)")
            text = text.replace("{scores}", "scores_7")
        text = text.replace("{events}", "profile_events")  # or a part of them
        if key in COPIES:
            with tx.cursor().copy(text) as copy:
                copy.write(b"PGCOPY\n\xff\r\n\0" + bytes(8) + b"\xff\xff")
        else:
            if "make_room" in Queries(package).names():
                tx.execute(Queries(package)["make_room"])  # temporary tables of its queries
            names = re.findall(r"%\((\w+)\)s", text)
            explain = (
                "" if re.search("^(CREATE TEMP TABLE|TRUNCATE)", text, re.MULTILINE) else "EXPLAIN "
            )
            tx.execute(explain + text, {name: TYPED.get(name) for name in names})
        tx.rollback()


def test_the_queries_were_found() -> None:
    assert len(CASES) > 40
    assert {key for key, _, _ in CASES} >= COPIES | EDGE_TOO


@pytest.mark.parametrize("package", list(packages()))
def test_names_are_given_once_and_nothing_stands_before_the_first(package: str) -> None:
    text = (resources.files(package) / "queries.sql").read_text()
    names = re.findall(r"^-- name: (.*)$", text, re.MULTILINE)
    assert names == Queries(package).names()
    assert len(names) == len(set(names))
    assert text.startswith("-- name: ")


@pytest.mark.parametrize("package", list(packages()))
def test_time_comes_in_as_a_parameter(package: str) -> None:
    text = (resources.files(package) / "queries.sql").read_text()
    code = re.sub(r"--.*", "", text)
    assert not re.findall(r"(?i)\b(?:now|clock_timestamp|statement_timestamp)\s*\(", code)
    assert not re.findall(r"(?i)\bcurrent_(?:timestamp|date|time)\b", code)
