"""The profile API's ASGI application: which address is answered by what."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec

from horizon.api import guard, parts, shapes
from horizon.api.address import Identifier, Query, path_of, read_identifier
from horizon.api.readers import Readers
from horizon.api.scopes import Scope
from horizon.api.tokens import Token
from horizon.events.kinds import kind_named
from horizon.events.nodes import node_of
from horizon.log import Logger
from horizon.postgres.database import Connection
from horizon.serving.application import Application
from horizon.serving.held import Unavailable
from horizon.serving.http import JSON, Refusal, Reply, Request, json_reply
from horizon.serving.known_keys import KnownKeys
from horizon.serving.requests import Requests

PROFILES: Final = b"/v1/profiles/"
OPENAPI: Final = b"/v1/openapi.json"
NUMBERED: Final = "profile_id"  # in a KIND's place: the profile by its number
BODY_BYTES: Final = 1_000_000  # which a question does not have; a client that sends one is answered
_METHODS: Final = ("GET", "HEAD")
_LARGEST: Final = 2**63 - 1
# What is said of people stays between the API and who asked.
_HEADERS: Final = {**JSON, "cache-control": "no-store"}


class Api(Application):
    def __init__(
        self, readers: Readers, known: KnownKeys[Token], node_key: bytes, document: bytes,
        log: Logger, requests: Requests, close: Callable[[], None],
    ) -> None:  # fmt: skip
        super().__init__(log)
        self._readers = readers
        self._known = known
        self._node_key = node_key
        self._document = Reply(200, document, JSON)
        self._requests = requests
        self._close = close

    async def start(self) -> None:
        self._readers.start()

    async def stop(self) -> None:
        await self._known.stop()
        self._readers.stop()
        self._close()
        self._requests.write()

    def answered(self, request: Request, reply: Reply, seconds: float) -> None:
        self._requests.count(_route(request), reply.status, seconds)

    def refused(self, refusal: Refusal) -> Reply:
        fault = shapes.Error(shapes.Fault(refusal.code, refusal.message))
        return json_reply(refusal.status, fault, refusal.headers)

    async def route(self, request: Request) -> Reply:
        try:
            return await self._found(request)
        except Refusal as refusal:
            return self.refused(refusal)
        except Unavailable:
            return self.refused(
                Refusal(
                    503, "unavailable", "Nothing can be read just now: ask again.",
                    {"retry-after": "2"},
                )
            )  # fmt: skip

    async def _found(self, request: Request) -> Reply:
        answers: Mapping[bytes, Callable[[], Awaitable[Reply]]] = {
            b"/healthz": self._healthy, b"/readyz": self._ready, OPENAPI: self._described,
        }  # fmt: skip
        await request.skip(BODY_BYTES)
        answer = answers.get(request.raw_path)
        if answer is None and not request.raw_path.startswith(PROFILES):
            raise _nothing_here()
        if request.method not in _METHODS:
            raise Refusal(
                405, "wrong_method", "This is read with GET.", {"allow": ", ".join(_METHODS)}
            )
        return await (answer() if answer else self._profile(request))

    async def _profile(self, request: Request) -> Reply:
        named, slash, name = request.raw_path[len(PROFILES) :].partition(b"/")
        part = parts.PARTS.get(name.decode("latin-1"))
        if slash and part is None:
            raise _nothing_here()
        scope = part.scope if part else Scope.PROFILES
        token = await guard.check(self._known, request.headers, scope)
        identifier = read_identifier(named)
        read = self._read(part, identifier, Query(request.query), token)
        found = await self._readers.ask(lambda tx: _answer(tx, identifier, self._node_key, read))
        return Reply(200, found, _HEADERS)

    def _read(
        self, part: parts.Part | None, identifier: Identifier, query: Query, token: Token
    ) -> Callable[[Connection, int], msgspec.Struct | None]:
        path = path_of(identifier)
        if part is not None:
            return part.prepare(query, f"{path}/{part.name}")
        query.done("no parameters")
        links = {
            one.name: f"{path}/{one.name}"
            for one in parts.PARTS.values()
            if one.scope in token.scopes
        }
        return lambda tx, profile_id: parts.whole(tx, profile_id, links)

    async def _described(self) -> Reply:
        return self._document

    async def _healthy(self) -> Reply:
        return json_reply(200, {"status": "ok"})

    async def _ready(self) -> Reply:
        """Whether a profile could be read now."""
        await self._readers.ask(parts.can_read)
        return json_reply(200, {"status": "ready"})


def _answer(
    tx: Connection,
    identifier: Identifier,
    node_key: bytes,
    read: Callable[[Connection, int], msgspec.Struct | None],
) -> bytes:
    profile_id = _profile_id(tx, identifier, node_key)
    found = None if profile_id is None else read(tx, profile_id)
    if found is None:
        raise Refusal(
            404, "unknown_profile", "No profile has this identifier: look at its kind and value, "
            "or ask again when its first event was worked off."
        )  # fmt: skip
    return msgspec.json.encode(found)


def _profile_id(tx: Connection, identifier: Identifier, node_key: bytes) -> int | None:
    """Raises Refusal."""
    if identifier.kind == NUMBERED:
        text = identifier.value
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0
        return parts.profile_numbered(tx, number) if 0 < number <= _LARGEST else None
    kind = kind_named(identifier.kind)
    if kind is None:
        raise Refusal(
            404, "unknown_kind", "No identifier is of this kind: there are user_id, email, phone, "
            "anonymous_id, device_id, advertising_id, and those of your external ids."
        )  # fmt: skip
    profile_id, dead = parts.profile_of(tx, node_of(node_key, kind, identifier.value))
    if dead in ("hub", "blocked"):
        raise Refusal(
            404, "shared_identifier", "This identifier is of too many people, or of nobody: ask "
            "by another one."
        )  # fmt: skip
    return None if dead else profile_id


def _route(request: Request) -> str:
    """One of few: a label of the counters."""
    if not request.raw_path.startswith(PROFILES):
        return "openapi" if request.raw_path == OPENAPI else "other"
    _, slash, name = request.raw_path[len(PROFILES) :].partition(b"/")
    part = parts.PARTS.get(name.decode("latin-1"))
    return "other" if slash and part is None else part.name if part else "profile"


def _nothing_here() -> Refusal:
    return Refusal(
        404, "not_found", "There is nothing at this address: GET /v1/profiles/KIND:VALUE, or "
        "/v1/openapi.json for what there is."
    )  # fmt: skip
