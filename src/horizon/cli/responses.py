"""What came back of a campaign."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from horizon.campaigns import stage as campaigns
from horizon.cli.options import AsJson, DatabaseName, installed
from horizon.cli.output import say, show
from horizon.delivery.outbox import QUERIES
from horizon.postgres.database import Role, row_dicts

MACHINES = ("head", "agent", "prefetch", "burst")


def campaign_report(
    name: Annotated[str, typer.Argument(help="The campaign: miss_you, good_activity.")],
    as_json: AsJson = False,
    database: DatabaseName = None,
) -> None:
    """How many mails people opened and clicked; machines are counted apart."""
    with installed(database).database.transaction(Role.WORKER) as tx:
        found = campaigns.find(tx, name, removed=True)
        row = tx.execute(QUERIES["campaign_sent"], {"campaign": name}).fetchone()
        counted = row_dicts(tx.execute(QUERIES["campaign_responses"], {"campaign": name}))
    sent = 0 if row is None else row.sent
    opened, clicked = _total(counted, "open"), _total(counted, "click")
    targets = [
        {"target": one["url"], "people": one["people"], "machines": one["machines"]}
        for one in counted
        if one["url"] is not None
    ]
    if as_json:
        report = {
            "campaign": name, "sent": sent, "opened": opened, "clicked": clicked,
            "targets": targets,
        }  # fmt: skip
        show([report], as_json=True, empty="")
        return
    removed = ", which is removed" if found.status == "removed" else ""
    say(
        f"{name}{removed}: {sent:,} sent, {opened['people']:,} opened and "
        f"{clicked['people']:,} clicked by people who agreed to be counted."
    )
    say(f"By machines: opened {_told(opened)}, clicked {_told(clicked)}.")
    show(targets, as_json=False, empty="No link was clicked yet.")


def _total(counted: list[dict[str, Any]], kind: str) -> dict[str, int]:
    """The kind's row over all targets: messages by people, by machines, by each sort of these."""
    for one in counted:
        if one["kind"] == kind and one["url"] is None:
            return {name: one[name] for name in ("people", "machines", *MACHINES)}
    return dict.fromkeys(("people", "machines", *MACHINES), 0)


def _told(total: dict[str, int]) -> str:
    sorts = [f"{total[name]:,} {name}" for name in MACHINES if total[name]]
    return f"{total['machines']:,}" + (f" ({', '.join(sorts)})" if sorts else "")
