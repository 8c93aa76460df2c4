"""Seals what came since the last pass: entries in batches, each batch over the one before it."""

from __future__ import annotations

from typing import Any

from horizon import clock
from horizon.history.rules import BATCH, FIRST, OPEN, Body, Seal, chained
from horizon.postgres.database import Connection
from horizon.postgres.queries import Queries
from horizon.stage import StageResult, Window

QUERIES = Queries("horizon.history")

_ZERO = {"pass_id": 0, "message_id": "00000000-0000-0000-0000-000000000000",
         "alert_id": 0, "consent_id": 0, "audit_id": 0}  # fmt: skip


def run(tx: Connection, window: Window, size: int = BATCH) -> StageResult:
    """The head's hash is logged: kept elsewhere, it tells a chain that was written anew."""
    tx.execute(QUERIES["pin_forms"])
    cut = _one(tx, "cut")
    snapshot = _one(tx, "snapshot").seen
    looked = tx.execute(QUERIES["look_from"]).fetchone()
    since = looked._asdict() if looked else _ZERO
    last = tx.execute(QUERIES["last_seal"]).fetchone()
    values = {
        **window.parameters(), "last_batch": last.batch if last else 0, "size": size,
        "open": list(OPEN), "message_from": since["message_id"], "alert_from": since["alert_id"],
        "consent_from": since["consent_id"], "audit_from": since["audit_id"],
    }  # fmt: skip
    entries = tx.execute(QUERIES["add_entries"], values).rowcount
    seals: list[Seal] = []
    if entries:
        for query in ("close_messages", "open_messages", "close_alerts", "open_alerts"):
            tx.execute(QUERIES[query], values)
        seals = _seal(tx, values, bytes(last.hash) if last else FIRST)
    tx.execute(QUERIES["add_pass"], {**cut._asdict(), "era": window.era, "snapshot": snapshot})
    tx.execute(QUERIES["forget_passes"], since)
    head = seals[-1].hash if seals else bytes(last.hash) if last else FIRST
    return StageResult({"sealed": entries, "batches": len(seals), "head": head.hex()})


def _seal(tx: Connection, values: dict[str, Any], previous: bytes) -> list[Seal]:
    bodies = [
        Body(row.batch, row.entries, bytes(row.body))
        for row in tx.execute(QUERIES["bodies"], values)
    ]
    sealed_at = clock.now()
    seals = chained(previous, bodies, sealed_at)
    tx.execute(QUERIES["add_seals"], {
        "batches": [seal.batch for seal in seals], "entries": [seal.entries for seal in seals],
        "previous": [seal.previous for seal in seals], "bodies": [seal.body for seal in seals],
        "hashes": [seal.hash for seal in seals], "clock": sealed_at, "run_id": values["run_id"],
    })  # fmt: skip
    return seals


def _one(tx: Connection, query: str) -> Any:
    row = tx.execute(QUERIES[query]).fetchone()
    assert row is not None
    return row
