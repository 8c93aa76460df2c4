"""Links that let somebody in without a password: each opens once, and not for long.

Nothing here needs Django, so that `horizon console owner-link` is quick.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from horizon.postgres.database import Connection
from horizon.postgres.queries import Queries

OWNER_LASTS = timedelta(hours=1)
INVITATION_LASTS = timedelta(days=3)
QUERIES = Queries("horizon.console")


@dataclass(frozen=True)
class Link:
    person_id: int | None  # none: whoever opens it becomes an owner
    email: str
    made_by: str


def make_link(
    tx: Connection, url: str, *, made_by: str, now: datetime, person_id: int | None = None
) -> str:
    """The link, which nobody can show again; those made for the same before open nothing more."""
    token = secrets.token_urlsafe(32)
    lasts = OWNER_LASTS if person_id is None else INVITATION_LASTS
    tx.execute(QUERIES["end_links"], {"person_id": person_id, "now": now})
    tx.execute(QUERIES["add_link"], {
        "token_sha256": _digest(token), "person_id": person_id, "made_by": made_by, "now": now,
        "expires_at": now + lasts,
    })  # fmt: skip
    return f"{url}/start/{token}"


def find_link(tx: Connection, token: str, now: datetime) -> Link | None:
    """Locks it: of two who open it at once the second one finds it used."""
    values = {"token_sha256": _digest(token), "now": now}
    row = tx.execute(QUERIES["find_link"], values).fetchone()
    return None if row is None else Link(row.person_id, row.email or "", row.made_by)


def use_link(tx: Connection, token: str, now: datetime) -> None:
    tx.execute(QUERIES["use_link"], {"token_sha256": _digest(token), "now": now})


def has_owner(tx: Connection) -> bool:
    """Whether somebody can already sign in who may do everything."""
    row = tx.execute(QUERIES["has_owner"]).fetchone()
    return bool(row and row.found)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
