"""Read tokens of the profile API."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from horizon import clock
from horizon.api import tokens
from horizon.api.scopes import ALL, Scope, read_scopes
from horizon.cli.options import AsJson, DatabaseName, installed
from horizon.cli.output import print_json, say, show
from horizon.clock import utc_text
from horizon.errors import UsageError
from horizon.postgres.audit import write_audit
from horizon.postgres.database import Role

PANEL = "Profiles"

Name = Annotated[str, typer.Argument(help="The token's name: who uses it.")]


def register(app: typer.Typer) -> None:
    token = typer.Typer(no_args_is_help=True, help="Who may read profiles through the API.")
    token.command("add")(token_add)
    token.command("list")(token_list)
    token.command("revoke")(token_revoke)
    app.add_typer(token, name="token", rich_help_panel=PANEL)


def _expiry(text: str) -> datetime:
    at = clock.parse_instant(text, option="--expires")
    if at <= clock.now():
        raise UsageError(f"--expires {text} is over already: give a time to come.")
    return at


def token_add(
    name: Name,
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", help=f"What it reads: {', '.join(Scope)}, or {ALL}. Repeat it."),
    ] = None,
    expires: Annotated[
        datetime | None,
        typer.Option("--expires", metavar="TIME", parser=_expiry, help="When it ends."),
    ] = None,
    as_json: AsJson = False,
    database: DatabaseName = None,
) -> None:  # fmt: skip
    """Make a read token, and show it this once."""
    scopes = read_scopes(scope or ())
    with installed(database).database.transaction(Role.WORKER) as tx:
        token = tokens.add_token(tx, name, scopes, now=clock.now(), expires_at=expires)
        ends = utc_text(expires) if expires else None
        write_audit(tx, "token:added", name, {"scopes": scopes, "expires_at": ends})
    if as_json:
        print_json({"name": name, "token": token, "scopes": scopes, "expires_at": ends})
        return
    say(f"The token of {name}, which is not shown again: {token}")
    say(f"It reads {', '.join(scopes)}{f', until {ends}' if ends else ''}.")


def token_list(as_json: AsJson = False, database: DatabaseName = None) -> None:
    """The tokens there are, what they read and when they were last used."""
    with installed(database).database.transaction(Role.WORKER) as tx:
        rows = tokens.tokens(tx)
    if not as_json:
        rows = [
            {**row, "hint": f"{row['hint']}...", "scopes": ", ".join(row["scopes"])} for row in rows
        ]
    show(
        rows, as_json=as_json,
        empty="No token yet: `horizon token add NAME --scope SCOPE` makes one.",
    )  # fmt: skip


def token_revoke(name: Name, database: DatabaseName = None) -> None:
    """End a token within 3 seconds; who sends it is answered 401."""
    with installed(database).database.transaction(Role.WORKER) as tx:
        tokens.revoke_token(tx, name, now=clock.now())
        write_audit(tx, "token:revoked", name, {})
    say(f"The token of {name} is revoked.")
