"""How it stands, once or for as long as one looks."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Annotated, Any

import msgspec
import psycopg
import typer
from rich.console import Group
from rich.live import Live
from rich.text import Text

from horizon import clock
from horizon import settings as setting
from horizon.cli.options import AsJson, DatabaseName, installed
from horizon.cli.output import console, many, say, show, table_of
from horizon.clock import utc_text
from horizon.delivery import breaker
from horizon.errors import HorizonError
from horizon.forward import book
from horizon.pipeline import forwarder
from horizon.pipeline.installation import Installation
from horizon.pipeline.runner import QUERIES, sentence
from horizon.pipeline.standing import StageStanding, changes, last_runs, look
from horizon.postgres.database import Role, row_dicts
from horizon.profiles.standing import hub_count

EVERY_S = 2.0


def register(app: typer.Typer) -> None:
    app.command(rich_help_panel="Start, stop, look")(status)


def status(
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Go on until Ctrl-C: anew in place, or a line a change."),
    ] = False,
    as_json: AsJson = False,
    database: DatabaseName = None,
) -> None:
    """Each stage's last run, lag and what it waits for; the messages; what the breaker holds."""
    if watch:
        setting.load()  # a wrong setting ends it at once
        _watch(_looker(database))
        return
    horizon = installed(database)
    with horizon.database.transaction(Role.WORKER) as tx:
        stages = look(tx, horizon.settings, clock.now())
        runs = last_runs(tx)
        messages = row_dicts(tx.execute(QUERIES["message_states"]))
        breakers = breaker.open_breakers(tx)
        hubs = hub_count(tx)
        running = forwarder.runs(horizon.settings.home)
        forwards = list(
            map(msgspec.structs.asdict, book.standings(tx, clock.now(), running=running))
        )
    if as_json:
        everything = {"stages": _rows(stages), "runs": runs, "messages": messages,
                      "breakers": breakers, "forwards": forwards, "hubs": hubs}  # fmt: skip
        show([everything], as_json=True, empty="")
        return
    show(_rows(stages), as_json=False, empty="")
    say("")
    show(messages, as_json=False, empty="No message yet.")
    if breakers:
        say("Held by the breaker; `horizon campaign resume NAME` lets them go on:")
        show(breakers, as_json=False, empty="")
    if forwards:
        say("Sent on elsewhere; `horizon forward status` tells more:")
        names = ("name", "state", "lag_s", "lag_events", "sent", "refused", "error")
        show([{name: one[name] for name in names} for one in forwards], as_json=False, empty="")
    if hubs:
        say(f"Shared by too many to tie anybody: {many(hubs, 'hub')}; `horizon identity hubs`.")


def _rows(stages: Sequence[StageStanding]) -> list[dict[str, Any]]:
    return [asdict(one) for one in stages]


def _looker(database: str | None) -> Callable[[], list[StageStanding]]:
    """Opened once: a look every two seconds is no time for migrations."""
    opened: list[Installation] = []

    def look_again() -> list[StageStanding]:
        if not opened:
            opened.append(installed(database))
        horizon = opened[0]
        with horizon.database.transaction(Role.WORKER) as tx:
            return look(tx, horizon.settings, clock.now())

    return look_again


def _watch(look_again: Callable[[], list[StageStanding]]) -> None:
    """A database that goes away and comes back is told, and ends nothing."""
    try:
        if console.is_terminal:
            _in_place(look_again)
        else:
            _line_by_line(look_again)
    except KeyboardInterrupt:
        pass


def _tried(
    look_again: Callable[[], list[StageStanding]],
) -> tuple[list[StageStanding], str | None]:
    try:
        return look_again(), None
    except psycopg.Error as exc:
        return [], str(sentence(exc))
    except HorizonError as exc:
        return [], str(exc)


def _in_place(look_again: Callable[[], list[StageStanding]]) -> None:
    with Live(console=console, screen=False, auto_refresh=False) as live:
        while True:
            stages, trouble = _tried(look_again)
            head = Text(f"{utc_text(clock.now())}   Ctrl-C ends it", style="dim")
            body = Text(trouble, style="red") if trouble else table_of(_rows(stages))
            live.update(Group(head, body), refresh=True)
            time.sleep(EVERY_S)


def _line_by_line(look_again: Callable[[], list[StageStanding]]) -> None:
    before: list[StageStanding] = []
    said: str | None = None
    while True:
        stages, trouble = _tried(look_again)
        if trouble != said and trouble:
            print(f"{utc_text(clock.now())} {trouble}", flush=True)
        elif trouble != said:
            print(f"{utc_text(clock.now())} The database answers again.", flush=True)
        said = trouble
        if not trouble:
            for one in changes(before, stages):
                print(f"{utc_text(clock.now())} {told(one)}", flush=True)
            before = stages
        time.sleep(EVERY_S)


def told(one: StageStanding) -> str:
    """One line for grep."""
    parts = [f"{one.stage}: {one.result}"]
    if one.last_run is not None:
        parts.append(f"last run {utc_text(one.last_run)}")
    if one.lag:
        parts.append(f"lag {one.lag}")
    if one.waits_for:
        parts.append(f"waits for {one.waits_for}")
    return "; ".join(parts)
