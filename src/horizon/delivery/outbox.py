"""The outbox: messages are rows, and each step of a send is a short transaction of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import msgspec
from psycopg import Cursor
from psycopg.types.json import set_json_loads

from horizon import clock
from horizon.delivery.ports import Claimed
from horizon.delivery.rules import Verdict
from horizon.postgres.database import Connection, Database, Role
from horizon.postgres.queries import Queries

QUERIES = Queries("horizon.delivery")

GROUP = 50  # the most that is marked sending at once, and so the most a crash leaves unknown

# A sender's statements find their rows by key, and a group of them is short: a plan made once,
# which no stale statistics can talk into reading a whole table.
_BY_KEY = "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c jit=off"
# A sender that is stopped in the middle of a step would hold its rows, and the identity lock, until
# somebody lets it go on; it finds its connection gone and tells what it knows anew. Between
# statements of a pipeline a session is not idle: there only PostgreSQL 17's timeout helps.
_LET_GO = "-c idle_in_transaction_session_timeout=5s"
_LONGEST_STEP = "SET transaction_timeout = '60s'"


def connect(database: Database) -> Connection:
    """A sender's connection: in autocommit, its statements prepared at once."""
    connection = database.connect(Role.WORKER, autocommit=True, options=f"{_BY_KEY} {_LET_GO}")
    if connection.info.server_version >= 170000:
        connection.execute(_LONGEST_STEP)
    connection.prepare_threshold = 0
    set_json_loads(msgspec.json.decode, connection)
    return connection


class Result(msgspec.Struct, frozen=True):
    """What came of a message; a verdict ``planned`` gives it back, nothing of it having left."""

    message: Claimed
    verdict: Verdict
    answer: str | None
    template_digest: str | None = None


