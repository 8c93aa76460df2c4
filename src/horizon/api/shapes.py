"""The answers' bodies. The OpenAPI document is made from these."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

ProfileId = Annotated[int, Meta(ge=1, description="Given once; it stays when profiles merge.")]
Tier = Literal["high", "medium", "low"]


class Cursor(msgspec.Struct, frozen=True):
    """Where the next page is. A page may be short, or empty, and not be the last one."""

    url: str | None  # of the next page, relative
    has_more: bool
    next: str | None
    limit: int


class Profile(msgspec.Struct, frozen=True):
    profile_id: ProfileId
    user_id: Annotated[
        str | None, Meta(description="The oldest user id it has; null where it has none.")
    ]
    created_at: datetime
    first_seen: datetime | None
    identifiers: Annotated[int, Meta(ge=0, description="How many it has.")]
    absorbed: Annotated[
        list[ProfileId], Meta(description="The newest profiles that merged into it, 100 at most.")
    ]
    links: Annotated[
        dict[str, str], Meta(description="What else this token reads of it, relative.")
    ]


class Provenance(msgspec.Struct, frozen=True):
    """Which event a trait's value is from."""

    time: datetime
    event_id: UUID


class Traits(msgspec.Struct, frozen=True):
    traits: dict[str, Any]
    cursor: Cursor
    provenance: dict[str, Provenance] | msgspec.UnsetType = msgspec.UNSET


class Identifier(msgspec.Struct, frozen=True):
    kind: str
    value: str
    first_seen: datetime


class Identifiers(msgspec.Struct, frozen=True):
    data: list[Identifier]
    cursor: Cursor


class Event(msgspec.Struct, frozen=True):
    event_id: UUID
    type: Literal["track", "page", "screen", "identify", "group", "alias"]
    event: Annotated[str | None, Meta(description="Its name; a page's or screen's too.")]
    message_id: str
    timestamp: datetime
    received_at: datetime
    source: str | None
    user_id: str | None
    anonymous_id: str | None
    group_id: str | None
    properties: Any
    traits: Any
    context: Any


class Events(msgspec.Struct, frozen=True):
    data: list[Event]
    cursor: Cursor


class Segment(msgspec.Struct, frozen=True):
    segment: str
    derived_from: Literal["score"]
    computed_at: datetime


class Segments(msgspec.Struct, frozen=True):
    data: list[Segment]


class Score(msgspec.Struct, frozen=True):
    score: Annotated[float, Meta(ge=0, le=1)]
    tier: Tier
    last_activity: datetime | None
    silent_s: float
    activities: int
    window_days: float
    computed_at: datetime


class Scores(msgspec.Struct, frozen=True):
    data: list[Score]


class Message(msgspec.Struct, frozen=True):
    message_id: UUID
    campaign: str
    channel: str | None
    template: str
    status: Annotated[
        str, Meta(description="planned, claimed, sending, sent, delivered, bounced, complained, "
                              "skipped, failed, cancelled or unknown.")
    ]  # fmt: skip
    reason: str | None
    occasion: str
    alert_id: int | None
    tier: str | None
    to_addr: str | None
    planned_at: datetime
    finished_at: datetime | None


class Messages(msgspec.Struct, frozen=True):
    data: list[Message]
    cursor: Cursor


class Fault(msgspec.Struct, frozen=True):
    code: str
    message: Annotated[str, Meta(description="What to do, in a sentence.")]


class Error(msgspec.Struct, frozen=True):
    error: Fault
