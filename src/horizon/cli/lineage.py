"""Which column comes from which."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from horizon import settings as setting
from horizon.cli.options import AsJson, DatabaseName
from horizon.cli.output import complain, many, say, show
from horizon.errors import HorizonError, UsageError
from horizon.postgres.database import Database

PANEL = "Start, stop, look"

All = Annotated[
    bool, typer.Option("--all", help="Also what decides only whether there is a row.")
]  # fmt: skip


def register(app: typer.Typer) -> None:
    lineage = typer.Typer(no_args_is_help=True, help="Which column comes from which.")
    lineage.command("show")(lineage_show)
    lineage.command("list")(lineage_list)
    lineage.command("flush")(lineage_flush)
    app.add_typer(lineage, name="lineage", rich_help_panel=PANEL)


def lineage_show(
    column: Annotated[str, typer.Argument(metavar="TABLE.COLUMN", help="Like scores.score.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.svg", help="Draw it into this file.")
    ] = None,
    wide: All = False,
    as_json: AsJson = False,
) -> None:
    """Where a column's values come from, and where they go. Needs no database."""
    # sqlglot takes 0.3 s to import.
    from horizon.observe.lineage.graph import Graph
    from horizon.observe.lineage.text import as_json as told
    from horizon.observe.lineage.text import as_text

    graph = Graph()
    found = graph.find(column)
    if out is not None:
        from horizon.observe.lineage.picture import write

        write(graph, found, out)
        say(f"{found} is drawn in {out}")
    elif as_json:
        print(json.dumps(told(graph, found, wide=wide), ensure_ascii=False))
    else:
        say(as_text(graph, found, wide=wide))


def lineage_list(
    table: Annotated[str | None, typer.Argument(help="One table's columns alone.")] = None,
    as_json: AsJson = False,
) -> None:
    """Every column that lineage knows, and which jobs write it."""
    from horizon.observe.lineage.graph import Graph

    graph = Graph()
    rows = [
        {"column": str(column), "written_by": ", ".join(graph.writers(column))}
        for column in graph.columns
        if table in (None, column.table)
    ]
    if not rows:
        raise UsageError(f"There is no table {table!r}: leave it out to see all.")
    show(rows, as_json=as_json, empty="")


def lineage_flush(
    queue_name: Annotated[
        str | None,
        typer.Option("--queue", metavar="NAME", help="What was queued for another LINEAGE_TO."),
    ] = None,
    database: DatabaseName = None,
) -> None:
    """Deliver what waits in the queue of lineage to LINEAGE_TO, once."""
    from horizon.observe.lineage.courier import open_courier, running_database
    from horizon.observe.lineage.delivery import AwayError, open_target
    from horizon.observe.lineage.queue import other_queues, queue_of

    settings = setting.load()
    if settings.LINEAGE_TO == "off":
        raise UsageError("LINEAGE_TO is off, so there is nowhere to deliver to: set it first.")
    others = {one.name: one for one in other_queues(settings)}
    if queue_name is not None and queue_name not in others:
        there = ", ".join(others) or "none"
        raise UsageError(f"There is no queue {queue_name!r} for another target: there is {there}.")
    queue = others.pop(queue_name) if queue_name is not None else queue_of(settings)

    def find() -> Database:
        found = running_database(settings)
        return found if database is None else found.named(database)

    courier = open_courier(settings, open_target(settings), queue, find)
    try:
        delivered = courier.flush()
    except AwayError as exc:
        waiting = queue.waiting()
        wait = "waits" if waiting == 1 else "wait"
        raise HorizonError(f"{exc} {many(waiting, 'event')} {wait}; none is lost.") from exc
    if delivered is None:
        complain("another process is delivering already: `horizon up`, most likely.")
        return
    kept = f", {delivered.refused} refused: see {courier.refused_path}" if delivered.refused else ""
    complain(f"{many(delivered.sent, 'event')} delivered{kept}.")
    for name, other in others.items():
        left = many(other.waiting(), "event")
        complain(
            f"{left} wait for what LINEAGE_TO was before: set it back, or `horizon lineage "
            f"flush --queue {name}` delivers them to {settings.lineage_place}."
        )
