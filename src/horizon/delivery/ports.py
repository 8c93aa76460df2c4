"""What delivery needs of a channel, and what a channel is given."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Protocol
from uuid import UUID

import msgspec

from horizon.delivery.limits import Limit
from horizon.errors import TransportError
from horizon.keys import Keys
from horizon.settings import Settings

# What the planner says of a person in a message's variables.
PERSON_VARIABLES: Final = frozenset(
    {"first_name", "tier", "activity_count", "days_silent", "last_seen", "score_percent"}
)


class Claimed(msgspec.Struct, frozen=True):
    """A message whose turn it is. ``tracked``: its person agreed to be counted."""

    message_id: UUID
    campaign: str
    profile_id: int
    user_id: str | None
    to_addr: str
    domain: str
    tier: str | None
    variables: Mapping[str, Any]
    template: str
    occasion: str
    planned_at: datetime
    tracked: bool
    attempts: int


class Parcel(msgspec.Struct, frozen=True):
    """A composed message: where it goes, what is sent, and the digest of the template it is of."""

    message_id: UUID
    to_addr: str
    content: bytes
    template_digest: str


@dataclass(frozen=True, slots=True)
class Means:
    """What a channel is opened with.

    ``register_targets`` gives each URL that a link in a message may lead to the id that the link
    carries. ``environ`` and ``folder`` are where a channel's own settings stand, as for
    ``settings.load``.
    """

    settings: Settings
    keys: Keys
    register_targets: Callable[[Collection[str]], Mapping[str, int]]
    environ: Mapping[str, str] | None = None
    folder: Path | None = None


class Transport(Protocol):
    """One connection to a provider."""

    @property
    def connected(self) -> bool: ...

    def connect(self) -> None:
        """Raises TransportError, ``away``, where the provider does not serve us."""

    def send(self, parcels: Iterator[Parcel]) -> Iterator[str | TransportError]:
        """Send each parcel and give back the provider's answer, in their order.

        The next parcel may be taken before the last answer is there. Where the connection breaks,
        the parcel whose content had begun is answered by an error with ``content_begun``; those
        taken and not answered did surely not leave.
        """

    def close(self) -> None: ...


class Channel(Protocol):
    """A folder of delivery/channels: transport, settings, templates, tests.

    ``name`` is the channel that consent is given for, ``connections`` how many at once a sender
    opens, ``limits`` what it may ask of each domain. ``one_server``: whoever it sends to, the same
    server takes it, so that one refusal to serve us is about every message.
    """

    @property
    def name(self) -> str: ...

    @property
    def one_server(self) -> bool: ...

    @property
    def connections(self) -> int: ...

    @property
    def limits(self) -> Mapping[str, Limit]: ...

    def compose(self, message: Claimed) -> Parcel:
        """Raises TemplateError where this message cannot be made."""

    def transport(self) -> Transport: ...


class NullTransport:
    """Takes everything and sends nothing."""

    connected = True

    def connect(self) -> None:
        pass

    def send(self, parcels: Iterable[Parcel]) -> Iterator[str | TransportError]:
        for parcel in parcels:
            yield f"250 2.0.0 taken by nobody, {len(parcel.content)} bytes"

    def close(self) -> None:
        pass
