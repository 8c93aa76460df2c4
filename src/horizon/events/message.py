"""A message of Segment's tracking API: its fields, each read within its limits."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any, Literal, NamedTuple, cast, get_args

import msgspec

from horizon.events.json_text import read_object, write
from horizon.events.kinds import EMAIL
from horizon.events.rejection import Rejected
from horizon.events.times import TimeFlag, read_time, settle

EventType = Literal["track", "page", "screen", "identify", "group", "alias"]

EVENT_BYTES = 32_768
ID_LENGTH = 512
NAME_LENGTH = 512
MESSAGE_ID_LENGTH = 100

_TYPES = frozenset(get_args(EventType))
_NULL = msgspec.Raw(b"null")
_EVERYWHERE = frozenset({b"null", b"{}", b'{"All":true}', b'{"All": true}'})

Id = str | int | float | None


class Identifiers(NamedTuple):
    user_id: str | None
    anonymous_id: str | None
    previous_id: str | None
    group_id: str | None


class Message(msgspec.Struct, rename="camel", gc=False):
    type: str | None = None
    message_id: str | None = None
    user_id: Id = None
    anonymous_id: Id = None
    event: str | None = None
    name: str | None = None
    category: str | None = None
    previous_id: Id = None
    group_id: Id = None
    timestamp: Any = None
    original_timestamp: Any = None  # how RudderStack's Node SDK names it
    sent_at: Any = None
    properties: msgspec.Raw = _NULL
    traits: msgspec.Raw = _NULL
    context: msgspec.Raw = _NULL
    integrations: msgspec.Raw = _NULL


class _Timely(Message, gc=False):
    """A message whose times are ISO 8601: decoded with the rest they cost a third."""

    timestamp: datetime | None = None
    sent_at: datetime | None = None


_decode_timely = msgspec.json.Decoder(_Timely).decode
_decode = msgspec.json.Decoder(Message).decode


def _as_json(item: dict[str, Any] | msgspec.Raw | bytes) -> bytes:
    if isinstance(item, dict):
        try:
            body = msgspec.json.encode(item)
        except (TypeError, ValueError, OverflowError, RecursionError) as exc:
            raise Rejected(
                "invalid_event", "The event cannot be written as JSON: look at its values."
            ) from exc
    else:
        body = bytes(item)
    if len(body) > EVENT_BYTES:
        raise Rejected(
            "event_too_large",
            f"The event has {len(body)} bytes: send at most {EVENT_BYTES}.",
        )
    return body


def decode(item: dict[str, Any] | msgspec.Raw | bytes) -> Message:
    """Raises Rejected for what is no message at all."""
    body = _as_json(item)
    try:
        return _decode_timely(body)
    except (ValueError, RecursionError):
        return _decode_odd(body)


def _decode_odd(body: bytes) -> Message:
    try:
        return _decode(body)
    except msgspec.ValidationError as exc:
        raise Rejected("invalid_event", f"{exc}: send it so.") from exc
    except RecursionError as exc:
        raise Rejected("nested_too_deep", "The event is nested too deep: flatten it.") from exc
    except ValueError as exc:  # JSON that is malformed, or not UTF-8
        raise Rejected("invalid_event", "The event is not JSON in UTF-8: encode it so.") from exc


def type_of(message: Message) -> EventType:
    if message.type in _TYPES:
        return cast(EventType, message.type)
    raise Rejected("invalid_type", f"type must be one of {', '.join(sorted(_TYPES))}.")


def identifiers_of(message: Message) -> Identifiers:
    user_id = _identifier(message.user_id, "userId")
    anonymous_id = _identifier(message.anonymous_id, "anonymousId")
    if user_id is None and anonymous_id is None:
        raise Rejected("no_user_anon_id", "The event has neither userId nor anonymousId: add one.")
    return Identifiers(
        user_id,
        anonymous_id,
        _identifier(message.previous_id, "previousId"),
        _identifier(message.group_id, "groupId"),
    )


def _identifier(value: Id, field: str) -> str | None:
    if value is None:
        return None
    text = value.strip() if isinstance(value, str) else _number_text(value, field)
    if "\0" in text:
        raise Rejected("invalid_id", f"{field} holds a NUL character: take it out.")
    if len(text) > ID_LENGTH:
        raise Rejected("invalid_id", f"{field} has more than {ID_LENGTH} characters: shorten it.")
    return text or None


def _number_text(value: float, field: str) -> str:
    """A number as its sender means it: 12.0 and 12 are one identifier."""
    try:
        whole = int(value)
        return str(whole if whole == value else value)
    except (ValueError, OverflowError) as exc:  # infinite, or more digits than Python prints
        raise Rejected("invalid_id", f"{field} is too large a number: send it as text.") from exc


def message_id_of(message: Message) -> str:
    message_id = message.message_id
    if not message_id or not message_id.strip():
        return str(uuid.uuid4())
    if len(message_id) > MESSAGE_ID_LENGTH or "\0" in message_id:
        raise Rejected(
            "invalid_message_id",
            f"messageId must have at most {MESSAGE_ID_LENGTH} characters and no NUL.",
        )
    return message_id


def name_of(message: Message, event_type: EventType) -> str | None:
    name = message.event if event_type == "track" else message.name
    if event_type == "track" and (not name or not name.strip()):
        raise Rejected("no_event_name", "A track call needs its event's name in `event`.")
    if name and (len(name) > NAME_LENGTH or "\0" in name):
        raise Rejected(
            "invalid_name", f"The name must have at most {NAME_LENGTH} characters and no NUL."
        )
    return name or None


def times_of(
    message: Message, sent_at: datetime | None, received_at: datetime
) -> tuple[datetime | None, datetime, TimeFlag | None]:
    said = message.original_timestamp if message.timestamp in (None, "") else message.timestamp
    original = read_time(said)
    if original is None and said not in (None, ""):
        return None, received_at, "unreadable"
    time, flag = settle(original, sent_at or read_time(message.sent_at), received_at)
    return original, time, flag


def choices_of(message: Message) -> bytes | None:
    """Where the sender wants the event to go; None for everywhere, as nearly all say."""
    body = bytes(message.integrations)
    return None if body in _EVERYWHERE else body


def present(raw: msgspec.Raw) -> bytes | None:
    body = bytes(raw)
    return None if body == b"null" else body


def properties_of(message: Message) -> str | None:
    """The text as it came. A page's category joins it, in front: a property of its own wins."""
    body = present(message.properties)
    if body is not None and not body.startswith(b"{"):
        raise Rejected("invalid_event", "properties is not an object: send it as {...}.")
    try:
        text = body.decode() if body is not None else None
    except UnicodeDecodeError as exc:
        raise Rejected("invalid_event", "properties is not UTF-8: encode it so.") from exc
    if not message.category:
        return text
    rest = (text or "{}")[1:].lstrip()
    return f'{{"category":{write(message.category)}{"" if rest == "}" else ","}{rest}'


def properties_read(message: Message) -> Any:
    """For identifiers that stand there; properties are otherwise kept as they came, unread."""
    try:
        return msgspec.json.decode(message.properties)
    except (ValueError, RecursionError):
        return None


def traits_of(message: Message) -> dict[str, Any] | None:
    body = present(message.traits)
    return None if body is None else read_object(body, "traits")


def email_in(traits: dict[str, Any] | None) -> str | None:
    email = (traits or {}).get("email")
    if not isinstance(email, str) or not EMAIL.fullmatch(email.strip()):
        return None
    return email.strip()
