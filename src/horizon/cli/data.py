"""Bring events in."""

from __future__ import annotations

from typing import Annotated

import typer

from horizon.cli import rejected, sources
from horizon.cli.options import installed
from horizon.cli.output import say
from horizon.pipeline import intake

PANEL = "Bring events in"


def register(app: typer.Typer) -> None:
    app.command(rich_help_panel=PANEL)(simulate)
    sources.register(app, PANEL)
    rejected.register(app, PANEL)


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
