"""Options that many commands share."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

import typer

from horizon import clock
from horizon import keys as keyring
from horizon import settings as setting
from horizon.cli.output import complain
from horizon.clock import parse_instant
from horizon.delivery import channels
from horizon.errors import UsageError
from horizon.pipeline.installation import Installation, open_installation
from horizon.settings import Settings

Now = Annotated[
    datetime | None,
    typer.Option(
        "--now", metavar="TIME", parser=parse_instant,
        help="Run as if it were this time (UTC where it says nothing): later events are not there.",
    ),
]  # fmt: skip
DatabaseName = Annotated[
    str | None,
    typer.Option("--database", metavar="NAME", help="Another database of the same server."),
]
Purpose = Annotated[str, typer.Option(help="What for: see `horizon consent purpose list`.")]
Channel = Annotated[str, typer.Option(help="By which way it would reach the person.")]


def _message_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as exc:
        raise UsageError(
            f"{text!r} is no message's id: `horizon message list` shows each message with its id."
        ) from exc


MessageId = Annotated[
    UUID,
    typer.Argument(
        metavar="ID", parser=_message_id, help="Its id: `horizon message list` shows each with it."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON instead of a table.")]


def until(text: str) -> datetime:
    """The value of --old-until: a time to come, or now."""
    now = clock.now()
    if text == "now":
        return now
    found = clock.parse_instant(text, option="--old-until")
    if found <= now:
        raise UsageError(
            f"--old-until {text} is over already: give a time to come, or `now`, which ends the "
            "old one at once."
        )
    return found


def installed(database: str | None = None) -> Installation:
    settings = setting.load()
    channels.check_settings()
    return opened(settings, database)


def opened(settings: Settings, database: str | None = None) -> Installation:
    """As ``open_installation``; who did not mean to make one is told so."""
    new = not keyring.are_in(settings.home)
    horizon = open_installation(settings, database)
    if new:
        complain(
            f"There was no installation in {settings.home}, so an empty one was made: if yours is "
            "elsewhere, set HORIZON_HOME to its folder."
        )
    return horizon
