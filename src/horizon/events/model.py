"""An event, and how a message of Segment's tracking API becomes one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Literal
from uuid import UUID

import msgspec

from horizon.events import ids, message
from horizon.events.context import Context, read_context, with_trouble
from horizon.events.identifying import nodes_of
from horizon.events.json_text import write
from horizon.events.kinds import BUILT_IN, Identifier, Kinds, identifier_of
from horizon.events.message import EventType as EventType
from horizon.events.proof import NO_PROOF, prove
from horizon.events.rejection import Rejected as Rejected
from horizon.events.times import TimeFlag

SourceKind = Literal["public", "server", "file", "internal"]

_ACTIVITIES = frozenset({"track", "page", "screen"})
_NONE: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Source:
    source_id: int
    name: str
    kind: SourceKind
    enabled: bool = True
    origins: tuple[str, ...] = ()  # of the web pages that may send; none: all may
    rate: float | None = None  # events a second; none: no limit
    burst: float | None = None  # events at once; none: what comes in ten seconds
    key_expires_at: datetime | None = None  # of the key that it was found by
    secrets: tuple[str, ...] = field(default=(), repr=False)  # what its users' ids are signed with

    @cached_property  # each event asks several times
    def trusted(self) -> bool:
        """Whether it may assert an e-mail address and grant consent: its key is secret."""
        return self.kind in ("server", "file", "internal")


class Event(msgspec.Struct, gc=False, kw_only=True):
    """One field a column of table ``events``, in its order; all times are UTC.

    Ids stay bytes until somebody asks: a UUID costs as much as its digest.
    """

    key: bytes  # in place of event_id: see ids.key_of
    source_id: int
    message_id: str
    type: EventType
    name: str | None = None
    user_id: str | None = None
    anonymous_id: str | None = None
    email: str | None = None
    previous_id: str | None = None
    group_id: str | None = None
    node_digests: list[bytes]  # in place of nodes
    identifiers: str | None = None
    original_timestamp: datetime | None = None
    time: datetime
    received_at: datetime
    time_flag: TimeFlag | None = None
    trusted: bool
    activity: bool
    properties: str | None = None
    traits: str | None = None
    context: str | None = None
    consent: str | None = None

    @property
    def event_id(self) -> UUID:
        return UUID(bytes=self.key[8:])

    @property
    def nodes(self) -> list[UUID]:
        return [UUID(bytes=digest) for digest in self.node_digests]


def read_message(
    item: dict[str, Any] | msgspec.Raw | bytes,
    *,
    source: Source,
    received_at: datetime,
    sent_at: datetime | None = None,
    node_key: bytes,
    message_type: str | None = None,
    context: bytes | None = None,
    kinds: Kinds = BUILT_IN,
) -> Event:
    """Read one message, as JSON or as what JSON decodes to. Raises Rejected, and nothing else.

    ``sent_at`` and ``context`` are the batch's; ``message_type`` is the address's, which wins.
    """
    read = message.decode(item)
    read.type = message_type or read.type
    around = read_context(
        context, message.present(read.context), source.trusted, message.choices_of(read), kinds
    )
    return _event_of(read, around, source, received_at, sent_at, node_key, kinds)


def _event_of(
    read: message.Message,
    around: Context,
    source: Source,
    received_at: datetime,
    sent_at: datetime | None,
    node_key: bytes,
    kinds: Kinds,
) -> Event:
    event_type, trusted = message.type_of(read), source.trusted
    user_id, anonymous_id, previous_id, group_id = message.identifiers_of(read)
    traits = message.traits_of(read) if event_type in ("identify", "group") else None
    if event_type == "identify" and not traits:  # RudderStack's SDKs have them there alone
        traits = around.traits or traits
    email = message.email_in(traits) if event_type == "identify" and trusted else None
    more: Sequence[Identifier] = around.identifiers
    if event_type == "identify" or kinds.declared:
        more = [*more, *_named_elsewhere(read, event_type, traits, source, kinds)]
    proven, trouble = NO_PROOF
    if around.voucher and not trusted:
        proven, trouble = prove(around.voucher, user_id, source.secrets, received_at)
    nodes, identifiers = nodes_of(
        node_key,
        (("user_id", user_id), ("email", email), ("anonymous_id", anonymous_id)),
        more,
        _previous(previous_id) if event_type == "alias" else None,
        _NONE if trusted else kinds.verified_only,
        proven,
    )
    message_id = message.message_id_of(read)
    original, time, flag = message.times_of(read, sent_at, received_at)
    return Event(
        key=ids.key_of(source.source_id, message_id, original),
        source_id=source.source_id,
        message_id=message_id,
        type=event_type,
        name=message.name_of(read, event_type),
        user_id=user_id,
        anonymous_id=anonymous_id,
        email=email,
        previous_id=previous_id,
        group_id=group_id,
        node_digests=nodes,
        identifiers=identifiers,
        original_timestamp=original,
        time=time,
        received_at=received_at,
        time_flag=flag,
        trusted=trusted,
        activity=event_type in _ACTIVITIES and source.kind != "internal",
        properties=message.properties_of(read),
        traits=write(traits) if traits is not None else None,
        context=with_trouble(around.text, trouble) if trouble else around.text,
        consent=around.consent,
    )


def internal_event(
    source: Source,
    name: str,
    *,
    message_id: str,
    node: UUID,
    time: datetime,
    properties: Mapping[str, object],
    original: datetime | None = None,
) -> Event:
    """What Horizon itself has to tell of a person: never an activity, once a ``message_id``.

    Without ``original`` that id is remembered for ever; with it as long as those of its day.
    """
    return Event(
        key=ids.key_of(source.source_id, message_id, original),
        source_id=source.source_id,
        message_id=message_id,
        type="track",
        name=name,
        node_digests=[node.bytes],
        original_timestamp=original,
        time=time,
        received_at=time,
        trusted=True,
        activity=False,
        properties=write(properties),
    )


def _named_elsewhere(
    read: message.Message,
    event_type: EventType,
    traits: dict[str, Any] | None,
    source: Source,
    kinds: Kinds,
) -> Iterable[Identifier]:
    """What names the person in the traits and the properties, and has no column."""
    found: list[Identifier] = []
    if event_type == "identify" and traits:
        if named := identifier_of("phone", traits.get("phone")):
            found.append(named)
        found += kinds.declared_in("traits", traits)
    if kinds.in_properties and (properties := message.properties_read(read)):
        found += kinds.declared_in("properties", properties)
    unproven = _NONE if source.trusted else kinds.unproven
    return (one for one in found if one[0] not in unproven)


def _previous(previous_id: str | None) -> list[Identifier]:
    """An alias call does not say of which kind it was."""
    named = (identifier_of(kind, previous_id) for kind in ("user_id", "anonymous_id"))
    return [identifier for identifier in named if identifier]
