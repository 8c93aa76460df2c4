"""A message's whole story as it is gathered and as JSON has it. Times are UTC."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct


class Decision(Struct, frozen=True):
    """``why`` is a sentence; ``score_run`` the scores that planning read; ``instead`` the message
    that the address got instead."""

    campaign: str
    step: int
    occasion: str
    status: str
    reason: str | None
    why: str
    correlation_id: UUID
    run_id: UUID | None
    score_run: int | None
    reached: Sequence[Reached]
    instead: UUID | None


class Reached(Struct, frozen=True):
    key: UUID
    of: str  # address, profile
    message_id: UUID


class Run(Struct, frozen=True):
    run_id: UUID
    stage: str
    campaign: str | None  # which one was planned
    status: str
    started_at: datetime
    finished_at: datetime | None


class Node(Struct, frozen=True):
    node: UUID
    kind: str
    value: str
    live: bool
    first_seen: datetime


class Person(Struct, frozen=True):
    """``profile_id`` as known when deciding, ``profile_now`` after the merges since; the address
    is masked."""

    profile_id: int
    profile_now: int | None
    user_id: str | None
    address: str | None
    node: UUID | None
    nodes: Sequence[Node]


class Alert(Struct, frozen=True):
    """With the facts of its score as they were when it was raised."""

    alert_id: int
    rule: str
    status: str
    score: float
    tier: str
    threshold: float
    score_run: int | None
    silent_s: float | None
    last_activity: datetime | None
    activities: int | None
    created_at: datetime
    notified_at: datetime | None
    resolved_at: datetime | None
    quiet_until: datetime


class Score(Struct, frozen=True):
    """``score`` is ``min(1, max(0, silent_s) / (window_days * 86400))``.

    ``since`` says what silence counts from: the last activity, or the first that was heard of the
    person. ``source``: the alert that kept it, the run's row, or the events, counted again.
    """

    score: float
    tier: str
    score_run: int
    scored_at: datetime
    window_days: float
    high: float
    medium: float
    since: str
    silent_from: datetime
    silent_s: float
    ratio: float
    last_activity: datetime | None
    activities: int
    source: str


class Activity(Struct, frozen=True):
    event_id: UUID
    message_id: str
    type: str
    name: str | None
    time: datetime
    received_at: datetime
    source: str
    in_window: bool


class Events(Struct, frozen=True):
    """The newest activities that the score knew of; ``more`` older ones are not listed."""

    in_window: int
    activities: int
    listed: Sequence[Activity]
    more: int


class Record(Struct, frozen=True):
    consent_id: int
    about: str  # person, address
    granted: bool
    time: datetime
    way: str
    wording: str | None
    actor: str
    event_id: UUID | None


class OptIn(Struct, frozen=True):
    opt_in_id: UUID
    purpose: str
    channel: str
    wording: str
    language: str
    asked_at: datetime
    event_id: UUID | None
    mailed_at: datetime | None
    confirmed_at: datetime | None


class Preference(Struct, frozen=True):
    preference_id: int
    every_days: float | None
    paused_until: datetime | None
    time: datetime
    way: str


class Suppression(Struct, frozen=True):
    purpose: str
    reason: str
    created_at: datetime
    message_id: UUID | None


class Consent(Struct, frozen=True):
    """``needed`` is false for mails that ask for consent and for the operator's own."""

    purpose: str
    channel: str
    needed: bool
    allowed_by: Record | None
    when_decided: Sequence[Record]
    when_sent: Sequence[Record]
    preference: Preference | None
    suppressions: Sequence[Suppression]
    opt_in: OptIn | None


class Campaign(Struct, frozen=True):
    """As it was when the message was planned; of a target only its host."""

    campaign: str
    version: int
    version_known: bool
    newest_version: int
    audience: str
    template: str
    channel: str
    purpose: str
    every_days: float | None
    target_host: str | None
    since: datetime


class Template(Struct, frozen=True):
    template: str
    digest: str


class State(Struct, frozen=True):
    state: str
    at: datetime


class Told(Struct, frozen=True):
    event_id: UUID
    message_id: str
    name: str
    time: datetime


class Delivery(Struct, frozen=True):
    states: Sequence[State]
    attempts: int
    due_at: datetime | None
    held: bool
    answer: Answer | None
    events: Sequence[Told]


class Answer(Struct, frozen=True):
    """The provider's, without addresses."""

    text: str
    code: int | None
    status: str | None  # RFC 3463's, like 2.0.0
    queue_id: str | None


class Response(Struct, frozen=True):
    time: datetime
    kind: str
    by: str  # person, or machine and how it was known
    url: str | None
    event_id: UUID


class Sealed(Struct, frozen=True):
    """An entry of the history, and the hash of its batch: see ``horizon audit verify``."""

    batch: int
    place: int
    thing: str
    state: str
    at: datetime
    sealed_at: datetime
    hash: str


class Story(Struct, frozen=True):
    message_id: UUID
    decision: Decision
    person: Person
    alert: Alert | None
    score: Score | None
    events: Events | None
    consent: Consent
    campaign: Campaign
    template: Template
    delivery: Delivery
    responses: Sequence[Response]
    runs: Sequence[Run]
    sealed: Sequence[Sealed]
