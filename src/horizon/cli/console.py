"""The console: let somebody in, and serve it alone."""

from __future__ import annotations

from typing import Annotated

import typer

from horizon import clock
from horizon import settings as setting
from horizon.cli.options import AsJson, installed
from horizon.cli.output import print_json, say
from horizon.console.links import OWNER_LASTS, make_link
from horizon.pipeline.installation import Installation
from horizon.postgres.audit import actor, write_audit
from horizon.postgres.database import Role


def register(app: typer.Typer) -> None:
    console = typer.Typer(no_args_is_help=True, help="The screens for people who type no commands.")
    console.command("owner-link")(owner_link)
    console.command("serve")(serve)
    app.add_typer(console, name="console", rich_help_panel="Start, stop, look")


def owner_link(as_json: AsJson = False) -> None:
    """Make a link that works once, for an hour: whoever opens it becomes an owner."""
    link = new_owner_link(installed(None))
    if as_json:
        print_json({"link": link})
        return
    say(f"Open it within {OWNER_LASTS.seconds // 60} minutes; it works once, and those made before "
        "no more:")  # fmt: skip
    say(link)


def new_owner_link(horizon: Installation) -> str:
    with horizon.database.transaction(Role.CONSOLE) as tx:
        link = make_link(tx, horizon.settings.console_url, made_by=actor(), now=clock.now())
        write_audit(tx, "console:owner-link:made", "owner", {})
    return link


def serve(
    port: Annotated[
        int | None, typer.Option("--port", help="Where to listen, else CONSOLE_PORT.")
    ] = None,
) -> None:  # fmt: skip
    """Serve the console alone, until Ctrl-C; `horizon up` does beside all else."""
    from horizon.console.server import run  # Django's import costs others 0.3 s

    settings = setting.load()
    run(settings, settings.LISTEN_HOST, settings.CONSOLE_PORT if port is None else port)
