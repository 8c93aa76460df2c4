"""Taking back that two are one person, and saying that they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from horizon import clock
from horizon.cli import profile_text as text
from horizon.cli.options import AsJson, DatabaseName, installed
from horizon.cli.output import say
from horizon.cli.profile_options import Other, Unmasked, Who, evidence_in
from horizon.identity import stage
from horizon.keys import Keys
from horizon.postgres.audit import write_audit
from horizon.postgres.database import Role
from horizon.profiles import changes
from horizon.profiles.evidence import Evidence
from horizon.profiles.people import find, find_node


@contextmanager
def _changing(database: str | None, *, unmasked: bool) -> Iterator[tuple[Evidence, Keys]]:
    horizon = installed(database)
    with horizon.database.transaction(Role.WORKER) as tx:
        changes.lock(tx)
        yield evidence_in(tx, unmasked=unmasked), horizon.keys


Why = Annotated[
    str | None,
    typer.Option(
        "--why", metavar="TEXT", help="The reason, as `horizon identity changes` tells it."
    ),
]


def _because(why: str | None) -> dict[str, str]:
    return {"why": why} if why else {}


def profile_split(
    profile: Who,
    cut: Annotated[
        str, typer.Option("--cut", metavar="KIND:VALUE", help="The identifier to take out.")
    ],
    kept: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="KIND:VALUE",
            help="The one it shall never be joined with again; if unset, the strongest oldest one.",
        ),
    ] = None,
    why: Why = None,
    unmasked: Unmasked = False,
    as_json: AsJson = False,
    database: DatabaseName = None,
) -> None:  # fmt: skip
    """Take an identifier out of a profile, for good: later events do not join the two again."""
    with _changing(database, unmasked=unmasked) as (evidence, keys):
        person = find(evidence, profile, keys.node)
        node = find_node(evidence, cut, keys.node)
        other = find_node(evidence, kept, keys.node) if kept else None
        done = changes.split(evidence, person, node, other, stage.resolve, clock.now())
        details = {"cut_id": done.cut_id, "node": str(node.node), "profiles": list(done.after)}
        write_audit(evidence.tx, "profile:split", str(person.profile_id), details | _because(why))
    text.change(done, as_json=as_json)
    if not as_json:
        say(f"`horizon profile uncut {done.cut_id}` takes it back.")


def profile_join(
    profile: Who, other: Other, why: Why = None, unmasked: Unmasked = False,
    as_json: AsJson = False, database: DatabaseName = None,
) -> None:  # fmt: skip
    """Say that two are one person, though no event does."""
    with _changing(database, unmasked=unmasked) as (evidence, keys):
        one, two = (find(evidence, name, keys.node) for name in (profile, other))
        done = changes.join(evidence, one, two, stage.resolve, clock.now())
        details = {"nodes": [str(one.node.node), str(two.node.node)], "profiles": list(done.after)}
        write_audit(evidence.tx, "profile:joined", str(one.profile_id), details | _because(why))
    text.change(done, as_json=as_json)


def profile_unjoin(
    one: Annotated[str, typer.Argument(metavar="KIND:VALUE", help="What was joined by hand,")],
    other: Annotated[str, typer.Argument(metavar="KIND:VALUE", help="and with what.")],
    why: Why = None, unmasked: Unmasked = False, as_json: AsJson = False,
    database: DatabaseName = None,
) -> None:  # fmt: skip
    """Take a join by hand back: the two are one still where events say so, and may become one."""
    with _changing(database, unmasked=unmasked) as (evidence, keys):
        ends = [find_node(evidence, name, keys.node) for name in (one, other)]
        done = changes.unjoin(evidence, ends[0], ends[1], stage.resolve, clock.now())
        details = {"nodes": [str(end.node) for end in ends], "profiles": list(done.after)}
        of = str(ends[0].profile_id or "")
        write_audit(evidence.tx, "profile:unjoined", of, details | _because(why))
    text.change(done, as_json=as_json)


def profile_uncut(
    cut_id: Annotated[int, typer.Argument(metavar="ID", help="`horizon profile cuts` lists them.")],
    why: Why = None,
    unmasked: Unmasked = False,
    as_json: AsJson = False,
    database: DatabaseName = None,
) -> None:
    """Lift a cut: the events may join the two again, and do so at once."""
    with _changing(database, unmasked=unmasked) as (evidence, _):
        done = changes.uncut(evidence, cut_id, stage.resolve, clock.now())
        details = {"profiles": list(done.after), **_because(why)}
        write_audit(evidence.tx, "profile:uncut", str(cut_id), details)
    text.change(done, as_json=as_json)
