"""The database: there, ours, safe, and with room to work."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

import psycopg

from horizon import clock as our_clock
from horizon import keys
from horizon.doctor.clocks import compare
from horizon.doctor.finding import Case, Finding, ok, problem, warning
from horizon.doctor.graph import look_at_graph
from horizon.errors import DatabaseError, HorizonError
from horizon.postgres.database import (
    LOWEST_VERSION,
    Connection,
    Database,
    Role,
    closing_connection,
    find,
    row_dicts,
)
from horizon.postgres.embedded import EmbeddedPostgres
from horizon.postgres.era import current_era
from horizon.postgres.migrate import migrations
from horizon.postgres.queries import Queries
from horizon.settings import Settings
from horizon.stage import STAGES

PART: Final = "database"
QUERIES: Final = Queries("horizon.doctor")
LONGEST_S: Final = 600.0
LEAST_BUFFERS_BYTES: Final = 256_000_000
LEAST_WAL_BYTES: Final = 2_000_000_000
PAGE_BYTES: Final = 8192
OPTIONS: Final = "-c statement_timeout=10000 -c default_transaction_read_only=on"


def check_database(case: Case) -> Iterator[Finding]:
    """The embedded one is looked at as it stands: a look starts and makes nothing."""
    if case.settings.PG_DSN:
        try:
            database = find(case.settings)
        except HorizonError as exc:
            yield _told(exc)
        else:
            yield from look_at(database, case)
        return
    embedded = EmbeddedPostgres(case.settings.home)
    if not embedded.exists():
        yield warning(PART, "there is none yet", "Type `horizon init`.")
    elif not embedded.running():
        yield warning(PART, "the embedded PostgreSQL is stopped", "Type `horizon up`.")
    else:
        yield from look_at(Database(embedded.dsn), case)


def look_at(database: Database, case: Case) -> Iterator[Finding]:
    try:
        connection = database.connect(autocommit=True, options=OPTIONS)
    except HorizonError as exc:
        yield _told(exc)
        return
    with closing_connection(connection) as tx:
        yield from _server(tx)
        ours = list(_ours(tx, case.settings))
        yield from ours
        if not ours[0].todo:
            yield from _roles(database)
            yield from _at_work(tx, case.clock)
            yield from _forwards(tx)
            yield from look_at_graph(tx, case.settings)
        yield from _clock(tx)


def _told(exc: HorizonError) -> Finding:
    """Our sentences say what is wrong, and after a colon what to do."""
    found, _, todo = str(exc).partition("): ") if "): " in str(exc) else str(exc).partition(": ")
    return problem(PART, f"{found})" if "(" in found else found, f"{todo[:1].upper()}{todo[1:]}")


def _server(tx: Connection) -> Iterator[Finding]:
    version = tx.info.server_version
    if version < LOWEST_VERSION:
        yield problem(
            PART,
            f"PostgreSQL {version // 10000} is too old",
            "Horizon needs 15 or newer: update it.",
        )
    encoding = tx.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        yield problem(
            PART, f"it keeps text as {encoding}",
            "Make one with `createdb --template=template0 --encoding=UTF8 NAME`.",
        )  # fmt: skip
    known = {row["name"]: row for row in row_dicts(tx.execute(QUERIES["server_settings"]))}
    yield from judge_settings({name: row["setting"] for name, row in known.items()})


def judge_settings(known: dict[str, str]) -> Iterator[Finding]:
    """Of pg_settings, in the server's own units. Pure."""
    for name in ("fsync", "full_page_writes", "synchronous_commit"):
        if known.get(name) == "off":
            yield problem(
                PART, f"{name} is off: an event that was answered 200 may be lost with the power",
                f"Set {name} = on in postgresql.conf and reload.",
            )  # fmt: skip
    if known.get("autovacuum") == "off":
        yield warning(
            PART, "autovacuum is off, so tables grow and plans go stale", "Set autovacuum = on."
        )
    buffers_bytes = int(known.get("shared_buffers", 0)) * PAGE_BYTES
    if buffers_bytes < LEAST_BUFFERS_BYTES:
        yield warning(
            PART, f"shared_buffers is {buffers_bytes // 2**20} MB, PostgreSQL's default for nobody",
            "Set it to an eighth of the memory, and at least 256 MB.",
        )  # fmt: skip
    wal_bytes = int(known.get("max_wal_size", 0)) * 2**20
    if wal_bytes < LEAST_WAL_BYTES:
        yield warning(
            PART, f"max_wal_size is {wal_bytes // 2**20} MB, so checkpoints come too often",
            "Set max_wal_size = 4GB.",
        )  # fmt: skip


