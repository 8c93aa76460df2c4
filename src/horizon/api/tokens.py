"""Read tokens. One is shown once; its SHA-256 is what is kept."""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from horizon.api.scopes import Scope
from horizon.errors import UsageError
from horizon.events.sources import key_digest
from horizon.postgres.database import Connection, row_dicts
from horizon.postgres.queries import Queries

PREFIX = "hzr_"  # by which programs that look for spilled secrets know one
HINT_LENGTH = len(PREFIX) + 6  # of 40 more characters
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")

_queries = Queries("horizon.api")


@dataclass(frozen=True)
class Token:
    name: str
    scopes: frozenset[str]
    expires_at: datetime | None
    revoked_at: datetime | None


def add_token(
    tx: Connection,
    name: str,
    scopes: Sequence[Scope],
    *,
    now: datetime,
    expires_at: datetime | None,
) -> str:
    """Make a token; give it back, since nobody can show it again. Raises UsageError."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is no name for a token: use up to 63 small letters, digits, dots, _ and -."
        )
    token = PREFIX + secrets.token_hex(20)
    values = {
        "token_sha256": key_digest(token), "name": name, "hint": token[:HINT_LENGTH],
        "scopes": [str(scope) for scope in scopes], "now": now, "expires_at": expires_at,
    }  # fmt: skip
    if tx.execute(_queries["add_token"], values).fetchone() is None:
        raise UsageError(
            f"There is a token {name!r} already: choose another name, or end that one with "
            f"`horizon token revoke {name}`."
        )
    return token


def revoke_token(tx: Connection, name: str, *, now: datetime) -> None:
    """Raises UsageError where no token of this name is in use."""
    if tx.execute(_queries["revoke_token"], {"name": name, "now": now}).fetchone() is None:
        raise UsageError(
            f"No token {name!r} is in use: `horizon token list` shows those there are."
        )


def tokens(tx: Connection) -> list[dict[str, Any]]:
    return row_dicts(tx.execute(_queries["tokens"]))


def known_tokens(tx: Connection) -> dict[bytes, Token]:
    """All there are by their digests, ended ones too: who sends one is told what happened."""
    return {
        bytes(row.token_sha256): Token(
            row.name, frozenset(row.scopes), row.expires_at, row.revoked_at
        )
        for row in tx.execute(_queries["known_tokens"])
    }


def note_token_use(tx: Connection, digests: Collection[bytes], at: datetime) -> None:
    tx.execute(_queries["note_token_use"], {"digests": sorted(digests), "at": at})
