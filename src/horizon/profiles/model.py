"""What is told of profiles, as JSON has it. Times are UTC."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import Struct

from horizon.events.kinds import rank_of


class Node(Struct, frozen=True):
    """An identifier. Its value is masked unless it was asked for whole."""

    node: UUID
    kind: str
    value: str
    profile_id: int | None
    dead: str | None
    first_seen: datetime

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}"

    @property
    def strength(self) -> tuple[int, str, datetime, UUID]:
        """The strongest kind sorts first, of a kind what was seen first."""
        return rank_of(self.kind), self.kind, self.first_seen, self.node


class Event(Struct, frozen=True):
    """``type`` is None where the event is no longer in the hot store."""

    event_id: UUID | None
    type: str | None
    name: str | None
    source: str | None
    time: datetime


class Edge(Struct, frozen=True):
    """What ties two identifiers, with the event that first did. ``why``: what refused it."""

    weak: Node
    strong: Node
    how: str
    time: datetime
    refused_by: str | None
    why: str | None
    event: Event

    @property
    def ends(self) -> tuple[UUID, UUID]:
        return self.weak.node, self.strong.node

    def other(self, node: UUID) -> Node:
        return self.strong if self.weak.node == node else self.weak


class Cut(Struct, frozen=True):
    cut_id: int
    node: Node
    anchor: Node
    made_at: datetime
    lifted_at: datetime | None


class Identifier(Struct, frozen=True):
    """One of a profile's identifiers, and what it was first seen in; ``spelling``: it is the one
    that other spellings of a value share, and came in no event."""

    kind: str
    value: str
    node: UUID
    first_seen: datetime
    event: Event | None
    spelling: bool


class Trait(Struct, frozen=True):
    name: str
    value: Any
    time: datetime


class Score(Struct, frozen=True):
    score: float
    tier: str
    scored_at: datetime


class Absorbed(Struct, frozen=True):
    """``absorbed_at`` is None where no event tells any more."""

    profile_id: int
    created_at: datetime
    absorbed_at: datetime | None


class Profile(Struct, frozen=True):
    """``asked`` names another profile where that one was absorbed by this. ``created_at`` is the
    time of the run that gave it its number, ``first_seen`` of its first event."""

    profile_id: int
    asked: int | None
    created_at: datetime
    first_seen: datetime | None
    identifiers: Sequence[Identifier]
    more_identifiers: bool
    traits: Sequence[Trait]
    score: Score | None
    last_events: Sequence[Event]
    absorbed: Sequence[Absorbed]
    refused: Sequence[Edge]
    cuts: Sequence[Cut]


class Chain(Struct, frozen=True):
    """How one identifier is tied to another. ``together``: they are one profile.

    Without steps nothing ties them; with a refused one it is what would.
    """

    one: Node
    other: Node
    together: bool
    steps: Sequence[Edge]
    told: str
