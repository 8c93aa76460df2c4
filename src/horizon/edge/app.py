"""The edge's ASGI application: which address is answered by whom."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from horizon.edge.room import Room
from horizon.edge.segment import CALLS, SegmentApi
from horizon.edge.sites import Sites
from horizon.edge.watch import Watch
from horizon.log import Logger
from horizon.postgres.database import Connection
from horizon.postgres.queries import Queries
from horizon.serving.application import Application
from horizon.serving.held import Desk, Unavailable
from horizon.serving.http import (
    Refusal,
    Reply,
    Request,
    json_reply,
    unavailable,
)

READY_TIMEOUT_S = 2.0

_queries = Queries("horizon.edge")


class Life(Protocol):
    """What is to be done before the first request and after the last."""

    async def start(self) -> None: ...
    async def stop(self) -> None: ...


# What answers the signed links of one kind; it is given what follows their beginning.
Link = Callable[[Request, str], Awaitable[Reply]]


class App(Application):
    """``links`` by what their addresses begin with: "/u/"."""

    def __init__(
        self, segment: SegmentApi, links: Mapping[str, Link], desk: Desk, life: Life, log: Logger,
        room: Room, watch: Watch | None = None, sites: Sites | None = None,
    ) -> None:  # fmt: skip
        super().__init__(log)
        self._segment = segment
        self._links = links
        self._desk = desk
        self._life = life
        self._watch = watch or Watch()
        self._room = room
        self._sites = sites

    async def start(self) -> None:
        await self._life.start()

    async def stop(self) -> None:
        await self._life.stop()
        self._watch.write()

    def answered(self, request: Request, reply: Reply, seconds: float) -> None:
        self._watch.request(request.path, reply.status, seconds)

    async def route(self, request: Request) -> Reply:
        path = request.path
        if path.startswith("/v1/") and path[4:] in CALLS:
            return await self._segment.answer(request, CALLS[path[4:]])
        if path[:3] in self._links:
            return await self._links[path[:3]](request, path[3:])
        if path == "/healthz":
            return json_reply(200, {"status": "ok"})
        if path == "/readyz":
            return await self._ready()
        if self._sites and (reply := await self._sites.answer(request)):
            return reply
        return Refusal(
            404, "not_found", "There is nothing at this address: send events to /v1/batch."
        ).reply()

    async def _ready(self) -> Reply:
        """Whether an event could be committed now."""
        try:
            self._room.check()
            self._segment.check_ready()
            writable = await asyncio.wait_for(self._desk.ask(_can_commit), READY_TIMEOUT_S)
        except (Unavailable, TimeoutError):
            writable = False
        except Refusal as refusal:
            return refusal.reply()
        return json_reply(200, {"status": "ready"}) if writable else unavailable().reply()


def _can_commit(tx: Connection, _: int) -> bool:
    row = tx.execute(_queries["can_commit"]).fetchone()
    return row is not None and bool(row.writable)
