"""The facts behind each person's score and each message, read from the tables."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from horizon.postgres.database import Connection
from horizon.postgres.queries import Queries

QUERIES = Queries("horizon.demo")
MOST = 1000  # of each list; a page of more could not be read, nor could a browser


@dataclass(frozen=True)
class Person:
    """``user_id`` is the person's own where there is one, else p and the profile's number."""

    user_id: str
    first_name: str


@dataclass(frozen=True)
class Activity:
    event_id: UUID
    type: str
    name: str | None
    time: datetime

    @property
    def words(self) -> str:
        """``Product Viewed``, ``page Home``: an event by its name as its sender gave it."""
        name = self.name or ""
        return name if self.type == "track" else f"{self.type} {name}".strip()


@dataclass(frozen=True)
class AtRisk:
    person: Person
    score: float
    tier: str
    silent_s: float
    last_activity: datetime | None
    last: Activity | None
    visits: int  # in the window before the last activity
    window_days: float
    granted: bool | None  # what they last said about mail
    said_at: datetime | None
    said_way: str | None
    message_id: UUID | None
    status: str | None
    reason: str | None
    sending_at: datetime | None


@dataclass(frozen=True)
class Consent:
    time: datetime
    way: str
    event_id: UUID | None


@dataclass(frozen=True)
class Score:
    """``score`` is ``min(1, silent_s / window)``, of the run that decided."""

    score: float
    silent_s: float
    window_days: float
    scored_at: datetime

    @property
    def window_s(self) -> float:
        return self.window_days * 86_400

    @property
    def ratio(self) -> float:
        return max(0.0, self.silent_s) / self.window_s


@dataclass(frozen=True)
class Alert:
    alert_id: int
    status: str
    threshold: float
    created_at: datetime
    notified_at: datetime | None
    resolved_at: datetime | None


@dataclass(frozen=True)
class Chain:
    """One message from the events that led to it to what came of it."""

    message_id: UUID
    person: Person
    profile_id: int
    campaign: str
    step: int
    occasion: str
    to_addr: str
    tier: str
    template: str
    template_digest: str
    status: str
    reason: str | None
    planned_at: datetime
    claimed_at: datetime | None
    sending_at: datetime | None
    finished_at: datetime | None
    attempts: int
    answer: str
    activities: Sequence[Activity]
    consent: Consent | None
    score: Score | None
    alert: Alert | None
    reached: Sequence[str]
    unsubscribed_at: datetime | None
    unsubscribed_event_id: UUID | None


@dataclass(frozen=True)
class LeftAlone:
    person: Person
    campaign: str
    status: str
    reason: str
    tier: str
    granted: bool | None
    said_at: datetime | None


def at_risk(tx: Connection) -> tuple[AtRisk, ...]:
    """The ten with the highest scores."""
    return tuple(_at_risk(row) for row in tx.execute(QUERIES["at_risk"]))


def _at_risk(row: Any) -> AtRisk:
    last = None
    if row.last_event_id is not None:
        last = Activity(row.last_event_id, row.last_type, row.last_name, row.last_activity)
    return AtRisk(
        person=Person(row.user_id, row.first_name), score=row.score, tier=row.tier,
        silent_s=row.silent_s, last_activity=row.last_activity, last=last, visits=row.visits,
        window_days=row.window_days, granted=row.granted, said_at=row.said_at,
        said_way=row.said_way, message_id=row.message_id, status=row.status, reason=row.reason,
        sending_at=row.sending_at,
    )  # fmt: skip


def chains(tx: Connection) -> tuple[Chain, ...]:
    """Every message that left, at most MOST, in three queries however many there are."""
    rows = tx.execute(QUERIES["chains"], {"most": MOST}).fetchall()
    asked = {
        "message_ids": [row.message_id for row in rows],
        "scored_at": [row.scored_at or row.planned_at for row in rows],
    }
    activities: dict[UUID, list[Activity]] = defaultdict(list)
    for row in tx.execute(QUERIES["last_activities"], asked):
        activities[row.message_id].append(Activity(row.event_id, row.type, row.name, row.time))
    reached: dict[UUID, list[str]] = defaultdict(list)
    for row in tx.execute(QUERIES["reached_keys"], asked):
        reached[row.message_id].append(row.key)
    return tuple(_chain(row, activities[row.message_id], reached[row.message_id]) for row in rows)


def _chain(row: Any, activities: Sequence[Activity], reached: Sequence[str]) -> Chain:
    return Chain(
        message_id=row.message_id, person=Person(row.user_id, row.first_name),
        profile_id=row.profile_id, campaign=row.campaign, step=row.step, occasion=row.occasion,
        to_addr=row.to_addr or "", tier=row.tier or "", template=row.template,
        template_digest=row.template_digest, status=row.status, reason=row.reason,
        planned_at=row.planned_at, claimed_at=row.claimed_at, sending_at=row.sending_at,
        finished_at=row.finished_at, attempts=row.attempts, answer=row.answer or "",
        activities=activities, consent=_consent(row), score=_score(row), alert=_alert(row),
        reached=reached, unsubscribed_at=row.unsubscribed_at,
        unsubscribed_event_id=row.unsubscribed_event_id,
    )  # fmt: skip


def _consent(row: Any) -> Consent | None:
    return Consent(row.said_at, row.said_way, row.said_event_id) if row.said_at else None


def _score(row: Any) -> Score | None:
    if row.scored_at is None or row.silent_s is None:
        return None
    return Score(row.score, row.silent_s, row.window_days, row.scored_at)


def _alert(row: Any) -> Alert | None:
    if row.alert_id is None:
        return None
    return Alert(
        row.alert_id, row.alert_status, row.threshold, row.alerted_at, row.notified_at,
        row.resolved_at,
    )  # fmt: skip


def left_alone(tx: Connection) -> tuple[LeftAlone, ...]:
    return tuple(
        LeftAlone(
            Person(row.user_id, row.first_name), row.campaign, row.status, row.reason,
            row.tier or "", row.granted, row.said_at,
        )
        for row in tx.execute(QUERIES["left_alone"], {"most": MOST})
    )  # fmt: skip
