"""Where events come from. A source's key is shown once; its SHA-256 is what is kept."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime
from typing import Any, NamedTuple

from horizon.errors import UsageError
from horizon.events.model import Source, SourceKind
from horizon.postgres.database import Connection
from horizon.postgres.queries import Queries

_queries = Queries("horizon.events")


class SourceRow(NamedTuple):
    """A source as the operator sees it."""

    source_id: int
    name: str
    kind: str
    enabled: bool
    created_at: datetime


def key_digest(key: str) -> bytes:
    return hashlib.sha256(key.encode(errors="replace")).digest()


def sources(tx: Connection) -> list[SourceRow]:
    return [SourceRow(*row) for row in tx.execute(_queries["sources"])]


def keyed_sources(tx: Connection) -> dict[bytes, Source]:
    """The enabled sources by their keys' digests."""
    rows = tx.execute(_queries["keyed_sources"]).fetchall()
    return {bytes(row.key_sha256): _source(row) for row in rows}


def find_source_by_key(tx: Connection, key: str) -> Source | None:
    row = tx.execute(_queries["source_by_key"], {"key_sha256": key_digest(key)}).fetchone()
    return _source(row) if row else None


def find_source(tx: Connection, name: str) -> Source | None:
    row = tx.execute(_queries["source_by_name"], {"name": name}).fetchone()
    return _source(row) if row else None


def add_source(tx: Connection, name: str, kind: SourceKind) -> str:
    """Make a public or server source; give back its key, which nobody can show again.

    Raises UsageError where the name is taken or the kind has no key.
    """
    if kind not in ("public", "server"):
        raise UsageError(f"A source of kind {kind!r} has no key: use public or server.")
    key = secrets.token_hex(16)
    if not _insert(tx, name, kind, key_digest(key)):
        raise UsageError(f"There is a source {name!r} already: choose another name.")
    return key


def ensure_source(tx: Connection, name: str, kind: SourceKind) -> Source:
    """The file or internal source of this name, made where there is none. Raises UsageError."""
    if kind not in ("file", "internal"):
        raise UsageError(f"A source of kind {kind!r} has a key: add it with `horizon source add`.")
    _insert(tx, name, kind, None)
    source = find_source(tx, name)
    if source is None or source.kind != kind:
        raise UsageError(f"{name!r} is not a {kind} source: choose another name.")
    return source


def _insert(tx: Connection, name: str, kind: str, digest: bytes | None) -> bool:
    values = {"name": name, "kind": kind, "key_sha256": digest}
    return tx.execute(_queries["add_source"], values).fetchone() is not None


def _source(row: Any) -> Source:
    return Source(row.source_id, row.name, row.kind)


def renew_key(tx: Connection, name: str, kind: SourceKind) -> str:
    """Give a source a new key in place of its old one; make the source where there is none."""
    key = secrets.token_hex(16)
    tx.execute(_queries["renew_key"], {"name": name, "kind": kind, "key_sha256": key_digest(key)})
    return key
