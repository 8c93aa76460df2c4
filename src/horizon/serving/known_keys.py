"""What each key opens, remembered for some seconds: the collector's sources, the API's tokens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from horizon.events.sources import key_digest
from horizon.postgres.database import Connection
from horizon.serving.held import Desk, Unavailable
from horizon.serving.key_use import KeyUse, Note

T = TypeVar("T")

FRESH_S = 3.0  # how long a disabled one goes on
WAIT_S = 1.0  # for an answer about a key that is remembered; the database may be stuck
UNKNOWN_WAIT_S = 5.0
_APART_S = 0.2  # unknown keys can ask the database no more often than this


class KnownKeys(Generic[T]):
    """``read`` gives all there are by their keys' digests, disabled ones too."""

    def __init__(
        self, desk: Desk, read: Callable[[Connection], Mapping[bytes, T]], note: Note
    ) -> None:
        self._desk = desk
        self._read_all = read
        self._use = KeyUse(desk, note)
        self._known: Mapping[bytes, T] = {}
        self._read_s = float("-inf")  # when the last reading began
        self._reading: asyncio.Task[None] | None = None

    async def find(self, key: str) -> T | None:
        """What this key opens, disabled or not; a key that was made before the call is known.

        Raises Unavailable for a key nobody remembers while the database is away.
        """
        digest = key_digest(key)
        found = await self._find(digest)
        if found is not None:
            self._use.note(digest)
        return found

    async def stop(self) -> None:
        await self._use.stop()

    async def _find(self, digest: bytes) -> T | None:
        asked_s = time.monotonic()
        if digest in self._known:
            return await self._find_again(digest, asked_s)
        try:
            async with asyncio.timeout(UNKNOWN_WAIT_S):
                while digest not in self._known and self._read_s < asked_s:
                    await self._read()
        except TimeoutError as exc:
            raise Unavailable from exc
        return self._known.get(digest)

    async def _find_again(self, digest: bytes, asked_s: float) -> T | None:
        remembered = self._known[digest]
        if asked_s - self._read_s < FRESH_S:
            return remembered
        try:
            async with asyncio.timeout(WAIT_S):
                await self._read()
        except (Unavailable, TimeoutError):
            return remembered  # whether it can be written is the commit's answer
        return self._known.get(digest)

    async def _read(self) -> None:
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read_now())
            self._reading.add_done_callback(_looked_at)
        await asyncio.shield(self._reading)  # others wait for it too

    async def _read_now(self) -> None:
        await asyncio.sleep(max(0.0, self._read_s + _APART_S - time.monotonic()))
        began_s = time.monotonic()
        self._known = await self._desk.ask(lambda tx, _: self._read_all(tx))
        self._read_s = began_s


def _looked_at(task: asyncio.Task[None]) -> None:
    """Who waited may have gone, and asyncio complains of an end that nobody asks for."""
    if not task.cancelled():
        task.exception()
