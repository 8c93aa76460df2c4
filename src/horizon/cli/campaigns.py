"""Add a campaign, or remove one."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from horizon.campaigns.adding import NewCampaign, add, remove
from horizon.cli.options import DatabaseName, installed
from horizon.cli.output import say
from horizon.delivery import channels
from horizon.postgres.audit import write_audit
from horizon.postgres.database import Role


class Audience(StrEnum):
    ENGAGED = "engaged"
    ALERTS = "alerts"


def campaign_add(
    name: Annotated[str, typer.Argument(help="What to call it: a to z, 0 to 9, - and _.")],
    audience: Annotated[Audience, typer.Option(help="Engaged people, or those with an alert.")],
    template: Annotated[str, typer.Option(help="One of the channel's templates.")],
    channel: Annotated[
        str, typer.Option(help=f"How it reaches people: {' or '.join(channels.names())}.")
    ] = "email",
    purpose: Annotated[str, typer.Option(help="What they consented to.")] = "marketing",
    target: Annotated[
        str | None, typer.Option(metavar="URL", help="Where a webhook is sent to.")
    ] = None,
    every_days: Annotated[
        float | None, typer.Option(min=0.01, help="At most once a person in so many days.")
    ] = None,
    database: DatabaseName = None,
) -> None:
    """Add a campaign. It is live: `horizon up` sends it, or `horizon campaign run NAME`."""
    horizon = installed(database)
    new = NewCampaign(name, audience.value, template, channel, purpose, every_days, target)
    found = channels.find(channel)
    found.check_campaign(horizon.settings, audience=new.audience, template=template, target=target)
    # As the owner: no process that runs by itself may make a campaign.
    with horizon.database.transaction(Role.OWNER) as tx:
        add(tx, new)
        # Not the target: its path may be what lets one in.
        details = {"audience": new.audience, "channel": channel, "purpose": purpose}
        write_audit(tx, "campaign:added", name, details)
    say(f"{name} is added; `horizon campaign run {name} --dry-run` shows whom it would reach.")


def campaign_remove(
    name: Annotated[str, typer.Argument(help="Its name, as `horizon campaign list` shows it.")],
    database: DatabaseName = None,
) -> None:
    """Remove a campaign of which nothing waits. Its messages stay, and its mails' links work."""
    with installed(database).database.transaction(Role.OWNER) as tx:
        kept = remove(tx, name)
        write_audit(tx, "campaign:removed", name, {})
    still = (
        f" `horizon message list --campaign {name}` still shows its messages, `horizon campaign "
        f"report {name}` what came of them."
        if kept
        else ""
    )
    say(f"{name} is removed.{still}")
