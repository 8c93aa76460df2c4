"""The sources by their keys, remembered for some seconds."""

from __future__ import annotations

import asyncio
import time

from horizon.edge.held import Desk, Unavailable
from horizon.edge.key_use import KeyUse
from horizon.events.model import Source
from horizon.events.sources import key_digest, keyed_sources

FRESH_S = 3.0  # how long a disabled source goes on
WAIT_S = 1.0  # for an answer about a key that is remembered; the database may be stuck
UNKNOWN_WAIT_S = 5.0
_APART_S = 0.2  # unknown keys can ask the database no more often than this


class KnownSources:
    def __init__(self, desk: Desk, link_key: bytes | None = None) -> None:
        self._desk = desk
        self._link_key = link_key
        self._use = KeyUse(desk)
        self._sources: dict[bytes, Source] = {}
        self._read_s = float("-inf")  # when the last reading began
        self._reading: asyncio.Task[None] | None = None

    async def find(self, key: str) -> Source | None:
        """The source of this key, disabled or not; a key that was made before the call is known.

        Raises Unavailable for a key nobody remembers while the database is away.
        """
        digest = key_digest(key)
        source = await self._find(digest)
        if source is not None:
            self._use.note(digest)
        return source

    async def stop(self) -> None:
        await self._use.stop()

    async def _find(self, digest: bytes) -> Source | None:
        asked_s = time.monotonic()
        if digest in self._sources:
            return await self._find_again(digest, asked_s)
        try:
            async with asyncio.timeout(UNKNOWN_WAIT_S):
                while digest not in self._sources and self._read_s < asked_s:
                    await self._read()
        except TimeoutError as exc:
            raise Unavailable from exc
        return self._sources.get(digest)

    async def _find_again(self, digest: bytes, asked_s: float) -> Source | None:
        remembered = self._sources[digest]
        if asked_s - self._read_s < FRESH_S:
            return remembered
        try:
            async with asyncio.timeout(WAIT_S):
                await self._read()
        except (Unavailable, TimeoutError):
            return remembered  # whether it can be written is the commit's answer
        return self._sources.get(digest)

    async def _read(self) -> None:
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read_now())
            self._reading.add_done_callback(_looked_at)
        await asyncio.shield(self._reading)  # others wait for it too

    async def _read_now(self) -> None:
        await asyncio.sleep(max(0.0, self._read_s + _APART_S - time.monotonic()))
        began_s = time.monotonic()
        self._sources = await self._desk.ask(lambda tx, _: keyed_sources(tx, self._link_key))
        self._read_s = began_s


def _looked_at(task: asyncio.Task[None]) -> None:
    """Who waited may have gone, and asyncio complains of an end that nobody asks for."""
    if not task.cancelled():
        task.exception()
