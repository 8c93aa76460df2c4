"""Send accepted events on to another endpoint of Segment's protocol."""

from __future__ import annotations

import contextlib
import time
from datetime import datetime, timedelta
from typing import Annotated

import msgspec
import typer

from horizon import clock
from horizon.cli.options import AsJson, installed
from horizon.cli.output import console, say, show
from horizon.clock import utc_text
from horizon.errors import UsageError
from horizon.forward import book
from horizon.forward.book import NewForward, Standing
from horizon.forward.rules import place_of
from horizon.forward.serve import check_address, try_key
from horizon.pipeline import forwarder
from horizon.pipeline.installation import Installation
from horizon.postgres.audit import write_audit
from horizon.postgres.database import Role

EVERY_S = 2.0

Name = Annotated[str, typer.Argument(help="Its name, as `horizon forward list` shows it.")]
Key = Annotated[
    str,
    typer.Option(
        metavar="KEY", show_envvar=True,
        help="The receiver's write key; in the environment nobody else on the machine sees it.",
    ),
]  # fmt: skip
Try = Annotated[
    bool, typer.Option("--try/--no-try", help="Ask the endpoint first whether it takes the key.")
]
AllowPrivate = Annotated[
    bool,
    typer.Option(
        "--allow-private", help="The address may be private, or without TLS: it is yours."
    ),
]


def _time(text: str) -> datetime:
    if text == "now":
        return clock.now()
    try:
        return clock.parse_instant(text)
    except UsageError as exc:
        raise UsageError(str(exc).replace("--now ", "", 1)) from exc


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        no_args_is_help=True, help="Send accepted events on to another Segment-compatible endpoint."
    )
    for name, command in (
        ("add", forward_add), ("list", forward_list), ("status", forward_status),
        ("set", forward_set), ("pause", forward_pause), ("resume", forward_resume),
        ("remove", forward_remove), ("replay", forward_replay), ("refused", forward_refused),
        ("compare", forward_compare),
    ):  # fmt: skip
        group.command(name)(command)
    app.add_typer(group, name="forward", rich_help_panel="Bring events in")


def forward_add(
    url: Annotated[str, typer.Argument(help="The endpoint: https://HOST, or its whole address.")],
    key: Key,
    source: Annotated[
        str | None,
        typer.Option(help="Only this source's events; else those of every public or server one."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="What to call it; else its host.")] = None,
    from_at: Annotated[
        str,
        typer.Option("--from", metavar="now|TIME", help="Send what was received from then on."),
    ] = "now",
    allow_private: AllowPrivate = False,
    try_: Try = True,
) -> None:
    """Send events on from now on, or from a time on. `horizon up` does it while it runs."""
    horizon = installed()
    began = None if from_at == "now" else _time(from_at)
    check_address(horizon.settings, url, allow_private=allow_private)
    book.check_key(key)
    odd = try_key(horizon.settings, url, key, allow_private=allow_private) if try_ else None
    new = NewForward(url, key, name, source, allow_private, began)
    # As the owner: no process that runs by itself may take data out of the house.
    with horizon.database.transaction(Role.OWNER) as tx:
        added = book.add(tx, horizon.keys, new, clock.now())
        details = {"to": place_of(url), "source": source, "from": from_at}
        write_audit(tx, "forward:added", added, details)
    forwarder.wanted_file(horizon.settings.home).touch()
    _say_untried(odd)
    say(f"{added} is added; `horizon forward status` shows how far it is.")


def _say_untried(odd: str | None) -> None:
    if odd:
        say(f"The endpoint could not be tried ({odd}): what comes is kept for it until it answers.")


def forward_list(as_json: AsJson = False) -> None:
    """The forwards there are."""
    with installed().database.transaction(Role.WORKER) as tx:
        rows = book.listed(tx)
    show(rows, as_json=as_json, empty="No forward yet: `horizon forward add URL --key KEY`.")


def forward_status(
    watch: Annotated[bool, typer.Option("--watch", help="Go on until Ctrl-C.")] = False,
    as_json: AsJson = False,
) -> None:
    """Of each forward its lag, what was sent and refused, and what is wrong."""
    horizon = installed()
    _show(_look(horizon), as_json=as_json)
    with contextlib.suppress(KeyboardInterrupt):
        while watch:
            time.sleep(EVERY_S)
            found = _look(horizon)
            if console.is_terminal and not as_json:
                console.clear()
            _show(found, as_json=as_json)


def _look(horizon: Installation) -> list[Standing]:
    with horizon.database.transaction(Role.WORKER) as tx:
        return book.standings(tx, clock.now(), running=forwarder.runs(horizon.settings.home))


