"""An event as a message of Segment's tracking API, and the mark of who sent it on. Pure."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from horizon.events.context import TROUBLE
from horizon.keys import Keys

MARK = "horizon"  # in the event's context: {"horizon": {"forwarded": ["INSTALLATION", ...]}}
_MARK_TEXT = '"horizon"'
_CHOICES_TEXT = '"integrations":'
_TROUBLE_TEXT = f'"{TROUBLE}":'


class Row(NamedTuple):
    """An event as the query ``page`` gives it. Texts of JSON are objects."""

    era: int
    tx: str
    received_at: datetime
    time: datetime
    event_id: UUID
    message_id: str
    type: str
    name: str | None
    user_id: str | None
    anonymous_id: str | None
    previous_id: str | None
    group_id: str | None
    properties: str | None
    traits: str | None
    context: str | None


class Message(msgspec.Struct, rename="camel", omit_defaults=True, gc=False):
    type: str
    message_id: str
    timestamp: str
    event: str | None = None
    name: str | None = None
    user_id: str | None = None
    anonymous_id: str | None = None
    previous_id: str | None = None
    group_id: str | None = None
    properties: msgspec.Raw | None = None
    traits: msgspec.Raw | None = None
    context: msgspec.Raw | None = None
    integrations: msgspec.Raw | None = None


_encode = msgspec.json.Encoder().encode


def installation_id(keys: Keys, database: str) -> str:
    """Tells this installation from others, and nothing else of it."""
    name = f"horizon.installation:{database}".encode()
    return hashlib.blake2b(name, key=keys.link, digest_size=8).hexdigest()


def message_of(row: Row, installation: str) -> bytes:
    """The message's JSON.

    ``timestamp`` is our time of the event, out of which the client's clock error is taken already.
    There is no ``sentAt`` on purpose: a receiver would take it for the client's clock and move the
    time by as long as the event was on its way from us to it.
    """
    tracked = row.type == "track"
    context, integrations = _apart(row.context)
    return _encode(
        Message(
            row.type,
            row.message_id,
            row.time.replace(tzinfo=None).isoformat() + "Z",
            row.name if tracked else None,
            None if tracked else row.name,
            row.user_id,
            row.anonymous_id,
            row.previous_id,
            row.group_id,
            _raw(row.properties),
            _raw(row.traits),
            msgspec.Raw(marked(context, installation)),
            _raw(integrations),
        )
    )


def _apart(context: str | None) -> tuple[str | None, str | None]:
    """The context as it came, and the call's integrations that were kept in it."""
    if context is None or (_CHOICES_TEXT not in context and _TROUBLE_TEXT not in context):
        return context, None
    read = json.loads(context)
    if read.pop(TROUBLE, None) is not None:
        context = _write(read)
    choices = read.pop("integrations", None)
    if not isinstance(choices, dict):
        return context, None
    return _write(read), _write(choices)


def _write(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _raw(text: str | None) -> msgspec.Raw | None:
    return None if text is None else msgspec.Raw(text)


def marked(context: str | None, installation: str) -> str:
    """The context with this installation among those that sent the event on."""
    ours = f'{{"{MARK}":{{"forwarded":["{installation}"]}}'
    if context is None or context == "{}":
        return ours + "}"
    if _MARK_TEXT not in context:
        return f"{ours},{context[1:]}"
    read = json.loads(context)  # msgspec takes no number beyond a double
    mark = read.get(MARK)
    kept = dict(mark) if isinstance(mark, dict) else {}
    read[MARK] = {**kept, "forwarded": [*_been_in(mark), installation]}
    return _write(read)


def has_been(context: str | None, installation: str) -> bool:
    """Whether this installation sent it on once: it came back, and would go round for ever."""
    if context is None or installation not in context:
        return False
    return installation in _been_in(json.loads(context).get(MARK))


def _been_in(mark: Any) -> list[Any]:
    found = mark.get("forwarded") if isinstance(mark, dict) else None
    return found if isinstance(found, list) else []
