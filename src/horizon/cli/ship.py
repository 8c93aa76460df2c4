"""Bring the log into a search server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from horizon import settings as setting
from horizon.cli.output import calm_memory, complain, many, say
from horizon.observe.shipper import position
from horizon.starting import until_stopped

if TYPE_CHECKING:
    from horizon.observe.shipper.run import Shipped

PANEL = "Start, stop, look"


def register(app: typer.Typer) -> None:
    app.command(rich_help_panel=PANEL)(ship)


def ship(
    once: Annotated[
        bool,
        typer.Option("--once/--follow", help="Ship what is there and stop, or go on until Ctrl-C."),
    ] = False,
) -> None:
    """Bring every line of the log into ES_INDEX of the search server at ES_URL, each once."""
    from horizon.observe.shipper.run import Shipper  # it brings watchdog, which takes 20 ms

    settings = setting.load()
    stop = until_stopped()
    calm_memory()
    shipper = Shipper(settings, once=once, stop=stop)
    if not once:
        say(f"Following {settings.log_path}; Ctrl-C stops it.")
    _sum_up(shipper.run(), settings)


def _sum_up(done: Shipped, settings: setting.Settings) -> None:
    there = (
        f"; {done.there:,} {'was' if done.there == 1 else 'were'} there already"
        if done.there
        else ""
    )
    say(f"Shipped {many(done.indexed, 'line')} into {settings.ES_INDEX}{there}.")
    if done.refused:
        letters = position.folder(settings) / "dead-letters.jsonl"
        complain(f"{many(done.refused, 'line')} could not be shipped: {letters} says of each why.")
