"""Segment's HTTP tracking API, as its unmodified SDKs speak it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import msgspec

from horizon import clock
from horizon.edge.admission import Admission
from horizon.edge.erased_nodes import ErasedNodes
from horizon.edge.group_commit import Full, GroupCommit, NotStorable
from horizon.edge.room import Room
from horizon.events.json_text import cut_deep, without_lone_surrogates, without_no_numbers
from horizon.events.kinds import BUILT_IN, Kinds
from horizon.events.model import Source, read_message
from horizon.events.rejection import Rejected, RejectedEvent, refused
from horizon.events.rows import Row, row_of
from horizon.events.times import read_time
from horizon.serving.held import Unavailable
from horizon.serving.http import Refusal, Reply, Request, busy, json_reply, unavailable

BODY_BYTES = 512_000
BATCH_EVENTS = 2_500
# A batch's context is stored with each of its events: 512,000 bytes could become a gigabyte.
CONTEXT_BYTES = 32_768
REPEATED_BYTES = 4_000_000
KEY_HEADER_BYTES = 1_000  # a key has 200 characters at most
EVENT_LEVELS = 200  # of an event in a batch that is nested too deep to be read at once

BATCH = "batch"
CALL_NAMES = ("track", "identify", "page", "screen", "group", "alias")
CALLS = {
    **{name: name for name in CALL_NAMES},
    **{name[0]: name for name in CALL_NAMES},
    **dict.fromkeys(("batch", "import", "b"), BATCH),
}

_CORS = {"access-control-allow-origin": "*", "access-control-expose-headers": "Retry-After"}
_PREFLIGHT = {
    **_CORS,
    "access-control-allow-methods": "POST, OPTIONS",
    "access-control-allow-headers": "authorization, content-type, content-encoding, x-retry-count",
    "access-control-max-age": "86400",
}
_NULL = msgspec.Raw(b"null")
_MICROSECOND = timedelta(microseconds=1)
_ACCEPTED = json_reply(200, {"success": True, "rejected": []}, _CORS)


class _Envelope(msgspec.Struct, rename="camel"):
    write_key: Any = None


class _Batch(_Envelope, rename="camel", kw_only=True):
    batch: list[msgspec.Raw]
    sent_at: Any = None
    context: msgspec.Raw = _NULL


_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_batch = msgspec.json.Decoder(_Batch).decode


class SegmentApi:
    def __init__(
        self,
        commit: GroupCommit,
        admission: Admission,
        erased: ErasedNodes,
        room: Room,
        node_key: bytes,
        kinds: Kinds = BUILT_IN,
    ) -> None:
        self._commit = commit
        self._admission = admission
        self._erased = erased
        self._room = room
        self._node_key = node_key
        self._kinds = kinds

    async def answer(self, request: Request, call: str) -> Reply:
        """``call`` is a value of CALLS."""
        if request.method == "OPTIONS":
            return Reply(204, headers=_PREFLIGHT)
        try:
            return await self._take(request, call)
        except Refusal as refusal:
            reply = refusal.reply()
        except Full:
            reply = busy().reply()
        except Unavailable:
            reply = unavailable().reply()
        except NotStorable:
            reply = Refusal(500, "not_stored", "The events could not be stored: report it.").reply()
        return Reply(reply.status, reply.body, {**reply.headers, **_CORS})

    def check_ready(self) -> None:
        """Raises Refusal, Unavailable where no event would be taken now."""
        self._erased.known()
        if self._commit.full:
            raise busy()
        if self._commit.stuck:
            raise Unavailable

    async def _take(self, request: Request, call: str) -> Reply:
        if request.method != "POST":
            raise Refusal(405, "wrong_method", "Send events with POST.", {"allow": "POST, OPTIONS"})
        if self._commit.full:  # before its body is read into memory
            raise Full
        self._room.check()
        body = await request.read(BODY_BYTES)
        key = _basic_key(request.headers.get(b"authorization", b""))
        # Where the key comes first, nobody without one has a body decoded.
        source = await self._admission.source(key, request.headers) if key else None
        envelope, body = _decode(body, call, request.headers.get(b"content-type", b""))
        if source is None:
            key = _key_in(envelope)
            source = await self._admission.source(key, request.headers)
        self._erased.known()
        events = len(envelope.batch) if isinstance(envelope, _Batch) else 1
        self._admission.charge(source, events)
        reader = _Reader(source, key, self._erased, self._node_key, self._kinds, clock.now())
        if isinstance(envelope, _Batch):
            reader.read_batch(envelope)
        else:
            reader.read(0, body, message_type=call)
        try:
            await self._commit.commit(
                reader.events, reader.rejected, reader.received_at, len(body) + _repeated(envelope)
            )
        except (Full, Unavailable):
            self._admission.give_back(source, events)
            raise
        return _taken(reader.rejected) if reader.rejected else _ACCEPTED


class _Reader:
    """Reads a request's messages: the good ones are kept, the bad ones noted."""

    def __init__(
        self,
        source: Source,
        key: str,
        erased: ErasedNodes,
        node_key: bytes,
        kinds: Kinds,
        received_at: datetime,
    ) -> None:
        self.events: list[Row] = []
        self.rejected: list[RejectedEvent] = []
        self._source = source
        self._key = key
        self._erased = erased
        self._node_key = node_key
        self._kinds = kinds
        self.received_at = received_at

    def read_batch(self, batch: _Batch) -> None:
        sent_at = read_time(batch.sent_at)
        context = None if batch.context == _NULL else bytes(batch.context)
        for index, item in enumerate(batch.batch):
            self.read(index, item, sent_at=sent_at, context=context)

    def read(
        self,
        index: int,
        item: msgspec.Raw | bytes,
        *,
        sent_at: datetime | None = None,
        context: bytes | None = None,
        message_type: str | None = None,
    ) -> None:
        # A microsecond each keeps the order of a request, whose events may have one timestamp.
        received_at = self.received_at + index * _MICROSECOND
        try:
            event = read_message(
                item, source=self._source, received_at=received_at, sent_at=sent_at,
                node_key=self._node_key, message_type=message_type, context=context,
                kinds=self._kinds,
            )  # fmt: skip
            self._erased.refuse(event, self._node_key)
        except Rejected as reason:
            self.rejected.append(refused(
                self._source.source_id, received_at, index, reason, bytes(item),
                key=self._key, call=message_type, sent_at=sent_at, context=context,
            ))  # fmt: skip
        else:
            self.events.append(row_of(event))


