"""A new source, and waiting for what it sends."""

from __future__ import annotations

import sys
import time
from typing import Annotated, Any, TextIO

import typer

from horizon import clock
from horizon.cli.options import AsJson, DatabaseName, installed
from horizon.cli.output import print_json, say
from horizon.clock import utc_text
from horizon.errors import HorizonError, UsageError
from horizon.events import sources
from horizon.events.origins import read_origin
from horizon.pipeline.installation import Installation
from horizon.postgres.audit import write_audit
from horizon.postgres.database import Role
from horizon.sources.first_event import FirstEvent, Watcher
from horizon.sources.registry import check_name
from horizon.sources.registry import sources as sources_of
from horizon.sources.snippets import Snippet, snippets

LOOK_EVERY_S = 0.5

Origins = Annotated[
    list[str] | None,
    typer.Option(
        "--origin", metavar="ORIGIN",
        help="Take events of pages of this origin alone, like https://shop.example or "
        "https://*.shop.example; may be given several times.",
    ),
]  # fmt: skip
Rate = Annotated[
    float | None,
    typer.Option(
        "--rate",
        metavar="N",
        min=0.001,
        help="Events a second it may send to the collectors of this home together.",
    ),
]
Burst = Annotated[
    float | None,
    typer.Option(
        "--burst", metavar="N", min=1, help="Events at once; ten seconds' worth if unset."
    ),
]
WaitS = Annotated[
    float, typer.Option("--wait-s", metavar="N", min=0.1, help="Wait for so many seconds.")
]


def source_add(
    name: Annotated[str, typer.Argument(help="What to call it.")],
    kind: Annotated[
        str, typer.Option(help="server: its key is secret; public: browsers and apps.")
    ] = "server",
    origin: Origins = None,
    rate: Rate = None,
    burst: Burst = None,
    key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            show_envvar=True,
            help="The write key that its senders have already, of Segment for example; else a new "
            "one. In the environment nobody else on the machine sees it.",
        ),
    ] = None,
    sdk: Annotated[
        str | None,
        typer.Option("--sdk", metavar="NAME", help="Print the snippet for this SDK alone."),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for its first event; exit code 1 if none comes.")
    ] = False,
    wait_s: WaitS = 300,
    as_json: AsJson = False,
    database: DatabaseName = None,
) -> None:
    """Add a source and print its write key, once, in a snippet for each SDK.

    Where its senders come from Segment or RudderStack, they keep their key: give it with --key.
    """
    check_name(name)
    horizon = installed(database)
    origins = [read_origin(one) for one in origin or []]
    _chosen("", "", kind, sdk)  # a mistake in its name is told before there is a source
    with horizon.database.transaction(Role.WORKER) as tx:
        about = {"origins": origins, "rate": rate, "burst": burst}
        key = sources.add_source(tx, name, kind, key=key, **about)  # type: ignore[arg-type]
        write_audit(tx, "source:added", name, {"kind": kind, **about})
        watcher = Watcher.begin(tx, name, clock.now())
    _show(horizon.settings.public_url, name, key, kind, sdk, as_json=as_json)
    if wait:
        wait_for(horizon, watcher, wait_s, sys.stderr if as_json else sys.stdout)


def _show(url: str, name: str, key: str, kind: str, sdk: str | None, *, as_json: bool) -> None:
    chosen = _chosen(url, key, kind, sdk)
    if as_json:
        texts = {one.name: one.text for one in chosen}
        print_json({"name": name, "kind": kind, "key": key, "url": url, "snippets": texts})
        return
    say(f"The write key of {name}, which is not shown again: {key}")
    say(f"Point a Segment SDK at {url} with it; `horizon up` takes what it sends.")
    for one in chosen:
        say(f"\n--- {one.name} ---\n{one.text.rstrip()}")


def _chosen(url: str, key: str, kind: str, sdk: str | None) -> list[Snippet]:
    """Those for this kind of source whose SDK's name holds ``sdk``. Raises UsageError."""
    fit = snippets(url, key, "public" if kind == "public" else "server")
    chosen = [one for one in fit if (sdk or "").lower() in one.name.lower()]
    if not chosen:
        raise UsageError(
            f"There is no snippet for {sdk!r} with a {kind} source's key: there are those for "
            f"{', '.join(one.name for one in fit)}."
        )
    return chosen


def source_wait(
    name: Annotated[str, typer.Argument(help="The source's name.")],
    wait_s: WaitS = 300,
    database: DatabaseName = None,
) -> None:
    """Wait for the next event of a source, and tell what comes; exit code 1 if none does."""
    horizon = installed(database)
    with horizon.database.transaction(Role.WORKER) as tx:
        watcher = Watcher.begin(tx, name, clock.now())
    wait_for(horizon, watcher, wait_s, sys.stdout)


def wait_for(horizon: Installation, watcher: Watcher, wait_s: float, out: TextIO) -> None:
    """Until an event has come. Raises HorizonError where none does."""
    text = f"Waiting {wait_s:g} s for an event of {watcher.name}; Ctrl-C ends it, the source stays."
    print(text, file=out, flush=True)
    if disabled := _disabled(horizon, watcher.name):
        print(disabled, file=out, flush=True)
    until_s = time.monotonic() + wait_s
    try:
        while time.monotonic() < until_s:
            found = _look(horizon, watcher, out)
            if found is not None:
                named = f" {found.name!r}" if found.name else ""
                text = f"It came: {found.type}{named}, at {utc_text(found.received_at)}."
                print(text, file=out, flush=True)
                return
            time.sleep(LOOK_EVERY_S)
    except KeyboardInterrupt:
        raise typer.Abort from None
    raise HorizonError(_to_check(horizon, watcher))


def _look(horizon: Installation, watcher: Watcher, out: TextIO) -> FirstEvent | None:
    # A transaction each: the first event's partitions are made under locks on the tables in the
    # other order, and one that reads both would end in a deadlock.
    with horizon.database.transaction(Role.WORKER) as tx:
        for refusal in watcher.refusals(tx):
            print(f"One was refused. {refusal}", file=out, flush=True)
    with horizon.database.transaction(Role.WORKER) as tx:
        return watcher.look(tx)


def _disabled(horizon: Installation, name: str) -> str | None:
    with horizon.database.transaction(Role.WORKER) as tx:
        (row,) = sources_of(tx, name)
    if row["enabled"]:
        return None
    return (
        f"{name} is disabled, so its senders are answered 403 source_disabled: `horizon source "
        f"enable {name}` ends it."
    )


def _to_check(horizon: Installation, watcher: Watcher) -> str:
    if disabled := _disabled(horizon, watcher.name):
        return disabled
    with horizon.database.transaction(Role.WORKER) as tx:
        used = watcher.key_used(tx)
        (row,) = sources_of(tx, watcher.name)
    if watcher.told:
        return "Events came and were refused for what is said above: mend them and send again."
    if used:
        return (
            "Requests came with its key but no new event: look at what they were answered, and "
            f"whether the same messageId was sent before.{_where_from(row)}"
        )
    url = horizon.settings.public_url
    return (
        f"Nothing came with its key: see that {url}/healthz answers where the sender runs, that "
        "the sender has this address and the whole key, and that it flushes before it ends."
    )


def _where_from(row: dict[str, Any]) -> str:
    if not row["origins"]:
        return ""
    return (
        f" It takes events from the pages of {', '.join(row['origins'])} alone, and others are "
        f"answered 403 origin_not_allowed: `horizon source set {row['name']} --origin ORIGIN` "
        "replaces that list."
    )
