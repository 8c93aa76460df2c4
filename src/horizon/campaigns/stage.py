"""Decides who gets a campaign's message, and why not where not: rows, nothing leaves yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, repeat
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

from horizon import clock
from horizon.campaigns import opt_in
from horizon.errors import UsageError
from horizon.postgres.database import Connection
from horizon.postgres.queries import Queries
from horizon.stage import Line, StageResult, Window, logged_user

QUERIES = Queries("horizon.campaigns")

# How many people are decided and committed at once: a few first, so that sending begins at once.
# A large one reads the tables of people whole, 0.4 s for 500,000: hence not many of them.
CHUNKS = (300, 3_000, 50_000, 200_000)
FEW = 5_000  # up to so many are looked up one by one
LANES = 2  # chunks decided beside each other
LAST_PROFILE = 2**63 - 1


@dataclass(frozen=True)
class Campaign:
    """A campaign as its row says; ``every_days`` None: once an alert."""

    campaign: str
    audience: str
    template: str
    channel: str
    purpose: str
    every_days: float | None
    target: str | None
    status: str = "active"


def find(tx: Connection, name: str, *, removed: bool = False) -> Campaign:
    """``removed``: also one that was. Raises UsageError, which names the campaigns there are."""
    row = tx.execute(QUERIES["find"], {"campaign": name, "removed": removed}).fetchone()
    if row is None or row.audience == "operator":
        raise UsageError(f"There is no campaign {name!r}: choose one of {', '.join(names(tx))}.")
    return Campaign(**row._asdict())


def names(tx: Connection) -> list[str]:
    return [row.campaign for row in tx.execute(QUERIES["names"])]


def active(tx: Connection) -> list[str]:
    return [row.campaign for row in tx.execute(QUERIES["active"])]


def set_status(tx: Connection, name: str, status: str, at: datetime) -> int:
    """Pause, resume or stop a campaign; give back how many messages a stop has cancelled.

    Raises UsageError where there is no such campaign.
    """
    before = find(tx, name).status
    values = {"campaign": name, "status": status, "clock": at}
    tx.execute(QUERIES["set_status"], values)
    # What came back to wait after the stop (after a 451, say) goes before it runs again.
    if "stopped" not in (status, before):
        return 0
    cancelled = tx.execute(QUERIES["cancel"], values).rowcount
    return cancelled if status == "stopped" else 0


class Planning:
    """One run over a campaign's people: chunk by chunk, in as many lanes as ``run`` is called for.

    The last of ``sizes`` comes again and again until nobody is left.
    """

    def __init__(
        self,
        campaign: Campaign,
        *,
        template_digest: str,
        cooldown_days: float,
        opt_ins_per_hour: int,
        everybody: bool = False,
        sizes: Sequence[int] = CHUNKS,
    ) -> None:
        self._campaign = campaign
        self._template_digest = template_digest
        self._cooldown_days = cooldown_days
        self._opt_ins_per_hour = opt_ins_per_hour
        self._everybody = everybody
        self._sizes = chain(sizes, repeat(sizes[-1]))
        self._turn = Lock()
        self._parameters: dict[str, Any] | None = None
        self._after: int | None = 0  # the last profile of the chunks so far; None: nobody is left

    def run(self, tx: Connection, window: Window) -> Iterator[StageResult]:
        """Decide the next chunk, again and again: its figures, a line for each person skipped.

        For everybody a decision each, where that is asked for.
        """
        with self._turn:
            if self._parameters is None:
                self._parameters = self._asked_once(tx, window)
            parameters = self._parameters
        if self._campaign.audience == "opt_in":
            rows = opt_in.plan(tx, parameters, self._opt_ins_per_hour)
            reasons = Counter(row.reason for row in rows if row.reason)
            told = [row for row in rows if self._everybody or row.reason]
            yield self._result(len(rows) - reasons.total(), reasons, told)
            return
        tx.execute(QUERIES["make_room"])
        while (chunk := self._next_chunk(tx, parameters)) is not None:
            # Held to the chunk's end: who stops the campaign waits, and then cancels it too.
            if tx.execute(QUERIES["hold_active"], parameters).fetchone() is None:
                yield self._result(0, Counter(), ())
                return
            yield self._decided(tx, parameters | chunk)

    def _asked_once(self, tx: Connection, window: Window) -> dict[str, Any]:
        """What all chunks go by: scores that are made meanwhile are the next run's."""
        campaign = self._campaign
        scored = tx.execute(QUERIES["scored"]).fetchone()
        return {
            **window.parameters(), "clock": clock.now(),
            "campaign": campaign.campaign, "audience": campaign.audience,
            "template": campaign.template, "template_digest": self._template_digest,
            "purpose": campaign.purpose, "channel": campaign.channel, "target": campaign.target,
            "target_host": campaign.target and urlsplit(campaign.target).hostname,
            "every_days": campaign.every_days or 0,
            "quiet_days": campaign.every_days or self._cooldown_days,
            "score_run": scored.score_run if scored else None, "everybody": self._everybody,
        }  # fmt: skip

    def _next_chunk(self, tx: Connection, parameters: Mapping[str, Any]) -> dict[str, Any] | None:
        """After which profile and up to which one, and whether these are few; None: nobody left."""
        with self._turn:
            if self._after is None:
                return None
            most = next(self._sizes)
            chunk = {"after": self._after, "most": most}
            people = tx.execute(QUERIES["next_people"], {**parameters, **chunk}).fetchone()
            assert people is not None
            self._after = people.last if people.candidates == most else None
        return {"after": chunk["after"], "last": self._after or LAST_PROFILE, "few": most <= FEW}

    def _decided(self, tx: Connection, chunk: Mapping[str, Any]) -> StageResult:
        tx.execute(QUERIES["empty_room"])
        tx.execute(QUERIES["choose_joins"], chunk)
        # Planned anew each time: a plan that was made for a chunk of 300 would suit no other.
        told = tx.execute(QUERIES["plan"], chunk, prepare=False)
        tx.execute(QUERIES["one_at_a_time"])
        taken = tx.execute(QUERIES["take_addresses"], chunk, prepare=False)
        first, planned = told.fetchone(), taken.fetchone()
        assert first is not None
        assert planned is not None
        second = taken.fetchall()
        doubles = {row.message_id for row in second}
        reasons = Counter(first.reasons) + Counter(row.reason for row in second)
        rest = (row for row in told if row.message_id not in doubles)
        return self._result(planned.planned, reasons, chain(second, rest))

    def _result(self, planned: int, reasons: Counter[str], told: Iterable[Any]) -> StageResult:
        figures = {
            "planned": planned,
            "skipped": reasons.total(),
            "reasons": dict(sorted(reasons.items())),
        }
        lines = (_line(row) for row in told)  # read when they are logged: never all in Python
        if self._everybody:
            return StageResult(figures, decisions=[line.fields for line in lines])
        return StageResult(figures, lines)


def _line(row: Any) -> Line:
    return Line(
        "message",
        {
            "message_id": str(row.message_id), "user_id": logged_user(row.user_id, row.profile_id),
            "segment": row.tier, "status": row.status, "reason": row.reason,
        },
    )  # fmt: skip


def plan_demo(
    tx: Connection,
    window: Window,
    *,
    to_addr: str,
    address_hash: object,
    aggregated: bool,
    template: str,
    template_digest: str,
) -> StageResult:
    """Plan the operator's mails in place of people's: one an alert, or one that lists them all."""
    parameters = {
        **window.parameters(), "clock": clock.now(),
        "to_addr": to_addr, "address_hash": address_hash,
        "aggregated": aggregated, "template": template, "template_digest": template_digest,
    }  # fmt: skip
    planned = tx.execute(QUERIES["plan_demo"], parameters).rowcount
    return StageResult({"planned": planned, "skipped": 0, "aggregated": aggregated})
