"""One person: who they are and why, and taking it back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from horizon import clock
from horizon.cli import profile_text as text
from horizon.cli.options import AsJson, DatabaseName
from horizon.cli.output import say, show
from horizon.cli.profile_change import (
    profile_join,
    profile_split,
    profile_uncut,
    profile_unjoin,
)
from horizon.cli.profile_options import Other, Unmasked, Who, reading
from horizon.profiles import explain
from horizon.profiles import show as shown
from horizon.profiles.people import find

PANEL = "Keep the data, look into it"
EVENTS = 10


def register(app: typer.Typer) -> None:
    profile = typer.Typer(no_args_is_help=True, help="One person: who it is, why, and undoing it.")
    for name, command in (
        ("show", profile_show), ("explain", profile_explain), ("graph", profile_graph),
        ("split", profile_split), ("join", profile_join), ("unjoin", profile_unjoin),
        ("cuts", profile_cuts), ("uncut", profile_uncut),
    ):  # fmt: skip
        profile.command(name)(command)
    app.add_typer(profile, name="profile", rich_help_panel=PANEL)


def profile_show(
    profile: Who,
    events: Annotated[
        int, typer.Option(min=0, max=1000, help="How many of the last events to list.")
    ] = EVENTS,
    unmasked: Unmasked = False,
    as_json: AsJson = False,
    database: DatabaseName = None,
) -> None:
    """All about one person: identifiers, traits, score, last events, merges, refused ties."""
    with reading(database, unmasked=unmasked) as (evidence, keys):
        found = shown.gather(evidence, find(evidence, profile, keys.node), events)
    if as_json:
        print(msgspec.json.encode(found).decode())
    else:
        text.profile(found)


def profile_explain(
    profile: Who, other: Other, unmasked: Unmasked = False, as_json: AsJson = False,
    database: DatabaseName = None,
) -> None:  # fmt: skip
    """Why two are one person, event by event; or what would tie them, and what refused it."""
    with reading(database, unmasked=unmasked) as (evidence, keys):
        one, two = (find(evidence, name, keys.node).node for name in (profile, other))
        found = explain.explain(evidence, one, two)
    if as_json:
        print(msgspec.json.encode(found).decode())
    else:
        text.chain(found)


def profile_graph(
    profile: Who,
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="FILE.svg, or FILE.html with a table.")
    ],
    unmasked: Unmasked = False,
    database: DatabaseName = None,
) -> None:
    """A picture of one person's identifiers and of the events that tie them, as one file."""
    from horizon.profiles import page  # the layout's library takes 60 ms to load

    page.check(out)
    with reading(database, unmasked=unmasked) as (evidence, keys):
        picture = page.gather(evidence, find(evidence, profile, keys.node), clock.now())
    page.write(picture, out)
    say(f"Written to {out}.")


def profile_cuts(
    profile: Annotated[
        str | None, typer.Argument(metavar="[PROFILE]", help="Its own alone.")
    ] = None,
    unmasked: Unmasked = False,
    as_json: AsJson = False,
    database: DatabaseName = None,
) -> None:
    """The cuts that were made, and those that were lifted again."""
    with reading(database, unmasked=unmasked) as (evidence, keys):
        nodes = None
        if profile is not None:
            node = find(evidence, profile, keys.node)
            nodes = [one.node for one in evidence.profile_nodes(node.profile_id, shown.MOST_SHOWN)]
        found = evidence.cuts(nodes)
    if as_json:
        print(msgspec.json.encode(found).decode())
    else:
        show([text.cut_row(one) for one in found], as_json=False, empty="No cut was made.")
