"""Bring events in."""

from __future__ import annotations

from typing import Annotated

import typer

from horizon import clock
from horizon.cli import sources
from horizon.cli.options import AsJson, DatabaseName, installed
from horizon.cli.output import say, show
from horizon.pipeline import intake
from horizon.postgres.database import Role, row_dicts
from horizon.postgres.queries import Queries

PANEL = "Bring events in"


def register(app: typer.Typer) -> None:
    app.command(rich_help_panel=PANEL)(simulate)
    sources.register(app, PANEL)
    rejected = typer.Typer(no_args_is_help=True, help="Events that were refused, and why.")
    rejected.command("list")(rejected_list)
    app.add_typer(rejected, name="rejected", rich_help_panel=PANEL)


def simulate(
    to: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="URL", help="The collector; where none is given, that of the settings."
        ),
    ] = None,
) -> None:
    """Send the 200 simulated people's events to the running collector."""
    horizon = installed()
    result = intake.simulate(horizon, to or horizon.settings.public_url)
    say(f"{result.events:,} events of {result.users} people sent, {result.inserted:,} of them new.")


def rejected_list(
    limit: Annotated[int, typer.Option(min=1, max=100_000)] = 50,
    as_json: AsJson = False,
    database: DatabaseName = None,
) -> None:
    """Events that were refused, the newest first, each with its reason."""
    query = Queries("horizon.pipeline")["rejected"]
    with installed(database).database.transaction(Role.WORKER) as tx:
        rows = row_dicts(tx.execute(query, {"most": limit}))
    show(rows, as_json=as_json, empty=f"Nothing was rejected up to {clock.utc_text(clock.now())}.")
