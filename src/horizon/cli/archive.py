"""Take what came in to the lake."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from horizon.cli.data import PANEL
from horizon.cli.options import AsJson, DatabaseName, Now, installed
from horizon.cli.output import console, many, print_json, say
from horizon.pipeline import stages
from horizon.stage import StageResult

_LINE_S = 30.0  # where there is no terminal, a line so often


def register(app: typer.Typer) -> None:
    app.command(rich_help_panel=PANEL)(archive)


def archive(as_json: AsJson = False, now: Now = None, database: DatabaseName = None) -> None:
    """Take the events that came since to the lake: Iceberg, which any warehouse can read.

    Safe to run again, and while events come in. A run that was ended goes on where it was.
    """
    horizon = installed(database)
    with _progress(quiet=as_json) as told:
        done = stages.archive(horizon, now, told).figures
    if as_json:
        print_json(dict(done))
    elif not done["events"]:
        say("The lake has every event.")
    else:
        say(
            f"{many(done['events'], 'event')} archived, in {many(done['files'], 'file')} of "
            f"{done['bytes'] / 1e6:,.1f} MB."
        )


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[StageResult], None]]:
    if quiet:
        yield lambda _: None
    elif not console.is_terminal:
        yield _Lines().show
    else:
        columns = (TextColumn("archiving"), TextColumn("{task.completed:,} events"))
        with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as bar:
            task = bar.add_task("archive", total=None)
            yield lambda result: bar.update(task, completed=result.figures["events"])


class _Lines:
    def __init__(self) -> None:
        self._next_s = time.monotonic() + _LINE_S

    def show(self, result: StageResult) -> None:
        if time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + _LINE_S
            say(f"{many(result.figures['events'], 'event')} archived until now.")
