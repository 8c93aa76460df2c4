"""What the edge remembers of a table, brought up to date by itself."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import psycopg

from horizon.serving.held import Desk, Unavailable, Work


class Following:
    """Asks every ``every_s`` seconds; while the database is away, what was read last holds."""

    def __init__(self, desk: Desk, read: Work[None], every_s: float) -> None:
        self._desk = desk
        self._read = read
        self._every_s = every_s
        self._task: asyncio.Task[None] | None = None

    async def once(self) -> None:
        with suppress(Unavailable, psycopg.Error):
            await self._desk.ask(self._read)

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._follow())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _follow(self) -> None:
        while True:
            await self.once()
            await asyncio.sleep(self._every_s)