def _taken(rejected: Sequence[RejectedEvent]) -> Reply:
    told = [
        {"index": event.position, "code": event.code, "message": event.message}
        for event in rejected
    ]
    return json_reply(200, {"success": True, "rejected": told}, _CORS)


def _decode(body: bytes, call: str, content_type: bytes) -> tuple[_Envelope, bytes]:
    """The request's frame, and its body as it could be read. Raises Refusal.

    Whatever its type is said to be: browsers send JSON as text, and curl as a form.
    """
    decode = _decode_batch if call == BATCH else _decode_envelope
    try:
        try:
            envelope = decode(body)
        except RecursionError:
            envelope = _decode_around_deep(body, decode)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            body = without_no_numbers(without_lone_surrogates(body))
            envelope = decode(body)
    except msgspec.ValidationError as exc:
        raise Refusal(400, "invalid_request", f"{exc}: send it so.") from exc
    except RecursionError as exc:
        raise Refusal(400, "nested_too_deep", "The JSON is nested too deep: flatten it.") from exc
    except ValueError as exc:
        if content_type.lower().startswith((b"multipart/", b"application/x-www-form")):
            raise Refusal(400, "not_json", "The body is a form: send JSON in its place.") from exc
        raise Refusal(400, "malformed_json", f"{exc}: send JSON in UTF-8.") from exc
    if isinstance(envelope, _Batch):
        _check_size(envelope)
    return envelope, body


def _decode_around_deep(body: bytes, decode: Callable[[bytes], _Envelope]) -> _Envelope:
    """One event that is nested without end must not cost the others of its batch."""
    readable, deep = cut_deep(body, level=2, most=EVENT_LEVELS)
    envelope = decode(readable)
    if not isinstance(envelope, _Batch):
        raise RecursionError
    taken = [deep.pop(bytes(item), None) for item in envelope.batch]
    if deep:  # somewhere else than in the events
        raise RecursionError
    for index, item in enumerate(taken):
        if item is not None:
            envelope.batch[index] = msgspec.Raw(item)  # refused, with itself as its body
    return envelope


def _check_size(batch: _Batch) -> None:
    if len(batch.batch) > BATCH_EVENTS:
        raise Refusal(400, "too_many_events", f"Send at most {BATCH_EVENTS} events at once.")
    if len(batch.context) > CONTEXT_BYTES or _repeated(batch) > REPEATED_BYTES:
        raise Refusal(
            400, "context_too_large",
            "The batch's context counts with each of its events: send it smaller, or fewer events.",
        )  # fmt: skip


def _repeated(envelope: _Envelope) -> int:
    """How many bytes of context its events hold together."""
    return len(envelope.context) * len(envelope.batch) if isinstance(envelope, _Batch) else 0


def _basic_key(header: bytes) -> str:
    """The user of HTTP Basic; empty where there is none. A Bearer token says nothing to us."""
    return _user_of(header) if len(header) <= KEY_HEADER_BYTES else ""


@lru_cache(maxsize=1024)
def _user_of(header: bytes) -> str:
    scheme, _, credentials = header.partition(b" ")
    if scheme.lower() != b"basic":
        return ""
    try:
        text = base64.b64decode(credentials.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        return ""
    return text.partition(":")[0].strip()


def _key_in(envelope: _Envelope) -> str:
    return envelope.write_key.strip() if isinstance(envelope.write_key, str) else ""
