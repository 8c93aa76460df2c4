"""The outbox: messages are rows, and each step of a send is a short transaction of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from horizon import clock
from horizon.delivery.rules import Verdict
from horizon.postgres.database import Connection
from horizon.postgres.queries import Queries

QUERIES = Queries("horizon.delivery")

CLAIM_AT_ONCE = 50


@dataclass
class Outbox:
    """One sender's view. ``connection`` is in autocommit: each method commits what it says.

    ``correlation_id`` and ``campaign`` narrow what is claimed to one run's or one campaign's.
    ``now`` is for what is allowed; leases, and the times of what happens, are the clock's.
    """

    connection: Connection
    lease_s: float
    correlation_id: UUID | None = None
    campaign: str | None = None
    now: datetime | None = None
    claim_id: UUID = field(default_factory=uuid4)

    def claim(self, most: int = CLAIM_AT_ONCE) -> list[Any]:
        return self.connection.execute(
            QUERIES["claim"],
            {
                "claim": self.claim_id, "clock": clock.now(), "lease_s": self.lease_s,
                "correlation_id": self.correlation_id, "campaign": self.campaign,
                "most": most,
            },
        ).fetchall()  # fmt: skip

    def begin(self, message_id: UUID, template_digest: str) -> Verdict | None:
        """Mark a message ``sending``, or ``skipped`` with the reason; None: the claim was lost."""
        with self.connection.transaction():
            self.connection.execute(QUERIES["hold_identity"])
            row = self.connection.execute(
                QUERIES["begin"],
                {"message_id": message_id, "claim": self.claim_id, "clock": clock.now(),
                 "now": self.now or clock.now(),
                 "template_digest": template_digest},
            ).fetchone()  # fmt: skip
        return Verdict(row.status, row.reason) if row else None

    def finish(self, message: Any, verdict: Verdict, answer: str) -> None:
        """Record what came of it: the alert is NOTIFIED in the transaction that says sent."""
        values = {
            "message_id": message.message_id, "claim": self.claim_id, "clock": clock.now(),
            "status": verdict.status, "reason": verdict.reason, "answer": answer,
        }  # fmt: skip
        with self.connection.transaction():
            if self.connection.execute(QUERIES["finish"], values).rowcount == 0:
                return
            if verdict.status == "sent":
                _was_sent(self.connection, values)
            if verdict.status == "bounced":
                self.connection.execute(QUERIES["suppress_bounced"], values)
                self.connection.execute(QUERIES["write_event"], {**values, "name": "Email Bounced"})

    def give_back(
        self,
        message_ids: Sequence[UUID],
        retry_at: datetime | None = None,
        answer: str | None = None,
        *,
        refused: bool = False,
    ) -> None:
        """Plan messages again of which nothing has left; with ``retry_at`` it was an attempt."""
        self.connection.execute(
            QUERIES["give_back"],
            {"message_ids": list(message_ids), "claim": self.claim_id, "retry_at": retry_at,
             "answer": answer, "refused": refused},
        )  # fmt: skip

    def expire(self) -> list[Any]:
        """Mark ``unknown`` what a stopped sender left in ``sending``."""
        return self.connection.execute(QUERIES["expire"], {"clock": clock.now()}).fetchall()


def settle(connection: Connection, message_id: UUID, status: str) -> bool:
    """Record what a person found out about an unknown message; False where it is not unknown."""
    values = {"message_id": message_id, "status": status, "clock": clock.now()}
    with connection.transaction():
        if connection.execute(QUERIES["settle"], values).rowcount == 0:
            return False
        if status == "sent":
            _was_sent(connection, values)
    return True


def _was_sent(tx: Connection, values: dict[str, Any]) -> None:
    """The alert is NOTIFIED in the transaction that says sent; and it is an event again."""
    tx.execute(QUERIES["notify_alert"], values)
    tx.execute(QUERIES["write_event"], {**values, "name": "Email Sent"})


def waiting(connection: Connection, correlation_id: UUID | None = None) -> int:
    row = connection.execute(QUERIES["waiting"], {"correlation_id": correlation_id}).fetchone()
    assert row is not None
    return int(row.messages)
