"""Brings consent and suppression in from files: a batch a transaction, each record once."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any
from uuid import UUID

from horizon.consent.formats import Items
from horizon.consent.rules import BadLineError, Consent, Found, Suppression
from horizon.events.nodes import node_of
from horizon.postgres.database import Connection
from horizon.postgres.queries import Queries

BATCH = 5_000
SHOWN = 20

QUERIES = Queries("horizon.consent")


@dataclass
class Imported:
    """What an import did: of what its lines say, what is new, known already, left and bad."""

    unit: str = "line"  # JSON has items
    lines: int = 0
    granted: int = 0
    refused: int = 0
    suppressed: int = 0
    known: int = 0
    left: Counter[str] = field(default_factory=Counter)
    rejected: int = 0
    bad: list[tuple[int, str]] = field(default_factory=list)  # the first of them

    @property
    def changed(self) -> bool:
        return bool(self.granted or self.refused or self.suppressed)


@dataclass(frozen=True)
class _Record:
    address: UUID
    said: Consent
    event_id: UUID

    @property
    def key(self) -> tuple[UUID, str, str]:
        return self.event_id, self.said.purpose, self.said.channel


@dataclass
class _Batch:
    consents: dict[tuple[UUID, str, str], _Record] = field(default_factory=dict)
    suppressions: dict[tuple[UUID, str], Suppression] = field(default_factory=dict)


@dataclass(frozen=True)
class Importer:
    """``digest`` is the file's; a rehearsal (``dry_run``) writes nothing and counts the same."""

    connection: Connection
    node_key: bytes
    digest: bytes
    actor: str
    now: datetime
    dry_run: bool = False
    _rehearsed: set[Any] = field(default_factory=set)

    def run(
        self, items: Items, on_lines: Callable[[int], None] = lambda _: None, unit: str = "line"
    ) -> Imported:
        """The connection is in autocommit mode; each batch is committed. Raises psycopg.Error."""
        done, last = Imported(unit), 0
        while batch := list(islice(items, BATCH)):
            part = _Batch()
            for number, found in batch:
                done.lines += number != last
                last = number
                self._sort(found, number, part, done)
            self._write(part, done)
            on_lines(done.lines)
        return done

    def _sort(self, found: Found | BadLineError, number: int, part: _Batch, done: Imported) -> None:
        if isinstance(found, Consent):
            one = self._consent(found)
            part.consents[one.key] = one
            done.known += 1  # until it turns out to be new
        elif isinstance(found, Suppression):
            key = node_of(self.node_key, "email", found.address), found.purpose
            part.suppressions.setdefault(key, found)
            done.known += 1
        elif isinstance(found, BadLineError):
            done.rejected += 1
            if len(done.bad) < SHOWN:
                done.bad.append((number, str(found)))
        else:
            done.left[found.why] += 1

    def _consent(self, found: Consent) -> _Record:
        address = node_of(self.node_key, "email", found.address)
        return _Record(address, found, self._event_id(address, found))

    def _event_id(self, address: UUID, found: Consent) -> UUID:
        """The same record is the same one in whatever file it stands.

        Without a time a yes counts once only, or an old export would take back a later no; a no
        counts anew with each other file.
        """
        when = found.time.isoformat().encode() if found.time else b""
        if not when and not found.granted:
            when = self.digest
        digest = hashlib.blake2b(digest_size=16, person=b"consent-import")
        digest.update(address.bytes + (b"\1" if found.granted else b"\0") + when)
        return UUID(bytes=digest.digest())

    def _write(self, part: _Batch, done: Imported) -> None:
        consents = [one for key, one in part.consents.items() if self._is_first(key)]
        chosen = {key: one for key, one in part.suppressions.items() if self._is_first(key)}
        with self.connection.transaction(force_rollback=self.dry_run):
            row = self.connection.execute(
                QUERIES["import_consents"], self._consent_columns(consents)
            ).fetchone()
            assert row is not None
            suppressed = self.connection.execute(
                QUERIES["import_suppressions"], self._suppression_columns(chosen)
            ).rowcount
        done.granted += row.granted
        done.refused += row.refused
        done.suppressed += suppressed
        done.known -= row.granted + row.refused + suppressed

    def _is_first(self, key: object) -> bool:
        """A rehearsal has nothing in the database to know a copy by."""
        if not self.dry_run:
            return True
        new = key not in self._rehearsed
        self._rehearsed.add(key)
        return new

    def _consent_columns(self, records: list[_Record]) -> dict[str, Any]:
        said = [one.said for one in records]
        return {
            "addresses": [one.address for one in records],
            "purposes": [one.purpose for one in said],
            "channels": [one.channel for one in said],
            "granted": [one.granted for one in said],
            "times": [one.time or self.now for one in said],
            "wordings": [one.wording for one in said],
            "event_ids": [one.event_id for one in records],
            "actor": self.actor,
        }

    def _suppression_columns(self, chosen: dict[tuple[UUID, str], Suppression]) -> dict[str, Any]:
        return {
            "addresses": [address for address, _ in chosen],
            "purposes": [purpose for _, purpose in chosen],
            "reasons": [one.reason for one in chosen.values()],
            "times": [one.time or self.now for one in chosen.values()],
        }
