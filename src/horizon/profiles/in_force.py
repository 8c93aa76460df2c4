"""The rules of matching that hold now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from importlib import resources

from horizon.postgres.database import Connection
from horizon.profiles.evidence import QUERIES


@dataclass(frozen=True)
class InForce:
    """Version 0 is what is shipped."""

    version: int
    text: str
    adopted_at: datetime | None


def rules_in_force(tx: Connection) -> InForce:
    row = tx.execute(QUERIES["rules_version"], {"version": None}).fetchone()
    return InForce(row.version, row.rules, row.adopted_at) if row else _shipped()


def rules_of(tx: Connection, version: int) -> InForce | None:
    """None where there was no such version."""
    if version == 0:
        return _shipped()
    row = tx.execute(QUERIES["rules_version"], {"version": version}).fetchone()
    return InForce(row.version, row.rules, row.adopted_at) if row else None


def keep_rules(tx: Connection, text: str, now: datetime) -> int:
    """As the newest version; its number. The same transaction has to draw the map by them."""
    row = tx.execute(QUERIES["adopt_rules"], {"rules": text, "now": now}).fetchone()
    assert row is not None
    return int(row.version)


def _shipped() -> InForce:
    text = (resources.files("horizon.identity") / "rules.toml").read_text()
    return InForce(0, text, None)
