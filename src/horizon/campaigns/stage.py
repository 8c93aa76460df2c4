"""Decides who gets a campaign's message, and why not where not: rows, nothing leaves yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, repeat
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


def find(tx: Connection, name: str) -> Campaign:
    """Raises UsageError, which names the campaigns that there are."""
    row = tx.execute(QUERIES["find"], {"campaign": name}).fetchone()
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


def run(
    tx: Connection,
    window: Window,
    campaign: Campaign,
    *,
    template_digest: str,
    cooldown_days: float,
    opt_ins_per_hour: int,
    everybody: bool = False,
    sizes: Sequence[int] = CHUNKS,
) -> Iterator[StageResult]:
    """Decide chunk by chunk, the last of ``sizes`` again and again until nobody is left.

    Yields the figures up to then, with a line for each person skipped; with ``everybody`` a
    decision for each person.
    """
    parameters = _parameters(tx, window, campaign, template_digest, cooldown_days, everybody)
    if campaign.audience == "opt_in":
        yield _asked(opt_in.plan(tx, parameters, opt_ins_per_hour), everybody)
        return
    planned = 0
    reasons: Counter[str] = Counter()
    for size in chain(sizes, repeat(sizes[-1])):
        # Held to the chunk's end: who stops the campaign waits for it, and then cancels it too.
        if tx.execute(QUERIES["hold_active"], parameters).fetchone() is None:
            yield _result(planned, reasons, (), everybody)
            return
        tx.execute(QUERIES["choose_joins"], {"few": size <= FEW})
        # Planned anew each time: a plan that was made for a chunk of 300 would suit no other.
        rows = tx.execute(QUERIES["plan"], {**parameters, "most": size}, prepare=False)
        chunk = rows.fetchone()
        assert chunk is not None
        planned += chunk.planned
        reasons.update(chunk.reasons)
        yield _result(planned, reasons, rows, everybody)
        if chunk.candidates < size:
            return
        parameters |= {"place": chunk.place, "place_in": chunk.place_in}


def _parameters(
    tx: Connection,
    window: Window,
    campaign: Campaign,
    template_digest: str,
    cooldown_days: float,
    everybody: bool,
) -> dict[str, Any]:
    # Asked once: scores that are made meanwhile are the next run's.
    scored = tx.execute(QUERIES["scored"]).fetchone()
    return {
        **window.parameters(), "clock": clock.now(),
        "campaign": campaign.campaign, "audience": campaign.audience,
        "template": campaign.template, "template_digest": template_digest,
        "purpose": campaign.purpose, "channel": campaign.channel, "target": campaign.target,
        "target_host": campaign.target and urlsplit(campaign.target).hostname,
        "every_days": campaign.every_days or 0,
        "quiet_days": campaign.every_days or cooldown_days,
        "score_run": scored.score_run if scored else None,
        "everybody": everybody, "place": 0, "place_in": 0,
    }  # fmt: skip


def _asked(rows: Sequence[Any], everybody: bool) -> StageResult:
    """The opt-ins' decisions, a row each."""
    reasons = Counter(row.reason for row in rows if row.reason)
    told = [row for row in rows if everybody or row.reason]
    return _result(len(rows) - reasons.total(), reasons, told, everybody)


def _result(
    planned: int, reasons: Counter[str], rows: Iterable[Any], everybody: bool
) -> StageResult:
    figures = {
        "planned": planned,
        "skipped": reasons.total(),
        "reasons": dict(sorted(reasons.items())),
    }
    lines = (_line(row) for row in rows)  # read when they are logged: never all in Python at once
    if everybody:
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
