"""Notes when a key was last used, so that one knows when nobody uses an old one any more."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Final

from horizon import clock
from horizon.postgres.database import Connection
from horizon.serving.held import Desk, Unavailable

Note = Callable[[Connection, Collection[bytes], datetime], None]

NOTED_AFTER_S: Final = 5.0  # one small statement for all keys of so many seconds


class KeyUse:
    def __init__(self, desk: Desk, note: Note) -> None:
        self._desk = desk
        self._note_use = note
        self._used: set[bytes] = set()
        self._noted: set[bytes] = set()
        self._waiting: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None

    def note(self, digest: bytes) -> None:
        self._used.add(digest)
        if digest not in self._noted:  # somebody may wait to see that it is used
            self._noted.add(digest)
            self._note_in(0.0)
        elif self._waiting is None:
            self._note_in(NOTED_AFTER_S)

    def _note_in(self, seconds: float) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
        self._waiting = asyncio.get_running_loop().call_later(seconds, self._begin)

    def _begin(self) -> None:
        self._waiting = None
        self._writing = asyncio.create_task(self._write())

    async def _write(self) -> None:
        used, self._used = self._used, set()
        if used:
            now = clock.now()
            with contextlib.suppress(Unavailable):  # the next use is noted
                await self._desk.ask(lambda tx, _: self._note_use(tx, used, now))

    async def stop(self) -> None:
        """Write what waits. A second call finds nothing to do."""
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        if self._writing is not None:
            await self._writing
        await self._write()
