"""Which profile each new event belongs to, and what it says of that person.

For now a profile is the strongest identifier of its events; the graph comes later and changes no
table of events.
"""

from __future__ import annotations

from typing import Any

from horizon.events.message import email_in
from horizon.events.nodes import node_of
from horizon.postgres.database import Connection
from horizon.postgres.queries import Queries
from horizon.stage import StageResult, Window

QUERIES = Queries("horizon.identity")


def run(tx: Connection, window: Window, *, node_key: bytes) -> StageResult:
    parameters = window.parameters()
    made = tx.execute(QUERIES["assign_profiles"], parameters).fetchone()
    assert made is not None
    traits = tx.execute(QUERIES["record_traits"], parameters).rowcount
    consents = tx.execute(QUERIES["record_consents"], parameters).rowcount
    opt_ins = _record_opt_ins(tx, parameters, node_key)
    tx.execute(QUERIES["record_groups"], parameters)
    return StageResult(
        {"events": made.events, "nodes": made.nodes, "profiles": made.profiles, "traits": traits,
         "consents": consents, "opt_ins": opt_ins}
    )  # fmt: skip


def _record_opt_ins(tx: Connection, parameters: dict[str, Any], node_key: bytes) -> int:
    """The wishes of people whose address only its owner can confirm; their number.

    Here and not in the database alone, since that has no key to make an address's node with.
    """
    rows = tx.execute(QUERIES["asked_opt_ins"], parameters).fetchall()
    asked = [(row, address) for row in rows if (address := email_in({"email": row.email}))]
    if not asked:
        return 0
    return tx.execute(QUERIES["record_opt_ins"], {
        "nodes": [row.node for row, _ in asked],
        "addresses": [node_of(node_key, "email", address) for _, address in asked],
        "to_addrs": [address for _, address in asked],
        "purposes": [row.purpose for row, _ in asked],
        "languages": ["de" if row.german else "en" for row, _ in asked],
        "asked_at": [row.asked_at for row, _ in asked],
        "event_ids": [row.event_id for row, _ in asked],
    }).rowcount  # fmt: skip
