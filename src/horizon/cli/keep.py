"""Keep the data and look into it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from horizon import clock
from horizon import settings as setting
from horizon.cli.options import DatabaseName, installed
from horizon.cli.output import say
from horizon.errors import UsageError
from horizon.pipeline import processes
from horizon.pipeline.installation import open_installation
from horizon.postgres import backup as backups
from horizon.postgres import database as databases
from horizon.postgres.audit import write_audit
from horizon.postgres.database import Role
from horizon.postgres.embedded import binaries

PANEL = "Keep the data, look into it"


def register(app: typer.Typer) -> None:
    psql_context = {
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "help_option_names": [],
    }
    app.command(rich_help_panel=PANEL, context_settings=psql_context)(psql)
    for command in (dsn, backup, restore):
        app.command(rich_help_panel=PANEL)(command)


def psql(context: typer.Context, database: DatabaseName = None) -> None:
    """Open psql on Horizon's database; its own options follow: horizon psql -c "SELECT 1"."""
    program = str(binaries() / "psql")
    dsn, environment = installed(database).database.for_program()
    os.execve(program, [program, dsn, *context.args], environment)  # noqa: S606


def dsn(database: DatabaseName = None) -> None:
    """Print the database's address, for any PostgreSQL client."""
    print(installed(database).database.dsn)


def backup(
    file: Annotated[Path, typer.Argument(help="Where to; the keys go apart, to FILE.keys.")],
    database: DatabaseName = None,
) -> None:
    """Keep everything in a file; serve on meanwhile."""
    horizon = installed(database)
    backups.backup(horizon.database, horizon.settings.home, file.absolute())
    with horizon.database.transaction(Role.WORKER) as tx:
        write_audit(tx, "backup:taken", file.name, {})
    say(f"Kept in {file}; its keys in {backups.keys_of(file)}: keep the two apart.")


def restore(
    file: Annotated[Path | None, typer.Argument(help="What `horizon backup` wrote.")] = None,
    nothing_sent_since: Annotated[bool, typer.Option(
        "--nothing-sent-since",
        help="You know that nothing was sent after the backup: campaigns go on at once.")] = False,
    adopt: Annotated[bool, typer.Option(
        "--adopt", help="Take over a database that was copied here from another server.")] = False,
    database: DatabaseName = None,
) -> None:  # fmt: skip
    """Bring a backup back. Sends nothing again: what may have been sent since counts as sent."""
    settings = setting.load()
    if adopt:
        _adopt()
        return
    if file is None:
        raise UsageError("Name the backup's file: horizon restore FILE.")
    with processes.only_one(settings.home):
        horizon = open_installation(settings, database)
        old = backups.restore(
            horizon.database, settings.home, file.absolute(), nothing_sent_since=nothing_sent_since
        )
    restored = open_installation(settings, database)
    with restored.database.transaction(Role.WORKER) as tx:
        write_audit(tx, "backup:restored", file.name, {"nothing_sent_since": nothing_sent_since})
    say(f"{file} is back. The database that was there is kept as {old}; drop it when you are sure.")


def _adopt() -> None:
    with databases.find(setting.load()).transaction(Role.OWNER) as tx:
        era = backups.adopt(tx, clock.now())
        write_audit(tx, "database:adopted", f"era {era}", {})
    say(
        f"Taken over: era {era}. Messages that waited when it was copied are not sent by "
        "themselves."
    )
