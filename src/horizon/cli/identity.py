"""How identifiers become people: what is out of matching, how it stands, and the rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import typer

from horizon.cli.identity_changes import identity_changes
from horizon.cli.identity_rules import identity_adopt, identity_try, rules_show
from horizon.cli.options import AsJson, DatabaseName
from horizon.cli.output import many, say, show
from horizon.cli.profile_options import Unmasked, reading
from horizon.profiles.people import find_node
from horizon.profiles.standing import Dead, Standing, dead_nodes, neighbours, standing

FIGURES = ("events", "edges", "profiles", "merged", "split", "hubs", "refused")  # of a run
PANEL = "Keep the data, look into it"

Most = Annotated[int, typer.Option("--limit", min=1, max=100_000, help="At most so many.")]


def register(app: typer.Typer) -> None:
    identity = typer.Typer(no_args_is_help=True, help="How identifiers become people; the rules.")
    for name, command in (
        ("status", identity_status), ("hubs", identity_hubs), ("blocked", identity_blocked),
        ("changes", identity_changes), ("try", identity_try), ("adopt", identity_adopt),
    ):  # fmt: skip
        identity.command(name)(command)
    rules = typer.Typer(no_args_is_help=True, help="The rules of matching.")
    rules.command("show")(rules_show)
    identity.add_typer(rules, name="rules")
    app.add_typer(identity, name="identity", rich_help_panel=PANEL)


def identity_status(as_json: AsJson = False, database: DatabaseName = None) -> None:
    """Profiles, identifiers, what was refused by what, and what the last runs merged and split."""
    with reading(database) as (evidence, _):
        found = standing(evidence)
    if as_json:
        print(msgspec.json.encode(found).decode())
    else:
        _say_standing(found)


def _say_standing(found: Standing) -> None:
    say(
        f"{many(found.profiles, 'profile')}; {found.absorbed:,} more were absorbed; "
        f"{found.contested:,} are held apart from others by a limit or a cut."
    )
    for title, rows in (("Identifiers", found.kinds), ("Ties", found.ties)):
        if rows:
            say(f"\n{title}")
            show([msgspec.structs.asdict(row) for row in rows], as_json=False, empty="")
    if found.runs:
        say("\nLast runs")
        rows_of_runs = [
            {"started": run.started_at, "status": run.status,
             **{name: run.figures.get(name) for name in FIGURES}}
            for run in found.runs
        ]  # fmt: skip
        show(rows_of_runs, as_json=False, empty="")


def identity_hubs(
    identifier: Annotated[
        str | None,
        typer.Argument(metavar="[KIND:VALUE]", help="Who shares this one, the newest first."),
    ] = None,
    most: Most = 100, unmasked: Unmasked = False, as_json: AsJson = False,
    database: DatabaseName = None,
) -> None:  # fmt: skip
    """What so many share that it ties nobody: since when, and whom it would have tied."""
    if identifier is not None:
        _sharing(identifier, most, database, as_json=as_json, unmasked=unmasked)
        return
    _dead("hub", most, "No identifier is a hub.", database, as_json=as_json, unmasked=unmasked)


def identity_blocked(
    most: Most = 100, unmasked: Unmasked = False, as_json: AsJson = False,
    database: DatabaseName = None,
) -> None:  # fmt: skip
    """Identifiers whose value the rules block, though they came when it was not."""
    _dead("blocked", most, "No identifier that came is blocked.", database,
          as_json=as_json, unmasked=unmasked)  # fmt: skip


def _sharing(
    identifier: str, most: int, database: str | None, *, as_json: bool, unmasked: bool
) -> None:
    with reading(database, unmasked=unmasked) as (evidence, keys):
        node = find_node(evidence, identifier, keys.node)
        found, count = neighbours(evidence, node.node, most)
    if as_json:
        print(msgspec.json.encode(found).decode())
        return
    rows = [
        {"identifier": one.identifier, "profile": one.profile_id, "first_tie": one.first_tie,
         "last_event": one.last_event}
        for one in found
    ]  # fmt: skip
    show(rows, as_json=False, empty=f"Nothing is tied to {node}.")
    if count > len(found):
        say(f"{count - len(found):,} more are tied to {node}: --limit shows them.")


def _dead(
    dead: str, most: int, empty: str, database: str | None, *, as_json: bool, unmasked: bool
) -> None:
    with reading(database, unmasked=unmasked) as (evidence, _):
        found = dead_nodes(evidence, dead, most)
    if as_json:
        print(msgspec.json.encode(found).decode())
    else:
        show(_rows(found), as_json=False, empty=empty)


def _rows(found: Sequence[Dead]) -> list[dict[str, Any]]:
    return [
        {"identifier": one.identifier, "neighbours": one.neighbours, "of": one.kinds,
         "would_join": one.profiles, "first_tie": one.first_tie, "last_tie": one.last_tie}
        for one in found
    ]  # fmt: skip
