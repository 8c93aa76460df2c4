"""A graph for tests of what is shown of it: its rows as the identity stage leaves them, by hand."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from horizon.events.nodes import node_of
from tests.world import DAY, NOW, World


class Graph:
    def __init__(self, world: World) -> None:
        self.world = world
        self.key = world.horizon.keys.node

    def id(self, name: str) -> UUID:
        return node_of(self.key, *name.split(":", 1))

    def profile(self, number: int, *names: str, points_to: int | None = None) -> None:
        self.world.rows(
            "INSERT INTO profiles (profile_id, points_to, created_at) OVERRIDING SYSTEM VALUE "
            "VALUES (%s, %s, %s) RETURNING 1", number, points_to, NOW - 30 * DAY,
        )  # fmt: skip
        for name in names:
            self.node(name, number)

    def node(
        self, name: str, profile: int | None, dead: str | None = None, ago: timedelta = 9 * DAY
    ) -> None:
        kind, value = name.split(":", 1)
        self.world.rows(
            "INSERT INTO nodes (node, kind, value, profile_id, dead, first_seen) "
            "VALUES (%s, %s, %s, %s, %s, %s) RETURNING 1",
            self.id(name), kind, value, profile, dead, NOW - ago,
        )  # fmt: skip

    def event(self, **item: Any) -> tuple[UUID, int, datetime]:
        """Stored; its id, source and time."""
        number = next(self.world.numbers)
        message_id = f"g{number}"
        item.setdefault("timestamp", (NOW - DAY + timedelta(minutes=number)).isoformat())
        self.world.put({"messageId": message_id, **item})
        row = self.world.rows("SELECT * FROM events WHERE message_id = %s", message_id)[0]
        return row.event_id, row.source_id, row.time

    def edge(
        self, weak: str, strong: str, how: str = "event", refused_by: str | None = None, **item: Any
    ) -> UUID | None:
        event_id, source_id, time = self.event(**item) if item else (None, None, NOW - DAY)
        self.world.rows(
            "INSERT INTO edges (weak, strong, how, time, event_id, source_id, refused_by) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s) RETURNING 1",
            self.id(weak), self.id(strong), how, time, event_id, source_id, refused_by,
        )  # fmt: skip
        return event_id

    def cut(self, name: str, anchor: str) -> int:
        row = self.world.rows(
            "INSERT INTO cuts (node, anchor, made_at) VALUES (%s, %s, %s) RETURNING cut_id",
            self.id(name), self.id(anchor), NOW,
        )[0]  # fmt: skip
        return int(row.cut_id)


def ann_and_bob(world: World) -> Graph:
    """Ann with a browser, an address and an external id; bob; the tablet that both use; a browser
    of ann's in which bob once signed in; and a profile that ann's absorbed."""
    graph = Graph(world)
    graph.profile(1, "user_id:ann", "email:ann@example.com", "anonymous_id:a1", "crm_id:C-7")
    graph.profile(2, "user_id:bob")
    graph.profile(3, points_to=1)
    graph.node("device_id:tablet", None, "hub")
    graph.edge("anonymous_id:a1", "user_id:ann", type="track", event="Signed Up",
               userId="ann", anonymousId="a1")  # fmt: skip
    graph.edge("email:ann@example.com", "user_id:ann", type="identify", userId="ann",
               traits={"email": "ann@example.com", "plan": "gold"})  # fmt: skip
    graph.edge("crm_id:C-7", "email:ann@example.com", "manual")
    graph.edge("anonymous_id:a1", "user_id:bob", "event", "limit:user_id", type="identify",
               userId="bob", anonymousId="a1")  # fmt: skip
    for user in ("ann", "bob"):
        graph.edge("device_id:tablet", f"user_id:{user}", "event", "hub", type="track",
                   event="Checked In", userId=user)  # fmt: skip
    return graph
