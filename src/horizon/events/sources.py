"""Where events come from. A source's key is shown once; its SHA-256 is what is kept."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Collection, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from horizon import clock
from horizon.errors import UsageError
from horizon.events.model import Source, SourceKind
from horizon.events.secrets import opened_secrets
from horizon.postgres.database import Connection
from horizon.postgres.queries import Queries

# What fits a header, an address and a snippet alike; a shorter one can be guessed.
_BROUGHT_KEY = re.compile(r"[A-Za-z0-9._~-]{16,200}")
HINT_LENGTH = 6  # of 32 characters: 104 bits stay unknown to who reads the hint

_queries = Queries("horizon.events")


@lru_cache(maxsize=1024)
def key_digest(key: str) -> bytes:
    return hashlib.sha256(key.encode(errors="replace")).digest()


def keyed_sources(tx: Connection, link_key: bytes | None = None) -> dict[bytes, Source]:
    """The sources by their keys' digests, disabled ones and ended keys too.

    With the installation's ``link_key`` each has its secrets, as far as that opens them.
    """
    return {
        bytes(row.key_sha256): Source(
            row.source_id, row.name, row.kind, row.enabled, tuple(row.origins), row.rate, row.burst,
            row.expires_at, opened_secrets(link_key, row.source_id, row.boxes) if link_key else (),
        )
        for row in tx.execute(_queries["keyed_sources"], {"now": clock.now()})
    }  # fmt: skip


def note_key_use(tx: Connection, digests: Collection[bytes], at: datetime) -> None:
    tx.execute(_queries["note_key_use"], {"digests": sorted(digests), "at": at})


def find_source_by_key(tx: Connection, key: str) -> Source | None:
    """The source whose newest key this is."""
    row = tx.execute(_queries["source_by_key"], {"key_sha256": key_digest(key)}).fetchone()
    return _source(row) if row else None


def find_source(tx: Connection, name: str) -> Source | None:
    row = tx.execute(_queries["source_by_name"], {"name": name}).fetchone()
    return _source(row) if row else None


def add_source(
    tx: Connection,
    name: str,
    kind: SourceKind,
    *,
    origins: Sequence[str] = (),
    rate: float | None = None,
    burst: float | None = None,
    key: str | None = None,
) -> str:
    """Make a public or server source; give back its key, which nobody can show again.

    ``key`` is one that its senders have already. Raises UsageError where the name or the key is
    taken, and where the kind has no key.
    """
    if kind not in ("public", "server"):
        raise UsageError(f"A source of kind {kind!r} has no key: use public or server.")
    source_id = _insert(tx, name, kind, origins, rate, burst)
    if source_id is None:
        raise UsageError(f"There is a source {name!r} already: choose another name.")
    return new_key(tx, source_id, key and _brought(tx, key))


def _brought(tx: Connection, key: str) -> str:
    if not _BROUGHT_KEY.fullmatch(key):
        raise UsageError(
            f"A key has 16 to 200 letters, digits, dots, _, ~ and -, and this one {_wrong(key)}: "
            "bring another, or none to get a new one."
        )
    taken = keyed_sources(tx).get(key_digest(key))
    if taken is not None:
        raise UsageError(f"Source {taken.name} has this key already: a key is one source's alone.")
    return key


def _wrong(key: str) -> str:
    if not 16 <= len(key) <= 200:
        return f"has {len(key)} characters"
    return "has another character too"


def ensure_source(tx: Connection, name: str, kind: SourceKind) -> Source:
    """The file or internal source of this name, made where there is none. Raises UsageError."""
    if kind not in ("file", "internal"):
        raise UsageError(f"A source of kind {kind!r} has a key: add it with `horizon source add`.")
    return _ensured(tx, name, kind)


def renew_key(tx: Connection, name: str, kind: SourceKind) -> str:
    """Give a source a new key in place of all it has; make the source where there is none."""
    source = _ensured(tx, name, kind)
    tx.execute(_queries["drop_keys"], {"source_id": source.source_id})
    return new_key(tx, source.source_id)


def new_key(tx: Connection, source_id: int, key: str | None = None) -> str:
    """Add the key that the source's senders use from now on."""
    key = key or secrets.token_hex(16)
    values = {
        "key_sha256": key_digest(key), "source_id": source_id, "hint": key[:HINT_LENGTH],
        "now": clock.now(),
    }  # fmt: skip
    tx.execute(_queries["add_key"], values)
    return key


def check_kind(tx: Connection, name: str, kind: SourceKind) -> Source | None:
    """The source of this name, if there is one. Raises UsageError where it is of another kind."""
    source = find_source(tx, name)
    if source is not None and source.kind != kind:
        raise UsageError(f"{name!r} is not a {kind} source: choose another name.")
    return source


def _ensured(tx: Connection, name: str, kind: SourceKind) -> Source:
    _insert(tx, name, kind)
    source = check_kind(tx, name, kind)
    assert source is not None  # it was there, or was made
    return source


def _insert(
    tx: Connection,
    name: str,
    kind: str,
    origins: Sequence[str] = (),
    rate: float | None = None,
    burst: float | None = None,
) -> int | None:
    values = {
        "name": name, "kind": kind, "origins": list(origins), "rate": rate, "burst": burst,
        "now": clock.now(),
    }  # fmt: skip
    row = tx.execute(_queries["add_source"], values).fetchone()
    return row.source_id if row else None


def _source(row: Any) -> Source:
    return Source(row.source_id, row.name, row.kind)
