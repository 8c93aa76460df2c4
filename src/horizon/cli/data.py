"""Bring events in."""

from __future__ import annotations

from typing import Annotated

import typer

from horizon import clock
from horizon.cli.options import AsJson, DatabaseName, installed
from horizon.cli.output import say, show
from horizon.events import sources
from horizon.pipeline import intake
from horizon.postgres.audit import write_audit
from horizon.postgres.database import Role, row_dicts
from horizon.postgres.queries import Queries

PANEL = "Bring events in"


def register(app: typer.Typer) -> None:
    app.command(rich_help_panel=PANEL)(simulate)
    source = typer.Typer(no_args_is_help=True, help="Where events come from.")
    source.command("add")(source_add)
    source.command("list")(source_list)
    app.add_typer(source, name="source", rich_help_panel=PANEL)
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


def source_add(
    name: Annotated[str, typer.Argument(help="What to call it.")],
    kind: Annotated[
        str, typer.Option(help="server: its key is secret; public: browsers and apps.")
    ] = "server",
) -> None:
    """Add a source and print its write key, once."""
    horizon = installed()
    with horizon.database.transaction(Role.WORKER) as tx:
        key = sources.add_source(tx, name, kind)  # type: ignore[arg-type]
        write_audit(tx, "source:added", name, {"kind": kind})
    say(f"The write key of {name}, which is not shown again: {key}")
    say(
        f"Point a Segment SDK at {horizon.settings.public_url} with it; `horizon up` takes what "
        "it sends."
    )


def source_list(as_json: AsJson = False, database: DatabaseName = None) -> None:
    """The sources there are."""
    with installed(database).database.transaction(Role.WORKER) as tx:
        rows = [row._asdict() for row in sources.sources(tx)]
    show(rows, as_json=as_json, empty="No source yet: `horizon source add NAME` makes one.")


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
