"""Backup and restore: one file with everything, and the keys apart in FILE.keys.

A dump and not a base backup (docs/adr/0004): it serves any PostgreSQL from 15 on, also one that
only PG_DSN names, and a restored cluster opens a new era anyway.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import IO, NoReturn

import psycopg
from psycopg import sql

from horizon import clock
from horizon import keys as keyring
from horizon.errors import HorizonError, UsageError
from horizon.postgres.database import Connection, Database, Role, closing_connection
from horizon.postgres.embedded import binaries
from horizon.postgres.era import open_era
from horizon.postgres.queries import Queries

QUERIES = Queries("horizon.postgres")


def backup(database: Database, home: Path, target: Path) -> None:
    """Write ``target`` and ``target.keys``, whole or not at all. Raises HorizonError."""
    if not target.parent.is_dir():
        raise UsageError(f"There is no folder {target.parent}: make it, or name another file.")
    if target.exists():
        raise UsageError(f"{target} exists: name another file, or take it away first.")
    half = target.with_name(f".{target.name}.half")
    half.touch(mode=0o600)  # it holds people's addresses; pg_dump keeps the mode
    half.chmod(0o600)
    taken = {"taken_at": clock.now()}
    with database.transaction(Role.OWNER) as tx:
        tx.execute(QUERIES["record_backup"], taken)
    try:
        # Of one moment: the lake keeps what the catalog in the dump names.
        with database.transaction(Role.OWNER) as tx:
            tx.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            row = tx.execute("SELECT pg_export_snapshot() AS id").fetchone()
            assert row is not None
            _dump(database, half, row.id)
            tx.execute(QUERIES["note_lake"], taken)
        _write_keys(home, target)
        half.rename(target)
    finally:
        half.unlink(missing_ok=True)


def _dump(database: Database, target: Path, snapshot: str) -> None:
    dsn, environment = database.for_program()
    done = subprocess.run(
        [str(binaries() / "pg_dump"), "--format=custom", "--no-owner", f"--snapshot={snapshot}",
         f"--file={target}", dsn],
        capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip
    if done.returncode != 0:
        _failed("The backup", done.stderr)


def _write_keys(home: Path, target: Path) -> None:
    kept = {name: (home / "keys" / name).read_text().strip() for name in keyring.NAMES}
    path = keys_of(target)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(file, "w") as stream:
        json.dump(kept, stream)


def keys_of(target: Path) -> Path:
    return target.with_name(f"{target.name}.keys")


def restore(database: Database, home: Path, source: Path, *, nothing_sent_since: bool) -> str:
    """Bring a backup back in place of the database; give back the name the old one has now.

    What was planned or under way becomes ``unknown``: nobody can know what was sent since the
    backup. Raises HorizonError; until the last step the old database is untouched.
    """
    kept = _read_keys(source)
    now = clock.now()
    fresh = database.named(f"{database.name}_restoring_{time.time_ns()}")
    fresh.make()
    try:
        _load(source, fresh)
        with fresh.transaction(Role.OWNER) as tx:
            _send_nothing_again(tx, now, nothing_sent_since)
        old = _swap(database, fresh, now)
    except BaseException:
        fresh.drop()
        raise
    for name, key in kept.items():
        keyring.put(home, name, key)
    return old


def _read_keys(source: Path) -> dict[str, str]:
    if not source.is_file():
        raise UsageError(f"There is no backup {source}: give the file that `horizon backup` wrote.")
    try:
        kept = json.loads(keys_of(source).read_text())
        return {name: str(kept[name]) for name in keyring.NAMES}
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise UsageError(
            f"{keys_of(source)} is missing or damaged: a backup comes back only with its keys."
        ) from exc


def _send_nothing_again(tx: Connection, now: datetime, nothing_sent_since: bool) -> None:
    row = tx.execute("SELECT max(taken_at) AS taken_at FROM backups").fetchone()
    if row is None or row.taken_at is None:
        raise UsageError(
            "The file is no backup of Horizon's: give one that `horizon backup` wrote."
        )
    open_era(tx, "restore")
    values = {"now": now, "taken_at": row.taken_at, "nothing_sent_since": nothing_sent_since}
    tx.execute(QUERIES["record_restore"], values)
    if not nothing_sent_since:
        tx.execute(QUERIES["doubt_messages"], values)


def adopt(tx: Connection, now: datetime) -> int:
    """Take over a database that was copied from another server: a new era, nothing sent again, and
    nothing sent on before somebody says so."""
    era = open_era(tx, "adopted")
    values = {"now": now, "taken_at": now, "nothing_sent_since": False}
    tx.execute(QUERIES["record_restore"], values)
    tx.execute(QUERIES["doubt_messages"], values)
    tx.execute(QUERIES["pause_forwards"], values)
    return era


def _swap(database: Database, fresh: Database, now: datetime) -> str:
    old = f"{database.name}_before_{now:%Y%m%dT%H%M%S}"
    with closing_connection(database.server()) as server:
        database.disconnect(server)
        fresh.disconnect(server)
        try:
            with server.transaction():
                _rename(server, database.name, old)
                _rename(server, fresh.name, database.name)
        except psycopg.errors.ObjectInUse as exc:
            raise HorizonError(
                f"Somebody else is connected to {database.name}, so nothing was changed: end that "
                "connection and restore again."
            ) from exc
    return old


def _rename(server: Connection, name: str, new: str) -> None:
    server.execute(
        sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(name), sql.Identifier(new))
    )


def _load(source: Path, fresh: Database) -> None:
    """Read the dump as SQL and run it in one transaction, which stops at the first error."""
    dsn, environment = fresh.for_program()
    with tempfile.TemporaryFile() as told:
        reader = subprocess.Popen(
            [str(binaries() / "pg_restore"), "--no-owner", "--file=-", str(source)],
            stdout=subprocess.PIPE, stderr=told,
        )  # fmt: skip
        writer = subprocess.Popen(
            [str(binaries() / "psql"), "-X", "-q", "-1", "-v", "ON_ERROR_STOP=1", dsn],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=told, env=environment,
        )  # fmt: skip
        assert reader.stdout is not None
        assert writer.stdin is not None
        with contextlib.suppress(BrokenPipeError), reader.stdout, writer.stdin:
            _pass_on(reader.stdout, writer.stdin)
        if any([reader.wait(), writer.wait()]):  # both, or one stays behind as a zombie
            told.seek(0)
            _failed("The restore", told.read().decode(errors="replace"))


def _pass_on(dump: IO[bytes], server: IO[bytes]) -> None:
    """Leave the one line out that pg_restore 18 writes for every server and 15 does not know."""
    for line in dump:
        if line == b"SET transaction_timeout = 0;\n":
            break
        server.write(line)
    shutil.copyfileobj(dump, server, 1 << 20)


def _failed(what: str, said: str) -> NoReturn:
    lines = [line for line in said.splitlines() if line.strip()]
    raise HorizonError(
        f"{what} failed ({lines[0] if lines else 'it says nothing'}): look at the file and at the "
        "disk's free space."
    )
