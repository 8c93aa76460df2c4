"""Decides who gets a campaign's message, and why not where not: rows, nothing leaves yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from horizon import clock
from horizon.campaigns import opt_in
from horizon.errors import UsageError
from horizon.postgres.database import Connection
from horizon.postgres.queries import Queries
from horizon.stage import Line, StageResult, Window, logged_user

QUERIES = Queries("horizon.campaigns")


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
    find(tx, name)
    values = {"campaign": name, "status": status, "clock": at}
    tx.execute(QUERIES["set_status"], values)
    return tx.execute(QUERIES["cancel"], values).rowcount if status == "stopped" else 0


def run(
    tx: Connection,
    window: Window,
    campaign: Campaign,
    *,
    template_digest: str,
    cooldown_days: float,
    opt_ins_per_hour: int,
) -> StageResult:
    parameters = {
        **window.parameters(), "clock": clock.now(), "campaign": campaign.campaign,
        "audience": campaign.audience,
        "template": campaign.template, "template_digest": template_digest,
        "purpose": campaign.purpose, "channel": campaign.channel,
        "every_days": campaign.every_days or 0,
        "quiet_days": campaign.every_days or cooldown_days,
    }  # fmt: skip
    if campaign.audience == "opt_in":
        return _result(opt_in.plan(tx, parameters, opt_ins_per_hour))
    return _result(tx.execute(QUERIES["plan"], parameters).fetchall())


def _result(rows: Sequence[Any]) -> StageResult:
    reasons = Counter(row.reason for row in rows if row.reason)
    planned = len(rows) - reasons.total()
    figures = {
        "planned": planned,
        "skipped": reasons.total(),
        "reasons": dict(sorted(reasons.items())),
    }
    lines = [_line(row) for row in rows]
    skipped = [line for line in lines if line.fields["reason"]]
    return StageResult(figures, skipped, [line.fields for line in lines])


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
        **window.parameters(), "clock": clock.now(), "to_addr": to_addr,
        "address_hash": address_hash,
        "aggregated": aggregated, "template": template, "template_digest": template_digest,
    }  # fmt: skip
    planned = tx.execute(QUERIES["plan_demo"], parameters).rowcount
    return StageResult({"planned": planned, "skipped": 0, "aggregated": aggregated})