def _ours(tx: Connection, settings: Settings) -> Iterator[Finding]:
    """Whether the schema, the era and the keys are this Horizon's."""
    try:
        applied = {row.name: row.sha256 for row in tx.execute(QUERIES["ledger"])}
        current_era(tx)
        row = tx.execute(QUERIES["keys_check"]).fetchone()
    except psycopg.errors.UndefinedTable:
        yield problem(PART, "it is not set up", "Type `horizon init`.")
        return
    except DatabaseError as exc:
        yield _told(exc)
        return
    wanted = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in migrations()}
    changed = [name for name, digest in wanted.items() if applied.get(name, digest) != digest]
    missing = [name for name in wanted if name not in applied]
    if changed:
        yield problem(
            PART, f"migration {changed[0]} is not the one it was made with",
            "Use the Horizon that made it, or `horizon backup` there and `horizon restore` here.",
        )  # fmt: skip
    elif missing:
        yield problem(PART, f"{len(missing)} migrations are not applied", "Type `horizon init`.")
    elif (
        row is not None
        and (settings.home / "keys").exists()
        and (keys.load(settings.home).check != bytes(row.node_key_check))
    ):
        yield problem(
            PART, "it was made with other keys than those in the home",
            "Set HORIZON_HOME to the folder that has them, or put them back from FILE.keys.",
        )  # fmt: skip
    else:
        size = tx.execute(QUERIES["size"]).fetchone()
        yield ok(
            PART, f"PostgreSQL {tx.info.server_version // 10000} answers, {len(wanted)} migrations "
            f"are applied, {size.bytes / 1e6:,.0f} MB" if size else "answers",
        )  # fmt: skip


def _roles(database: Database) -> Iterator[Finding]:
    for role in (Role.EDGE, Role.WORKER, Role.CONSOLE, Role.READER):
        try:
            database.connect(role).close()
        except HorizonError:
            yield problem(
                PART, f"its user may not act as {role}",
                "Let it have CREATEROLE and type `horizon init`.",
            )  # fmt: skip


def _at_work(tx: Connection, clock: datetime) -> Iterator[Finding]:
    values = {"clock": clock, "longest_s": LONGEST_S}
    for row in tx.execute(QUERIES["long_transactions"], values):
        yield warning(
            PART, f"process {row.pid} ({row.program}, {row.state}) has had a transaction open for "
            f"{row.open_s / 60:,.0f} minutes",
            f"End it, or type in psql: SELECT pg_terminate_backend({row.pid});",
        )  # fmt: skip
    used = tx.execute(QUERIES["sessions"]).fetchone()
    most = int(tx.execute("SHOW max_connections").fetchone()[0])  # type: ignore[index]
    if used is not None and used.used > 0.8 * most:
        yield warning(
            PART, f"{used.used} of {most} sessions are taken",
            "See who holds them in pg_stat_activity, or raise max_connections.",
        )  # fmt: skip


def _forwards(tx: Connection) -> Iterator[Finding]:
    for row in tx.execute(QUERIES["failing_forwards"]):
        stopped = row.state != "on"
        yield (problem if stopped else warning)(
            "forward", f"{row.name} {'stopped' if stopped else 'is tried again'}: {row.error}",
            "Type `horizon forward status`.",
        )  # fmt: skip


def _clock(tx: Connection) -> Iterator[Finding]:
    """The database's own clock is what is asked for here: nothing is written by it."""
    before = our_clock.now()
    row = tx.execute("SELECT clock_timestamp() AS at").fetchone()
    after = our_clock.now()
    if row is not None:
        middle = before + (after - before) / 2
        yield compare("the database's", row.at, middle, exact_s=(after - before).total_seconds())
    try:
        newest = tx.execute(QUERIES["newest_run"], {"stages": list(STAGES)}).fetchone()
    except psycopg.errors.UndefinedTable:
        return
    if newest is not None and newest.at and newest.at > after + timedelta(minutes=1):
        yield problem(
            "clock", f"the last run began at {newest.at:%Y-%m-%d %H:%M:%S} UTC, which is still to "
            "come: the clock was set back",
            "Have it set by NTP: type `timedatectl set-ntp true`.",
        )  # fmt: skip
