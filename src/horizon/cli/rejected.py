"""Events that were refused: what is wrong with them, and having them read again."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from horizon import clock
from horizon.cli.options import AsJson, DatabaseName, installed
from horizon.cli.output import many, print_json, say, show
from horizon.clock import utc_text
from horizon.errors import HorizonError, UsageError
from horizon.pipeline.replay import replay
from horizon.postgres.audit import write_audit
from horizon.postgres.database import Role
from horizon.sources import rejected
from horizon.sources.mending import Mending, read_renaming, read_setting
from horizon.sources.registry import sources
from horizon.sources.rejected import Replayed, Wanted

TOLD_REASONS = 5


def _since(text: str) -> datetime:
    return clock.parse_instant(text, option="--since")


SourceName = Annotated[str | None, typer.Option("--source", help="Of this source alone.")]
Code = Annotated[
    str | None, typer.Option("--code", help="Refused for this reason alone, like no_event_name.")
]
Since = Annotated[
    datetime | None,
    typer.Option("--since", metavar="TIME", parser=_since, help="Received from then on."),
]
Replayed_ = Annotated[bool, typer.Option("--all", help="Those that became events later, too.")]
Id = Annotated[int, typer.Argument(metavar="ID", help="`horizon rejected list` shows it.")]


def register(app: typer.Typer, panel: str) -> None:
    command = typer.Typer(no_args_is_help=True, help="Events that were refused, and why.")
    command.command("list")(rejected_list)
    command.command("show")(rejected_show)
    command.command("replay")(rejected_replay)
    app.add_typer(command, name="rejected", rich_help_panel=panel)


def rejected_list(
    source: SourceName = None,
    code: Code = None,
    since: Since = None,
    replayed_too: Replayed_ = False,
    count: Annotated[
        bool, typer.Option("--count", help="How many for each source and reason instead.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=100_000)] = 50,
    as_json: AsJson = False,
    database: DatabaseName = None,
) -> None:
    """Events that were refused and are none yet, the newest first, each with its reason."""
    wanted = Wanted(source=source, code=code, since=since)
    with installed(database).database.transaction(Role.WORKER) as tx:
        if source is not None:
            sources(tx, source)  # a mistyped one is not one of which nothing was refused
        if count:
            rows = rejected.counted(tx, wanted, replayed_too=replayed_too)
        else:
            rows = rejected.listed(tx, wanted, most=limit, replayed_too=replayed_too)
    if not replayed_too:
        rows = [{k: v for k, v in row.items() if k != "replayed_at"} for row in rows]
    show(rows, as_json=as_json, empty=f"Nothing was rejected up to {utc_text(clock.now())}.")


def rejected_show(
    rejected_id: Id,
    body: Annotated[
        bool, typer.Option("--body", help="The event's text alone, to mend it in a file.")
    ] = False,
    as_json: AsJson = False,
    database: DatabaseName = None,
) -> None:
    """One refused event: its reason, where it came from, its text without keys."""
    with installed(database).database.transaction(Role.WORKER) as tx:
        row = rejected.one(tx, rejected_id)
    if body:
        print(row["body"])
        return
    if as_json:
        print_json(row)
        return
    text = row.pop("body")
    for name, value in row.items():
        if value is not None and value is not False:
            said = utc_text(value) if isinstance(value, datetime) else value
            say(f"{name}: {said}")
    say(f"\n{text}")


def rejected_replay(
    ids: Annotated[
        list[int] | None, typer.Argument(metavar="ID...", help="These; or choose with the options.")
    ] = None,
    source: SourceName = None,
    code: Code = None,
    since: Since = None,
    everything: Annotated[bool, typer.Option("--all", help="All that are none yet.")] = False,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Set a field first: event=Viewed."),
    ] = None,
    rename: Annotated[
        list[str] | None,
        typer.Option("--rename", metavar="OLD=NEW", help="Move a field first: user_id=userId."),
    ] = None,
    with_: Annotated[
        Path | None,
        typer.Option("--with", metavar="FILE", help="Take this text, for one ID."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read them, and keep nothing of it.")
    ] = False,
    database: DatabaseName = None,
) -> None:  # fmt: skip
    """Read refused events again, as they are or mended; each becomes an event once."""
    if not (ids or source or code or since or everything):
        raise UsageError("Say which: give IDs, --source, --code, --since, or --all.")
    if with_ is not None and len(ids or ()) != 1:
        raise UsageError("--with FILE mends one event: give its ID.")
    mending = Mending([read_setting(one) for one in set_ or ()],
                      [read_renaming(one) for one in rename or ()])  # fmt: skip
    wanted = Wanted(ids or None, source, code, since)
    horizon = installed(database)
    body = None if with_ is None else _text(with_)
    with horizon.database.transaction(Role.WORKER) as tx:
        if source is not None:
            sources(tx, source)
        for one in ids or ():
            rejected.one(tx, one)  # a mistyped one is told before anything is written
        if not dry_run:
            asked = {"ids": ids, "source": source, "code": code, "fields": mending.fields(),
                     "since": since and utc_text(since), "with": with_ is not None}  # fmt: skip
            write_audit(tx, "rejected:replayed", source or "all", asked)
    done = replay(horizon, wanted, mending, body, dry=dry_run)
    _tell(done, dry=dry_run)


def _text(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise UsageError(
            f"{path} cannot be read ({exc.strerror}): give a file with the event."
        ) from exc


def _tell(done: Replayed, *, dry: bool) -> None:
    if not done.read:
        say("There is nothing to replay: `horizon rejected list --all` shows what became events.")
        return
    became = f"{done.new:,} {'would become' if dry else 'became'} "
    became += "an event" if done.new == 1 else "events"
    say(
        f"{many(done.read, 'event')} read: {became}, {done.known:,} known "
        f"already, {done.refused:,} refused again."
    )
    for reason, number in done.reasons.most_common(TOLD_REASONS):
        say(f"{number:,} x {reason}")
    if done.refused == done.read:
        raise HorizonError("None of them can be taken: mend what is said above first.")
