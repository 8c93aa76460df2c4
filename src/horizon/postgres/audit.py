"""The audit: who changed what, append-only."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from typing import Any

from psycopg.types.json import Jsonb

from horizon.postgres.database import Connection


def write_audit(
    tx: Connection,
    action: str,
    thing: str,
    details: Mapping[str, Any],
    *,
    who: str | None = None,
    origin: str | None = None,
) -> None:
    """Record, in the transaction that does it, what the person at this terminal did; or ``who``,
    from the address ``origin``."""
    tx.execute(
        "INSERT INTO audit (actor, action, object, origin, details) VALUES (%s, %s, %s, %s, %s)",
        [who or actor(), action, thing, origin, Jsonb(dict(details))],
    )


def actor() -> str:
    """Who types at this terminal."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):  # an account without a name, as containers have them
        return "cli:unknown"