def _show(found: list[Standing], *, as_json: bool) -> None:
    rows = [msgspec.structs.asdict(one) for one in found]
    if as_json:
        show(rows, as_json=True, empty="")
        return
    for row in rows:
        since, again = row.pop("error_since"), row.pop("next_try_at")
        told = [row["error"] or ""]
        told += [f"since {utc_text(since)}"] if since else []
        told += [f"try {row['attempt']} at {utc_text(again)}"] if again else []
        row["error"] = ", ".join(filter(None, told))
        del row["attempt"]
    show(rows, as_json=False, empty="No forward yet: `horizon forward add URL --key KEY`.")


def forward_set(
    name: Name,
    key: Key,
    url: Annotated[str | None, typer.Option(metavar="URL", help="Another address.")] = None,
    allow_private: Annotated[
        bool | None,
        typer.Option(
            "--allow-private/--no-allow-private", help="Whether it may be private or without TLS."
        ),
    ] = None,
    try_: Try = True,
) -> None:
    """Give it another key, or another address and its key. It goes on where it was."""
    horizon = installed()
    private = bool(allow_private)
    if url is not None:
        check_address(horizon.settings, url, allow_private=private)
    with horizon.database.transaction(Role.WORKER) as tx:
        known = book.find(tx, name)
    if url is None and allow_private is None:
        private = known.allow_private
    odd = try_key(horizon.settings, url or known.url, key, allow_private=private) if try_ else None
    with horizon.database.transaction(Role.OWNER) as tx:
        book.change(tx, horizon.keys, name, key=key, url=url, allow_private=allow_private)
        write_audit(tx, "forward:changed", name, {"to": place_of(url) if url else None})
    _say_untried(odd)
    say(f"{name} is changed; `horizon forward status` shows whether it goes.")


def forward_pause(name: Name) -> None:
    """Hold it; what comes meanwhile is sent when it is resumed."""
    _set_state(name, "paused")
    say(f"{name} is paused; `horizon forward resume {name}` lets it go on where it was.")


def forward_resume(name: Name) -> None:
    """Let it go on where it was, also one that stopped by itself."""
    _set_state(name, "on")
    say(f"{name} goes on where it was.")


def _set_state(name: str, state: str) -> None:
    with installed().database.transaction(Role.OWNER) as tx:
        book.set_state(tx, name, state)
        write_audit(tx, "forward:paused" if state == "paused" else "forward:resumed", name, {})


def forward_remove(name: Name) -> None:
    """Remove it, its key and its counts. What it sent is sent."""
    with installed().database.transaction(Role.OWNER) as tx:
        book.remove(tx, name)
        write_audit(tx, "forward:removed", name, {})
    say(f"{name} is removed.")


def forward_replay(
    name: Name,
    from_at: Annotated[
        datetime,
        typer.Option("--from", metavar="TIME", parser=_time, help="Received from then on."),
    ],
    to_at: Annotated[
        datetime | None,
        typer.Option(
            "--to", metavar="TIME", parser=_time, help="Received before; else before now."
        ),
    ] = None,
) -> None:
    """Send again what was received in a span of time, in its order, after what waits now."""
    with installed().database.transaction(Role.OWNER) as tx:
        book.replay(tx, name, from_at, to_at or clock.now(), clock.now())
        details = {"from": utc_text(from_at), "to": utc_text(to_at) if to_at else None}
        write_audit(tx, "forward:replayed", name, details)
    say(f"{name} sends it again; events keep their messageId, by which the receiver knows them.")


def forward_refused(
    name: Name,
    limit: Annotated[int, typer.Option(min=1, max=100_000)] = 50,
    as_json: AsJson = False,
) -> None:
    """Events that the receiver would not have, the newest first, with its answer."""
    with installed().database.transaction(Role.WORKER) as tx:
        rows = book.refused(tx, name, limit)
    show(rows, as_json=as_json, empty=f"{name} had none refused in the last 30 days.")


def forward_compare(
    name: Name,
    day: Annotated[
        datetime | None,
        typer.Option(metavar="DAY", parser=_time, help="One UTC day; else the last seven."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """By day and type how many events were accepted here, sent, refused, and are left."""
    last = (day or clock.now()).date()
    first = last if day else last - timedelta(days=6)
    with installed().database.transaction(Role.WORKER) as tx:
        rows = book.compare(tx, name, first, last)
    show(rows, as_json=as_json, empty=f"Nothing was accepted from {first} to {last}.")
