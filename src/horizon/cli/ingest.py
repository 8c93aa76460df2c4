"""Bring files in."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

from horizon.cli.data import PANEL
from horizon.cli.options import AsJson, DatabaseName, installed
from horizon.cli.output import calm_memory, console, many, print_json, say, table_of, wide_console
from horizon.clock import utc_text
from horizon.errors import HorizonError, UsageError
from horizon.pipeline import intake
from horizon.pipeline.installation import Installation
from horizon.sources.files import FileResult
from horizon.sources.lines import OnProgress
from horizon.sources.opening import expand
from horizon.sources.preview import Preview

_STEP_S = 30.0  # where there is no terminal, a line so often


def register(app: typer.Typer) -> None:
    app.command(rich_help_panel=PANEL)(ingest)


def ingest(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="CSV, JSON lines or Parquet; plain, gzip or zstd; on disk or s3://BUCKET/KEY, "
            "where s3://BUCKET/PREFIX/ and s3://BUCKET/*.gz mean all such.",
        ),
    ],
    mapping: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="How its columns become events: a TOML file, or `cdnow`. Lines that are messages "
            "of Segment's API need none.",
        ),
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="The source's name; `files` where none is given.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the first rows as events, and write nothing.")
    ] = False,
    rows: Annotated[int, typer.Option(min=1, max=10_000, help="How many --dry-run shows.")] = 10,
    rejects: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write each rejected line's number and reason there."),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Read it from its beginning, though it was read before.")
    ] = False,
    as_json: AsJson = False,
    database: DatabaseName = None,
) -> None:
    """Bring the lines of files in as events, each one once.

    A run that was ended goes on where it was.
    """
    horizon = installed(database)
    names = expand(files, horizon.settings)
    if dry_run:
        for name in names:
            preview = intake.preview_file(horizon, name, mapping, most=rows, source_name=source)
            _show(name, preview, as_json=as_json)
        return
    if rejects is not None and not rejects.absolute().parent.is_dir():
        raise UsageError(f"There is no folder for {rejects}: make it, or name another file.")
    results = _ingest_all(horizon, names, mapping, source, again=again, as_json=as_json)
    if rejects is not None:
        digests = [result.digest for result in results]
        count = intake.write_rejects(horizon, rejects, digests, source)
        if not as_json:
            say(f"{rejects} holds {many(count, 'rejected line')}.")
    if results[-1].stopped:
        raise typer.Exit(1)
    for name, result in zip(names, results, strict=True):
        _check_useful(name, result)


def _check_useful(name: str, result: FileResult) -> None:
    if result.useless:
        raise HorizonError(
            f"{name}: none of its {many(result.read, 'line')} is an event: `horizon rejected "
            "list` tells why, look with --dry-run, and mend the mapping or the file."
        )


def _ingest_all(
    horizon: Installation, names: Sequence[str], mapping: str | None, source: str | None, *,
    again: bool, as_json: bool,
) -> list[FileResult]:  # fmt: skip
    """One after the other, until one of them fails or somebody ends it."""
    calm_memory()
    stop = _stop_at_signals()
    results = []
    for name in names:
        with _progress(name, quiet=as_json) as on_progress:
            result = intake.ingest_file(
                horizon, name, mapping, source_name=source, again=again,
                on_progress=on_progress, stopping=stop.is_set,
            )  # fmt: skip
        results.append(result)
        if as_json:
            print_json({"file": name, **vars(result)})
        else:
            say(_sentence(result, f"{name}: " if len(names) > 1 else ""))
        if result.stopped:
            break
    return results


def _stop_at_signals() -> Event:
    """Ctrl-C and SIGTERM end it after the lines under way."""
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop


@contextmanager
def _progress(name: str, *, quiet: bool) -> Iterator[OnProgress]:
    if quiet:
        yield lambda *_: None
    elif not console.is_terminal:
        yield _Steps(name).show
    else:
        columns = (BarColumn(), DownloadColumn(), TimeRemainingColumn())
        with Progress("{task.description}", *columns, console=console, transient=True) as bar:
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
        f"{name}{before}{many(result.read, 'line')} read: {many(result.inserted, 'new event')}, "
        f"{result.duplicates:,} known already, {result.rejected:,} rejected."
    )
    if result.rejected:
        text += " `horizon rejected list` tells why."
    if result.stopped:
        text += f" Stopped after line {result.last_line:,}: the same command goes on from there."
    return text


def _show(name: str, preview: Preview, *, as_json: bool) -> None:
    if as_json:
        print_json(preview.rows)
        return
    events = [_event_row(row) for row in preview.rows if "event" in row]
    if events:
        wide_console().print(table_of(events), soft_wrap=False)
    for row in preview.rows:
        if "event" not in row:
            (unit, number), (_, code), (_, reason) = row.items()
            say(f"rejected: {unit} {number}, {code}: {reason}")
    are = "1 is an event" if preview.events == 1 else f"{preview.events:,} are events"
    say(
        f"{name}: of the first {many(preview.read, 'line')} {are} and "
        f"{preview.rejected:,} would be rejected. Nothing was written."
    )


def _event_row(row: dict[str, Any]) -> dict[str, Any]:
    """A line of the table; what is seldom there stands with what was said."""
    (unit, number), (_, event) = row.items()
    first = {unit: number}
    for name in ("type", "name", "user_id", "anonymous_id", "time"):
        first[name] = event.pop(name, None)
    return {**first, "more": event}
