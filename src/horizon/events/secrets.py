"""What a site's own server signs its users' ids with, so that their browsers are believed."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache

from horizon.clock import utc_text
from horizon.errors import UsageError
from horizon.postgres.database import Connection
from horizon.postgres.queries import Queries
from horizon.sealed import seal, unseal

_PURPOSE = "horizon.source"

_queries = Queries("horizon.events")


def opened_secrets(link_key: bytes, source_id: int, boxes: Iterable[bytes]) -> tuple[str, ...]:
    """A box of another installation or another source stays shut: nothing is signed with it."""
    found = (_opened(link_key, source_id, bytes(box)) for box in boxes)
    return tuple(secret for secret in found if secret is not None)


@lru_cache(maxsize=1024)  # the collector reads its sources every three seconds
def _opened(link_key: bytes, source_id: int, box: bytes) -> str | None:
    return unseal(link_key, _PURPOSE, str(source_id), box)


def new_secret(
    tx: Connection, source_id: int, link_key: bytes, *, now: datetime, old_until: datetime
) -> tuple[str, datetime | None]:
    """Its new secret, which nobody can show again, and until when an old one holds beside it.

    Raises UsageError where there are two already.
    """
    values = {"source_id": source_id, "now": now}
    tx.execute(_queries["drop_ended_secrets"], values)
    old = tx.execute(_queries["old_secret"], values).fetchone()
    if old is not None:
        raise UsageError(
            f"It has two secrets: the old one holds until {utc_text(old.expires_at)}. End that "
            "first with --finish."
        )
    ended = tx.execute(_queries["end_secret"], {**values, "until": old_until}).fetchone()
    secret = secrets.token_hex(32)
    box = seal(link_key, _PURPOSE, str(source_id), secret)
    tx.execute(_queries["add_secret"], {**values, "box": box})
    return secret, ended.expires_at if ended else None


def end_old_secret(tx: Connection, source_id: int) -> bool:
    """Whether there was one."""
    ended = tx.execute(_queries["end_old_secret"], {"source_id": source_id}).fetchone()
    return ended is not None
