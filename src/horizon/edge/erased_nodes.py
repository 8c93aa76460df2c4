"""Who was erased: what is sent of them later, and happened before, is not taken again."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import datetime

import psycopg

from horizon.edge.held import Desk, Unavailable
from horizon.events.model import Event
from horizon.events.nodes import node_bytes
from horizon.events.rejection import Rejected
from horizon.postgres.database import Connection
from horizon.postgres.queries import Queries

FRESH_S = 3.0  # what comes in so soon after an erasure, the erasure itself has to find
_BEFORE_ALL = "1:1:"  # a snapshot that sees nothing

_queries = Queries("horizon.edge")


class ErasedNodes:
    """Tombstones are never taken away, so only new ones are read; 100,000 take 20 MB."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._erased: dict[bytes, datetime] = {}
        self._era: int | None = None  # none: nothing was read yet
        self._seen = _BEFORE_ALL
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self._follow_once()
        self._task = asyncio.get_running_loop().create_task(self._follow())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def known(self) -> None:
        """Raises Unavailable before the tombstones were read once."""
        if self._era is None:
            raise Unavailable

    def refuse(self, event: Event, node_key: bytes) -> None:
        """Raises Rejected for what an erased person did before the erasure, and for what names one
        as who somebody was before."""
        if not self._erased:
            return
        before = [
            node_bytes(node_key, kind, event.previous_id)
            for kind in ("user_id", "anonymous_id")
            if event.previous_id is not None
        ]
        for node in (*event.node_digests, *before):
            erased_at = self._erased.get(node)
            if erased_at is not None and event.time < erased_at:
                raise Rejected(
                    "erased", "The person was erased after this event: do not send it again."
                )

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(FRESH_S)
            await self._follow_once()

    async def _follow_once(self) -> None:
        with suppress(Unavailable, psycopg.Error):
            await self._desk.ask(self._read)

    def _read(self, tx: Connection, era: int) -> None:
        seen = self._seen if era == self._era else _BEFORE_ALL  # ids are of one server alone
        rows = tx.execute(_queries["newly_erased"], {"seen": seen}).fetchall()
        self._erased.update((row.node.bytes, row.erased_at) for row in rows if row.node is not None)
        self._seen, self._era = rows[0].until, era
