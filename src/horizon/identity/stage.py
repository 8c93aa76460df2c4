"""Which profile each new event belongs to, and what it says of that person."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from horizon.events.message import email_in
from horizon.events.model import internal_event
from horizon.events.nodes import node_of
from horizon.events.sources import find_source
from horizon.events.store import store
from horizon.identity.gathering import gather
from horizon.identity.mapping import (
    QUERIES,
    active_rules,
    make_room,
    redraw,
    touch,
)
from horizon.identity.telling import UNCHANGED, Change
from horizon.identity.wire import UuidArray
from horizon.postgres.database import Connection
from horizon.postgres.era import current_era
from horizon.stage import StageResult, Window

OF_WINDOW: Final = "events_between(%(era)s, %(until)s, %(seen_era)s, %(seen)s)"


def run(
    tx: Connection, window: Window, *, node_key: bytes, region: str | None = None
) -> StageResult:
    parameters = window.parameters()
    rules = active_rules(tx)
    counted = gather(tx, window, rules, node_key, region)
    change = UNCHANGED
    if counted.identifiers or counted.touched:
        change = redraw(tx, window.now, rules)
        follow(tx, change, window.now, window.era, window.run_id)
    traits = tx.execute(QUERIES["record_traits"], parameters).rowcount
    consents = tx.execute(QUERIES["record_consents"], parameters).rowcount
    opt_ins = _record_opt_ins(tx, parameters, node_key)
    tx.execute(QUERIES["record_groups"], parameters)
    return StageResult({
        "events": counted.events, "nodes": counted.nodes,
        "identifiers": counted.identifiers, "edges": counted.edges,
        "profiles": change.made, "merged": len(change.merged), "split": len(change.split),
        "hubs": change.hubs, "refused": change.refused,
        "traits": traits, "consents": consents, "opt_ins": opt_ins,
    })  # fmt: skip


def resolve(tx: Connection, nodes: Iterable[UUID], now: datetime, run_id: UUID) -> Change:
    """Compute these nodes' profiles anew: after a cut, a join by hand, or either taken back.

    In the caller's transaction; ``run_id`` tells this change from others.
    """
    make_room(tx)
    touch(tx, nodes)
    change = redraw(tx, now, active_rules(tx))
    follow(tx, change, now, current_era(tx), run_id)
    return change


def follow(tx: Connection, change: Change, now: datetime, era: int, run_id: UUID) -> None:
    """Carries on what is kept of people; tells whoever listens, by events of Horizon's own."""
    if len(change.turned):
        _rehome(tx, change)
    if len(change.moved):
        tx.execute(QUERIES["carry"], {"nodes": UuidArray(change.moved)})
    if not change.merged and not change.split:
        return
    source = find_source(tx, "horizon")
    assert source is not None, "the first migration makes it"
    nodes = {
        row.profile_id: row.node
        for row in tx.execute(QUERIES["first_nodes"], {"profiles": [
            *(one.into for one in change.merged), *(profile for profile, _ in change.split)
        ]})
    }  # fmt: skip
    told = [
        internal_event(
            source, "Profiles Merged", message_id=f"merged:{one.profile_id}:{run_id}",
            node=nodes[one.into], time=now,
            properties={
                "profile_id": one.into, "absorbed": one.profile_id,
                **({"weak": str(one.edge[0]), "strong": str(one.edge[1])} if one.edge else {}),
            },
        )
        for one in change.merged
    ] + [
        internal_event(
            source, "Profile Split", message_id=f"split:{profile}:{was}:{run_id}",
            node=nodes[profile], time=now, properties={"profile_id": profile, "from": was},
        )
        for profile, was in change.split
    ]  # fmt: skip
    store(tx, told, era=era)


def _rehome(tx: Connection, change: Change) -> None:
    """What was said through a node that is dead now is of the next one, as if it had come today.

    Traits and groups are heard again from the events, since a node keeps of each only the last.
    """
    if not tx.execute(QUERIES["read_again"], {"nodes": UuidArray(change.turned)}).rowcount:
        return
    for name in ("record_traits", "record_groups"):
        tx.execute(QUERIES[name].replace(OF_WINDOW, "again"))
    tx.execute(QUERIES["move_consents"])
    tx.execute(QUERIES["move_opt_ins"])


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
