"""Where links lead, kept in memory: a click is answered also while the database is away."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote

from horizon.postgres.database import Connection
from horizon.postgres.queries import Queries
from horizon.serving.following import Following
from horizon.serving.held import Desk

CAPACITY_TARGETS = 50_000
FOLLOW_S = 30.0  # how old a target is, at most, before it is known without having been clicked

_LARGEST_ID = 2**63 - 1

_queries = Queries("horizon.edge")


class Target(NamedTuple):
    url: str
    location: str  # the URL as a header may hold it: no line break, nothing outside ASCII


class Targets:
    """Targets never change, so what was read once holds."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._known: dict[int, Target] = {}
        self._newest = 0
        self._following = Following(
            desk, lambda tx, _: self._read(tx, "newer_targets", self._newest), FOLLOW_S
        )

    def start(self) -> None:
        self._following.start()

    async def stop(self) -> None:
        await self._following.stop()

    async def find(self, text: str) -> Target | None:
        """The target whose id this is. Raises Unavailable where only the database would know."""
        if not (text.isascii() and text.isdigit() and len(text) <= 19):
            return None
        target_id = int(text)
        if str(target_id) != text or target_id > _LARGEST_ID:  # one link has one spelling
            return None
        if target_id not in self._known:
            await self._desk.ask(lambda tx, _: self._read(tx, "target", target_id))
        return self._known.get(target_id)

    def _read(self, tx: Connection, query: str, target_id: int) -> None:
        values = {"target_id": target_id, "most": CAPACITY_TARGETS}
        for row in reversed(tx.execute(_queries[query], values).fetchall()):
            if len(self._known) >= CAPACITY_TARGETS:
                self._known.pop(next(iter(self._known)), None)  # the one read first
            self._known[row.target_id] = Target(row.url, _location(row.url))
            self._newest = max(self._newest, row.target_id)


def _location(url: str) -> str:
    return quote(url, safe="!#$%&'()*+,/:;=?@[]~")
