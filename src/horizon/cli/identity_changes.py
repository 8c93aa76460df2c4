"""What operators changed of who is who: who, when and why."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer

from horizon.cli.options import AsJson, DatabaseName
from horizon.cli.output import show
from horizon.cli.profile_options import Unmasked, reading
from horizon.postgres.database import Role
from horizon.profiles.by_hand import Said, operator_changes

Newest = Annotated[int, typer.Option("--limit", min=1, max=100_000, help="The newest so many.")]


def identity_changes(
    most: Newest = 100, unmasked: Unmasked = False, as_json: AsJson = False,
    database: DatabaseName = None,
) -> None:  # fmt: skip
    """Splits, joins and other rules, by whom, when and why; also what was taken back."""
    with reading(database, unmasked=unmasked, role=Role.CONSOLE) as (evidence, _):
        found = operator_changes(evidence, most)
    if as_json:
        print(msgspec.json.encode(found).decode())
    else:
        show([_row(one) for one in found], as_json=False, empty="Nothing was changed by hand.")


def _row(one: Said) -> dict[str, Any]:
    identifier, *others = one.identifiers or [""]
    return {
        "time": one.at, "who": one.actor, "what": one.what, "number": one.number,
        "identifier": identifier, "and": ", ".join(others), "why": one.why,
    }  # fmt: skip
