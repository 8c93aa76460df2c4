"""Stops taking events before the database's disk is full: a full one stops PostgreSQL itself."""

from __future__ import annotations

import time
from typing import Final

from horizon.log import Logger
from horizon.postgres.room import database_folders, free_share
from horizon.serving.http import Refusal
from horizon.settings import Settings

LOOKED_S: Final = 1.0  # how old a look is at most; what comes in a second fits into the rest
RETRY_S: Final = 30


class Room:
    """Looks only at a database on this machine: PG_DSN's has to be watched where it is."""

    def __init__(self, settings: Settings, log: Logger) -> None:
        self._folders = database_folders(settings)
        self._least = settings.DISK_LEAST_FREE
        self._log = log
        self._look_s = float("-inf")
        self._full = False

    def check(self) -> None:
        """Raises Refusal where there is too little."""
        now_s = time.monotonic()
        if now_s - self._look_s >= LOOKED_S:
            self._look_s = now_s
            self._look()
        if self._full:
            raise Refusal(
                503, "disk_full_soon",
                "The database's disk is nearly full: free some of it, and send this again then.",
                {"retry-after": str(RETRY_S)},
            )  # fmt: skip

    def _look(self) -> None:
        full = any(free_share(folder) < self._least for folder in self._folders)
        if full != self._full:
            self._full = full
            say = self._log.error if full else self._log.info
            say("disk_full_soon" if full else "disk_has_room")
