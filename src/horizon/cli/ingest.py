"""Bring files in."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

from horizon.cli.data import PANEL
from horizon.cli.options import DatabaseName, installed
from horizon.cli.output import calm_memory, console, many, say
from horizon.clock import utc_text
from horizon.pipeline import intake
from horizon.sources.files import FileResult
from horizon.sources.lines import OnProgress
from horizon.sources.opening import expand

_STEP_S = 30.0  # where there is no terminal, a line so often


def register(app: typer.Typer) -> None:
    app.command(rich_help_panel=PANEL)(ingest)


def ingest(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help="CSV, JSON lines or Parquet; plain, gzip or zstd."),
    ],
    mapping: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="How its columns become events: a TOML file, or `cdnow`. JSON lines that are "
            "messages of Segment's API need none.",
        ),
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="The source's name; `files` where none is given.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Read it from its beginning, though it was read before.")
    ] = False,
    database: DatabaseName = None,
) -> None:
    """Bring the lines of files in as events, each one once.

    A run that was ended goes on where it was.
    """
    horizon = installed(database)
    calm_memory()
    stop = stop_at_signals()
    names = expand(files, horizon.settings)
    for name in names:
        with _progress(name) as on_progress:
            result = intake.ingest_file(
                horizon, name, mapping, source_name=source, again=again,
                on_progress=on_progress, stopping=stop.is_set,
            )  # fmt: skip
        say(_sentence(result, f"{name}: " if len(names) > 1 else ""))
        if result.stopped:
            raise typer.Exit(1)


def stop_at_signals() -> Event:
    """Ctrl-C and SIGTERM end it after the lines under way."""
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop


@contextmanager
def _progress(name: str) -> Iterator[OnProgress]:
    if not console.is_terminal:
        yield _Steps(name).show
        return
    with Progress("{task.description}", BarColumn(), DownloadColumn(), TimeRemainingColumn(),
                  console=console, transient=True) as bar:  # fmt: skip
        task = bar.add_task("opening", total=None)
        yield lambda step, done, total: bar.update(
            task, description=step, completed=done, total=total
        )


class _Steps:
    def __init__(self, name: str) -> None:
        self._name = name
        self._next_s = time.monotonic() + _STEP_S

    def show(self, step: str, done: int, total: int) -> None:
        if time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + _STEP_S
            say(f"{step} {self._name}: {done:,} of {total:,} bytes")


def _sentence(result: FileResult, name: str) -> str:
    if result.finished_at:
        return (
            f"{name}It came in whole at {utc_text(result.finished_at)}, "
            f"{many(result.read, 'line')}: nothing was added. --again reads it once more."
        )
    before = f"went on after line {result.went_on_after:,}: " if result.went_on_after else ""
    text = (
        f"{name}{before}{result.read:,} lines read: {result.inserted:,} new events, "
        f"{result.duplicates:,} known already, {result.rejected:,} rejected."
    )
    if result.rejected:
        text += " `horizon rejected list` tells why."
    if result.stopped:
        text += f" Stopped after line {result.last_line:,}: the same command goes on from there."
    return text
