"""Dashboards for a search server, and the same pictures as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from horizon import clock
from horizon import settings as setting
from horizon.cli.options import DatabaseName, installed
from horizon.cli.output import say
from horizon.errors import UsageError
from horizon.postgres.database import Role

PANEL = "Keep the data, look into it"


def register(app: typer.Typer) -> None:
    kibana = typer.Typer(no_args_is_help=True, help="Dashboards on the log's index.")
    kibana.command("export")(kibana_export)
    app.add_typer(kibana, name="kibana", rich_help_panel=PANEL)
    app.command(rich_help_panel=PANEL)(report)


def kibana_export(
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="The folder for the two files.")
    ] = Path("dashboards"),
) -> None:
    """Write the dashboard for Kibana 8 and 9, and for OpenSearch Dashboards.

    Import the file under Stack Management (Dashboards Management), Saved Objects; importing it
    again overwrites.
    """
    from horizon.observe.kibana.objects import PRODUCTS, ndjson

    index = setting.load().ES_INDEX
    for product in PRODUCTS:
        file = out / product.file
        _write(file, ndjson(product, index).encode())
        say(f"Written: {file}")


def report(
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The page, one HTML file.")],
    database: DatabaseName = None,
) -> None:
    """Write the dashboard's pictures as one page that needs nothing else, not even a network."""
    from horizon.report import page  # plotly's script is read with it

    horizon = installed(database)
    with horizon.database.transaction(Role.READER) as tx:
        shown = page.gather(tx, horizon.database.name, clock.now())
    _write(out, page.render(shown).encode("utf-8", "replace"))
    say(f"Written: {out}")


def _write(file: Path, content: bytes) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    except OSError as exc:
        raise UsageError(
            f"{file} cannot be written ({exc.strerror}): name another place with --out."
        ) from exc
