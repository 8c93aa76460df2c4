"""What a channel reports of a message after it was sent."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from horizon.delivery.breaker import is_block
from horizon.delivery.outbox import QUERIES
from horizon.delivery.rules import scrubbed
from horizon.events.model import internal_event
from horizon.events.sources import find_source
from horizon.events.store import store
from horizon.postgres.database import Connection
from horizon.postgres.era import current_era

Kind = Literal["delivered", "bounced", "complained"]
# early: its sender has not written yet that it left, so the report is to be given again.
Recorded = Literal["recorded", "known", "early", "no_message"]

# From which states on a report is news; reports come in any order and more than once. Somebody
# who complains got the message, whatever was thought to have become of it.
_NEWS_TO: dict[Kind, frozenset[str]] = {
    "delivered": frozenset({"sent", "unknown"}),
    "bounced": frozenset({"sent", "delivered", "unknown"}),
    "complained": frozenset({"sent", "delivered", "bounced", "failed", "unknown"}),
}
_EVENTS: dict[Kind, str] = {
    "delivered": "Message Delivered",
    "bounced": "Message Bounced",
    "complained": "Message Complained",
}


def record_feedback(
    tx: Connection,
    message_id: UUID,
    kind: Kind,
    clock: datetime,
    *,
    answer: str = "",
    address_invalid: bool = False,
) -> Recorded:
    """Write what is reported, once: state, suppression and event in the caller's transaction.

    A complaint suppresses the address for every purpose; a bounce does where the address is no
    address (``address_invalid``). ``answer`` is the receiving server's. After a complaint or a
    block the caller asks ``breaker.check``.
    """
    message = tx.execute(QUERIES["feedback_message"], {"message_id": message_id}).fetchone()
    if message is None:
        return "no_message"
    if message.status not in _NEWS_TO[kind]:
        return "early" if message.status == "planned" else "known"
    values = {
        "message_id": message_id, "status": kind, "clock": clock,
        "reason": _reason(answer, address_invalid) if kind == "bounced" else None,
        "answer": scrubbed(answer) or None,
        "why": "complaint" if kind == "complained" else "hard_bounce",
    }  # fmt: skip
    tx.execute(QUERIES["write_feedback"], values)
    tx.execute(QUERIES["notify_alert"], values)
    if kind == "complained" or (kind == "bounced" and address_invalid):
        tx.execute(QUERIES["suppress_reported"], values)
    _write_event(tx, message, kind, clock)
    return "recorded"


def _reason(answer: str, address_invalid: bool) -> str:
    if address_invalid:
        return "address_invalid"
    return "blocked" if is_block(answer) else "returned"


def _write_event(tx: Connection, message: Any, kind: Kind, clock: datetime) -> None:
    node = message.node or message.address_hash
    source = find_source(tx, "horizon")
    if node is None or source is None or message.audience == "operator":
        return
    event = internal_event(
        source,
        _EVENTS[kind],
        message_id=f"{kind}:{message.message_id}",
        node=node,
        time=clock,
        properties={"message_id": str(message.message_id), "campaign_id": message.campaign},
    )
    store(tx, [event], era=current_era(tx))
