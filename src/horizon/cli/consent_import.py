"""Bring in what people said to another system."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

from horizon.cli.options import Channel, DatabaseName, Purpose, installed
from horizon.cli.output import console, many, say
from horizon.consent.formats import Format, Kind, Subscription
from horizon.consent.importer import Imported
from horizon.delivery import channels
from horizon.pipeline.consents import check_used, given_of, import_consent


def consent_import(
    file: Annotated[Path, typer.Argument(help="The export.")],
    format_: Annotated[Format, typer.Option("--format", help="Whose export it is.")],
    purpose: Purpose = "marketing",
    channel: Channel = "email",
    wording: Annotated[
        str | None, typer.Option(help="What was agreed to, where the file does not say.")
    ] = None,
    kind: Annotated[
        Kind | None, typer.Option(help="Which list of Mailgun's, where its columns do not tell.")
    ] = None,
    only_list: Annotated[
        str | None, typer.Option("--list", help="Only this list of listmonk's (JSON).")
    ] = None,
    subscription_status: Annotated[
        Subscription | None, typer.Option(help="What listmonk's CSV was filtered for.")
    ] = None,
    encoding: Annotated[
        str, typer.Option(help="The file's, where it has no mark of its own.")
    ] = "utf-8",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count only; write nothing.")] = False,
    database: DatabaseName = None,
) -> None:
    """Bring consent and suppression in. The same file again changes nothing."""
    horizon = installed(database)
    channels.find(channel)
    given = given_of(
        horizon, purpose, channel, wording,
        kind=kind, only_list=only_list, subscription=subscription_status,
    )  # fmt: skip
    columns = ("reading", MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("lines", total=None)
        done = import_consent(
            horizon, file, format_, given, encoding=encoding, dry_run=dry_run,
            on_lines=lambda count: bar.update(task, completed=count),
        )  # fmt: skip
    say(_told(done, dry_run=dry_run))
    for number, why in done.bad:
        say(f"{done.unit} {number}: {why}")
    if done.rejected > len(done.bad):
        say(f"and {done.rejected - len(done.bad):,} more {done.unit}s that cannot be used.")
    check_used(done, file, given)


def _told(done: Imported, *, dry_run: bool) -> str:
    text = f"{many(done.lines, done.unit)} read"
    if done.changed:
        text += (
            f": {many(done.granted, 'new consent')}, {many(done.refused, 'new refusal')}, "
            f"{many(done.suppressed, 'new suppression')}, {done.known:,} known already."
        )
    else:
        text += f": nothing is new, {done.known:,} known already."
    if done.left:
        left = ", ".join(f"{count:,} {why}" for why, count in sorted(done.left.items()))
        text += f" Left as they are: {left}."
    if done.rejected:
        text += f" {many(done.rejected, done.unit)} cannot be used."
    return f"{text} Nothing was written." if dry_run else text