@dataclass
class Outbox:
    """One sender's view. ``connection`` is in autocommit: each method commits what it says.

    ``correlation_id``, ``campaign`` and ``channel`` narrow what is claimed. ``now`` is for what is
    allowed; leases, and the times of what happens, are the clock's.
    """

    connection: Connection
    lease_s: float
    correlation_id: UUID | None = None
    campaign: str | None = None
    channel: str | None = None
    now: datetime | None = None
    claim_id: UUID = field(default_factory=uuid4)

    def claim(self, most: int = GROUP) -> list[UUID]:
        """A lease on messages that are due. Without a wait for the disk: a claim that a crash of
        the server takes back is one that nobody has used."""
        with self.connection.transaction():
            self.connection.execute("SET LOCAL synchronous_commit = off")
            rows = self.connection.execute(
                QUERIES["claim"],
                {
                    "claim": self.claim_id, "clock": clock.now(), "lease_s": self.lease_s,
                    "correlation_id": self.correlation_id, "campaign": self.campaign,
                    "channel": self.channel, "most": most,
                },
            ).fetchall()  # fmt: skip
        return [row.message_id for row in rows]

    def domains(self, message_ids: Sequence[UUID]) -> list[tuple[UUID, str]]:
        rows = self.connection.execute(QUERIES["domains"], {"message_ids": list(message_ids)})
        return [(row.message_id, row.domain or "") for row in rows.fetchall()]

    def turn(
        self, results: Sequence[Result], message_ids: Sequence[UUID]
    ) -> tuple[list[Claimed], list[tuple[Claimed, Verdict]]]:
        """Record what came of the last group and mark the next one ``sending``, in one commit.

        Gives back who may be written to now, and who not with the reason. A message in neither has
        lost its claim.
        """
        # One round trip: the statements travel together.
        with self.connection.pipeline(), self.connection.transaction():
            self._record(results)
            begun = self._begin(message_ids) if message_ids else None
        rows = begun.fetchall() if begun else []
        return (
            [_claimed(row) for row in rows if row.reason is None],
            [(_claimed(row), Verdict("skipped", row.reason)) for row in rows if row.reason],
        )

    def _begin(self, message_ids: Sequence[UUID]) -> Cursor[Any]:
        self.connection.execute(QUERIES["hold_identity"])
        at = clock.now()
        return self.connection.execute(
            QUERIES["begin"],
            {"message_ids": list(message_ids), "claim": self.claim_id, "clock": at,
             "lease_s": self.lease_s, "now": self.now or at},
        )  # fmt: skip

    def _record(self, results: Sequence[Result]) -> None:
        over = [result for result in results if result.verdict.status != "planned"]
        if over:
            self.connection.execute(QUERIES["finish"], {
                "message_ids": [result.message.message_id for result in over],
                "statuses": [result.verdict.status for result in over],
                "reasons": [result.verdict.reason for result in over],
                "answers": [result.answer for result in over],
                "digests": [result.template_digest for result in over],
                "claim": self.claim_id, "clock": clock.now(),
            })  # fmt: skip
        back = [result for result in results if result.verdict.status == "planned"]
        if back:
            message_ids = [result.message.message_id for result in back]
            self.connection.execute(QUERIES["recall"], {
                "message_ids": message_ids, "claim": self.claim_id, "clock": clock.now(),
            })  # fmt: skip
            self._postpone(
                message_ids,
                [result.verdict.retry_at for result in back],
                [result.answer for result in back],
            )

    def give_back(
        self, message_ids: Sequence[UUID], due_ats: Sequence[datetime | None] = ()
    ) -> None:
        """Plan claimed messages again, at ``due_ats`` where it says so; it was no attempt."""
        if message_ids:
            nothing = [None] * len(message_ids)
            self._postpone(message_ids, due_ats or nothing, nothing, tried=False)

    def _postpone(
        self,
        message_ids: Sequence[UUID],
        due_ats: Sequence[datetime | None],
        answers: Sequence[str | None],
        *,
        tried: bool = True,
    ) -> None:
        self.connection.execute(QUERIES["postpone"], {
            "message_ids": list(message_ids), "due_ats": list(due_ats), "answers": list(answers),
            "tried": [tried and due_at is not None for due_at in due_ats],
            "claim": self.claim_id, "clock": clock.now(),
        })  # fmt: skip

    def expire(self) -> list[Any]:
        """Mark ``unknown`` what a stopped sender left in ``sending``."""
        return self.connection.execute(QUERIES["expire"], {"clock": clock.now()}).fetchall()


def _claimed(row: Any) -> Claimed:
    return Claimed(
        row.message_id, row.campaign, row.profile_id, row.user_id, row.to_addr, row.domain,
        row.tier, row.variables, row.template, row.occasion, row.planned_at, row.tracked,
        row.attempts,
    )  # fmt: skip


def settle(connection: Connection, message_id: UUID, status: str) -> bool:
    """Record what a person found out about an unknown message; False where it is not unknown."""
    values = {"message_id": message_id, "status": status, "clock": clock.now()}
    with connection.transaction():
        if connection.execute(QUERIES["settle"], values).rowcount == 0:
            return False
        if status == "sent":
            connection.execute(QUERIES["notify_alert"], values)
            connection.execute(QUERIES["write_sent_event"], values)
    return True


def register_targets(tx: Connection, urls: Sequence[str]) -> dict[str, int]:
    """The id of each URL that a mail's link may lead to."""
    if not urls:
        return {}
    rows = tx.execute(QUERIES["register_targets"], {"urls": sorted(set(urls))}).fetchall()
    found = {row.url: row.target_id for row in rows}
    if len(found) < len(set(urls)):  # another sender registered one at this very moment
        return register_targets(tx, urls)
    return found


def waiting(connection: Connection, correlation_id: UUID | None = None) -> int:
    row = connection.execute(QUERIES["waiting"], {"correlation_id": correlation_id}).fetchone()
    assert row is not None
    return int(row.messages)
