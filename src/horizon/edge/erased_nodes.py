"""The tombstones as a collector has them, brought up to date by itself."""

from __future__ import annotations

from horizon.events.tombstones import Tombstones
from horizon.serving.following import Following
from horizon.serving.held import Desk, Unavailable

FRESH_S = 3.0  # what comes in so soon after an erasure, the erasure itself has to find


class ErasedNodes:
    def __init__(self, desk: Desk) -> None:
        self._tombstones = Tombstones()
        self._following = Following(desk, self._tombstones.read, FRESH_S)
        self.refuse = self._tombstones.refuse

    async def start(self) -> None:
        await self._following.once()
        self._following.start()

    async def stop(self) -> None:
        await self._following.stop()

    def known(self) -> None:
        """Raises Unavailable before the tombstones were read once."""
        if not self._tombstones.known:
            raise Unavailable
