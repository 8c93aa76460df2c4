"""The audit of what was decided and sent: seal it, and prove that nobody changed it since."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Annotated

import psycopg
import typer

from horizon.cli.options import AsJson, DatabaseName, Now, installed
from horizon.cli.output import many, print_json, say, show
from horizon.errors import HorizonError, UsageError
from horizon.history.verify import Verified
from horizon.history.verify import verify as verify_history
from horizon.pipeline import stages
from horizon.postgres.database import Role, closing_connection

PANEL = "Keep the data, look into it"


def register(app: typer.Typer) -> None:
    audit = typer.Typer(no_args_is_help=True, help="Prove that nobody changed what was done.")
    audit.command("seal")(seal)
    audit.command("verify")(verify)
    app.add_typer(audit, name="audit", rich_help_panel=PANEL)


def seal(now: Now = None, database: DatabaseName = None) -> None:
    """Seal what came since the last time; `horizon up` does it after each run."""
    horizon = installed(database)
    figures = horizon.runner.run(stages.seal_stage(), now).figures
    say(
        f"Sealed {many(figures['sealed'], 'entry', 'entries')} in "
        f"{many(figures['batches'], 'batch', 'batches')}.\nHead: {figures['head']}"
    )


def verify(
    head: Annotated[
        str | None,
        typer.Option("--head", metavar="HASH", help="A head that you kept: it has to be there."),
    ] = None,
    as_json: AsJson = False,
    database: DatabaseName = None,
) -> None:
    """Compute the chain anew and compare it with the tables; exit code 1 where they differ."""
    if head is not None and not re.fullmatch("[0-9a-fA-F]{64}", head):
        raise UsageError(f"--head {head!r} is no hash: give the 64 characters that verify showed.")
    connection = installed(database).database.connect(Role.WORKER)
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    with closing_connection(connection) as tx:
        found = verify_history(tx, head)
    problems = [asdict(one) for one in found.problems]
    if as_json:
        print_json({**asdict(found), "problems": problems, "ok": not problems})
    else:
        say(_told(found))
        if problems:
            show(problems, as_json=False, empty="")
    if problems:
        raise HorizonError(
            f"The history and the tables differ in {many(len(problems), 'place', 'places')}: "
            "see who had the database owner's rights, and compare with a backup."
        )


def _told(found: Verified) -> str:
    if not found.batches:
        return "Nothing is sealed yet: `horizon audit seal` does it."
    batches = many(found.batches, "batch", "batches")
    since = many(found.after_head or 0, "batch", "batches")
    after = f", {since} after yours" if found.after_head else ""
    all_well = "" if found.problems else "Nothing was changed. "
    return (
        f"{all_well}{many(found.entries, 'entry', 'entries')} in {batches}{after}.\n"
        f"Head: {found.head}"
    )
