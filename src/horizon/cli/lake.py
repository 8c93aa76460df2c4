"""The lake: how it stands, its small files, and whether it has what the hot store has."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any

import typer

from horizon import clock
from horizon.cli.options import AsJson, DatabaseName, Now, installed
from horizon.cli.output import many, print_json, say, show
from horizon.errors import HorizonError, UsageError
from horizon.pipeline import stages
from horizon.postgres.audit import write_audit
from horizon.postgres.database import Role

if TYPE_CHECKING:
    from horizon.lake.verify import Day, Verified

PANEL = "Keep the data, look into it"
SINCE = "Only the days of receipt from this one on, like 2026-06-01."


def register(app: typer.Typer) -> None:
    lake = typer.Typer(no_args_is_help=True, help="All history, in Apache Iceberg.")
    lake.command("status")(status)
    lake.command("compact")(compact)
    lake.command("verify")(verify)
    app.add_typer(lake, name="lake", rich_help_panel=PANEL)


def status(as_json: AsJson = False, database: DatabaseName = None) -> None:
    """Where it lies, how large it is, and how far behind the hot store."""
    from horizon.lake import standing
    from horizon.lake.table import Lake

    horizon = installed(database)
    with horizon.database.transaction(Role.WORKER) as tx:
        tx.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        found = standing.look(tx, Lake.of(horizon.settings, horizon.database), clock.now())
    rows = asdict(found)
    if as_json:
        print_json(rows)
    elif found.location is None:
        say(f"Nothing is in the lake yet, and {many(found.hot_only, 'event')} in the hot store: "
            "`horizon archive` takes them there.")  # fmt: skip
    else:
        show([{"what": name, "is": _told(value)} for name, value in rows.items()],
             as_json=False, empty="")  # fmt: skip


def _told(value: Any) -> Any:
    return f"{value:,}" if isinstance(value, int | float) else value


def compact(now: Now = None, as_json: AsJson = False, database: DatabaseName = None) -> None:
    """Make few sorted files of a day's many small ones, and let old snapshots and files go.

    `horizon up` does it when there is enough to do. No event comes or goes."""
    if now is not None and now > clock.now():
        raise UsageError(
            "--now lies ahead, and what readers and backups still need would go: leave it out."
        )
    horizon = installed(database)
    figures = horizon.runner.run(stages.compact_stage(horizon), now).figures
    with horizon.database.transaction(Role.WORKER) as tx:
        write_audit(tx, "lake:compacted", "events", figures)
    if as_json:
        print_json(figures)
        return
    say(
        f"{many(figures['replaced'], 'file')} became {figures['files']:,}, with "
        f"{many(figures['events'], 'event')}. {many(figures['expired'], 'snapshot')} let go, "
        f"{many(figures['removed'], 'file')} removed ({many(figures['freed_bytes'], 'byte')})."
    )


def verify(
    since: Annotated[
        str | None, typer.Option("--since", metavar="DAY", help=SINCE)
    ] = None,
    as_json: AsJson = False,
    database: DatabaseName = None,
) -> None:  # fmt: skip
    """Compare lake and hot store by the day of receipt; exit code 1 where they differ."""
    horizon = installed(database)
    found: list[Verified] = []
    try:
        horizon.runner.run(stages.verify_stage(horizon, _day(since), found.append))
    except HorizonError:
        if found:
            _show(found[0], as_json=as_json, since=since)
        raise
    _show(found[0], as_json=as_json, since=since)


def _day(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError as exc:
        raise UsageError(f"--since {text!r} is not a day: write it like 2026-06-01.") from exc


def _show(found: Verified, *, as_json: bool, since: str | None) -> None:
    rows = list(map(_row, found.days))
    if as_json:
        print_json({
            "ok": not (found.broken or found.differing), "files": found.files,
            "broken": found.broken, "days": rows,
        })  # fmt: skip
        return
    nothing = f" that was received since {since}" if since else " yet: `horizon archive` fills it"
    show(rows, as_json=False, empty=f"Nothing is in the lake{nothing}.")
    if rows:
        events = many(sum(day.lake.events for day in found.days), "event")
        agree = f"{len(rows) - len(found.differing):,} of {many(len(rows), 'day')} agree"
        say(f"{events} in {many(found.files, 'file')} read; {agree}.")


def _row(day: Day) -> dict[str, Any]:
    return {
        "day": day.day.isoformat(),
        "hot": day.hot.events if day.hot is not None else None,
        "lake": day.lake.events,
        "agree": f"no: {day.differs}" if day.differs else "yes" if day.hot else "as before",
    }  # fmt: skip
