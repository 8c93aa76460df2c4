"""Why a message was sent, or was not: the whole chain."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated
from uuid import UUID

import msgspec
import psycopg
import typer

from horizon.cli.options import AsJson, DatabaseName, MessageId, installed
from horizon.cli.output import say, wide_console
from horizon.errors import HorizonError, UsageError
from horizon.observe.explain import gather, page, text
from horizon.observe.explain.story import Story
from horizon.postgres.database import Connection, Role, closing_connection

PANEL = "Score, alert, write to people"

Out = Annotated[
    Path | None,
    typer.Option(
        "--out", metavar="FILE.html", help="Write it as one page that needs nothing else."
    ),
]
Activities = Annotated[
    int, typer.Option(min=1, max=1000, help="How many of the activities behind it to list.")
]


def _alert_id(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**63:
        raise UsageError(f"{text!r} is no alert's number: write it like 29.")
    return int(text)


def register(app: typer.Typer) -> None:
    explain = typer.Typer(no_args_is_help=True, help="Why: from the events to the answer.")
    explain.command("message")(explain_message)
    explain.command("alert")(explain_alert)
    explain.command("user")(explain_user)
    app.add_typer(explain, name="explain", rich_help_panel=PANEL)


def explain_message(
    message_id: MessageId,
    out: Out = None,
    activities: Activities = gather.ACTIVITIES,
    as_json: AsJson = False,
    database: DatabaseName = None,
) -> None:
    """One message's chain: events, score, alert, consent, campaign, template, states, answer."""
    with _one_moment(database) as tx:
        story = gather.explain_message(tx, message_id, activities)
    if story is None:
        raise UsageError(f"There is no message {message_id}: `horizon message list` names them.")
    if out is not None:
        _write(out, story)
        say(f"Written to {out}.")
    elif as_json:
        print(msgspec.json.encode(story).decode())
    else:
        text.render(story, wide_console())


def explain_alert(
    alert_id: Annotated[
        int, typer.Argument(metavar="ID", parser=_alert_id, help="The alert's number.")
    ],
    as_json: AsJson = False,
    database: DatabaseName = None,
) -> None:
    """The messages that an alert led to, each with its chain."""
    with _one_moment(database) as tx:
        found = gather.messages_of_alert(tx, alert_id)
        if found is None:
            raise UsageError(
                f"There is no alert {alert_id}: `horizon psql -c 'TABLE alerts'` lists those "
                "that there are."
            )
        stories = _stories(tx, found)
    if not stories:
        raise UsageError(
            f"No message came of alert {alert_id} so far: `horizon campaign run NAME` plans those "
            "of a campaign for alerts."
        )
    _show(stories, as_json=as_json)


def explain_user(
    user_id: Annotated[str, typer.Argument(help="The user id, as its source sends it.")],
    limit: Annotated[int, typer.Option(min=1, max=100, help="The newest so many messages.")] = 5,
    as_json: AsJson = False,
    database: DatabaseName = None,
) -> None:
    """A person's messages, the newest first, each with its chain."""
    with _one_moment(database) as tx:
        stories = _stories(tx, gather.messages_of_person(tx, user_id, limit))
    if not stories:
        raise UsageError(
            f"There is no message to a user {user_id!r}: look at the spelling, or at "
            "`horizon message list`."
        )
    _show(stories, as_json=as_json)


def _one_moment(database: str | None) -> AbstractContextManager[Connection]:
    """A connection that sees one moment of everything, and changes nothing."""
    connection = installed(database).database.connect(Role.WORKER)
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    return closing_connection(connection)


def _stories(tx: Connection, found: list[UUID]) -> list[Story]:
    stories = [gather.explain_message(tx, message_id) for message_id in found]
    return [story for story in stories if story is not None]


def _show(stories: list[Story], *, as_json: bool) -> None:
    if as_json:
        print(msgspec.json.encode(stories).decode())
        return
    for story in stories:
        text.render(story, wide_console())


def _write(out: Path, story: Story) -> None:
    try:
        out.write_text(page.render(story), encoding="utf-8", errors="replace")
    except OSError as exc:
        raise HorizonError(f"{out} cannot be written ({exc.strerror}): name another file.") from exc
