"""The audit's entries, a page of them at a time."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from horizon.console.links import QUERIES
from horizon.console.masking import shown
from horizon.console.rules import Permission
from horizon.postgres.database import Connection

PAGE = 50
EXPORT_PAGE = 1_000
LAST = 2**63 - 1


@dataclass(frozen=True)
class Filter:
    """Nothing: no matter which."""

    actor: str = ""
    action: str = ""

    def values(self) -> dict[str, str | None]:
        return {"actor": self.actor or None, "action": self.action or None}


@dataclass(frozen=True)
class Entry:
    audit_id: int
    at: datetime
    actor: str  # one of the operator's people: who sees the audit sees who it was
    action: str
    object: str
    origin: str
    details: str
    erased: bool


def page(
    tx: Connection, wanted: Filter, permissions: Collection[Permission], before: int = LAST,
    size: int = PAGE,
) -> list[Entry]:  # fmt: skip
    """The newest first, from the one before ``before`` on."""
    values = {**wanted.values(), "before": before, "most": size}
    return [_entry(row, permissions) for row in tx.execute(QUERIES["audit_page"], values)]


def everything(
    tx: Connection, wanted: Filter, permissions: Collection[Permission]
) -> Iterator[Entry]:
    """Page by page, so that an audit of years neither fills memory nor holds a transaction."""
    before = LAST
    while found := page(tx, wanted, permissions, before, EXPORT_PAGE):
        yield from found
        before = found[-1].audit_id


def _entry(row: Any, permissions: Collection[Permission]) -> Entry:
    origin = shown("audit", "origin", row.origin, permissions)
    details = shown("audit", "details", row.details, permissions)
    return Entry(
        row.audit_id, row.at, row.actor, row.action, row.object, origin or "",
        json.dumps(details, ensure_ascii=False) if details else "", row.erased,
    )  # fmt: skip
