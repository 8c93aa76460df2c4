"""Bring events in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

from horizon.cli import rejected, sources
from horizon.cli.options import DatabaseName, installed
from horizon.cli.output import console, many, say
from horizon.pipeline import intake

PANEL = "Bring events in"


def register(app: typer.Typer) -> None:
    app.command(rich_help_panel=PANEL)(ingest)
    app.command(rich_help_panel=PANEL)(simulate)
    sources.register(app, PANEL)
    rejected.register(app, PANEL)


def ingest(
    file: Annotated[Path, typer.Argument(help="The file; its lines become events, each one once.")],
    mapping: Annotated[
        str,
        typer.Option(
            metavar="FILE", help="How its columns become events: a TOML file, or `cdnow`."
        ),
    ],
    source: Annotated[
        str | None, typer.Option(help="The source's name; `files` where none is given.")
    ] = None,
    database: DatabaseName = None,
) -> None:
    """Bring a file's lines in as events."""
    horizon = installed(database)
    bar = Progress("reading", BarColumn(), DownloadColumn(), TimeRemainingColumn(),
                   console=console, transient=True, disable=not console.is_terminal)  # fmt: skip
    with bar:
        task = bar.add_task("file", total=None)
        result = intake.ingest_file(
            horizon, file, mapping, source_name=source,
            on_progress=lambda done, total: bar.update(task, completed=done, total=total),
        )  # fmt: skip
    say(
        f"{many(result.read, 'line')} read: {many(result.inserted, 'new event')}, "
        f"{result.duplicates:,} known already, {result.rejected:,} rejected."
        + (" `horizon rejected list` tells why." if result.rejected else "")
    )


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
