"""Who was erased: what is sent of them later, and happened before, is not taken again."""

from __future__ import annotations

from datetime import datetime

from horizon.events.model import Event
from horizon.events.nodes import node_bytes
from horizon.events.rejection import Rejected
from horizon.postgres.database import Connection
from horizon.postgres.queries import Queries

_BEFORE_ALL = "1:1:"  # a snapshot that sees nothing

_queries = Queries("horizon.events")


class Tombstones:
    """They are never taken away, so only new ones are read; 100,000 take 20 MB."""

    def __init__(self) -> None:
        self._erased: dict[bytes, datetime] = {}
        self._era: int | None = None  # none: nothing was read yet
        self._seen = _BEFORE_ALL

    @property
    def known(self) -> bool:
        return self._era is not None

    def read(self, tx: Connection, era: int) -> None:
        """Those that are committed and were not read yet."""
        seen = self._seen if era == self._era else _BEFORE_ALL  # ids are of one server alone
        rows = tx.execute(_queries["newly_erased"], {"seen": seen}).fetchall()
        self._erased.update((row.node.bytes, row.erased_at) for row in rows if row.node is not None)
        self._seen, self._era = rows[0].until, era

    def refuse(self, event: Event, node_key: bytes) -> None:
        """Raises Rejected for what an erased person did before the erasure, and for what names one
        without belief: by a claim, or as who somebody was before."""
        if not self._erased:
            return
        named = [("user_id", event.previous_id), ("anonymous_id", event.previous_id)]
        if event.identifiers is not None:  # else all of them are nodes
            named += [("user_id", event.user_id), ("anonymous_id", event.anonymous_id)]
        claimed = [node_bytes(node_key, kind, value) for kind, value in named if value is not None]
        for node in (*event.node_digests, *claimed):
            erased_at = self._erased.get(node)
            if erased_at is not None and event.time < erased_at:
                raise Rejected(
                    "erased", "The person was erased after this event: do not send it again."
                )
