"""Messages, one by one."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from horizon.campaigns import stage as campaigns
from horizon.cli.options import AsJson, DatabaseName, MessageId, installed
from horizon.cli.output import say, show
from horizon.delivery.outbox import QUERIES as DELIVERY
from horizon.delivery.outbox import settle
from horizon.errors import UsageError
from horizon.postgres.audit import write_audit
from horizon.postgres.database import Role, closing_connection, row_dicts

State = StrEnum(
    "State",
    ["planned", "claimed", "sending", "sent", "delivered", "bounced", "complained", "skipped",
     "failed", "cancelled", "unknown"],
)  # fmt: skip


class Settled(StrEnum):
    SENT = "sent"
    FAILED = "failed"


def commands() -> typer.Typer:
    message = typer.Typer(no_args_is_help=True, help="Messages, one by one.")
    message.command("list")(message_list)
    message.command("show")(message_show)
    message.command("settle")(message_settle)
    return message


def message_list(
    status: Annotated[State | None, typer.Option(help="Only these.")] = None,
    campaign: Annotated[str | None, typer.Option(help="Only this campaign's.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000)] = 50,
    as_json: AsJson = False,
    database: DatabaseName = None,
) -> None:
    """Messages, the newest first, each with its status and the provider's answer."""
    with installed(database).database.transaction(Role.WORKER) as tx:
        wanted = {"status": status, "campaign": campaign, "most": limit}
        rows = row_dicts(tx.execute(DELIVERY["list"], wanted))
        if campaign and not rows:
            campaigns.find(tx, campaign)  # which says so where there is none of that name
    of = f" of {campaign}" if campaign else ""
    empty = f"No message yet{of}: `horizon campaign run {campaign or 'NAME'}`."
    if status:
        empty = f"No message{of} is {status}."
    show(rows, as_json=as_json, empty=empty)


def message_show(
    message_id: MessageId, as_json: AsJson = False, database: DatabaseName = None
) -> None:
    """One message's whole story, from the events that led to it to the provider's answer."""
    with installed(database).database.transaction(Role.WORKER) as tx:
        row = tx.execute(DELIVERY["show"], {"message_id": message_id}).fetchone()
        story = row_dicts(
            tx.execute(DELIVERY["message_story"], {"message_id": message_id, "most": 100})
        )
    if row is None:
        raise UsageError(f"There is no message {message_id}: `horizon message list` names them.")
    if as_json:
        show([{**row._asdict(), "responses": story}], as_json=True, empty="")
        return
    for name, value in row._asdict().items():
        if value is not None:
            say(f"{name:18} {value}")
    for one in story:
        by = f"by a machine ({one['machine']})" if one["machine"] else "by a person"
        say(f"{one['kind']:18} {one['time']} {by} {one['url'] or ''}".rstrip())


def message_settle(
    message_id: MessageId,
    as_: Annotated[
        Settled, typer.Option("--as", help="What you found out, at the provider or the person.")
    ],
    database: DatabaseName = None,
) -> None:
    """Say what became of an unknown message. It is not sent again by this."""
    horizon = installed(database)
    with closing_connection(horizon.database.connect(Role.WORKER, autocommit=True)) as connection:
        if not settle(connection, message_id, as_.value):
            raise UsageError(
                f"{message_id} is not unknown: `horizon message list --status unknown` names those "
                "that are."
            )
        write_audit(connection, "message:settled", str(message_id), {"as": as_.value})
    say(f"{message_id} counts as {as_.value}.")
