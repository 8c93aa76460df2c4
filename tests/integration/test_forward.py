"""What is accepted here arrives there: at a real collector with a database of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from horizon import keys as horizon_keys
from horizon.events import sources
from horizon.pipeline.installation import Installation, open_installation
from horizon.postgres.database import Database, Role
from horizon.settings import Settings
from tests.conftest import dropped_in_the_end
from tests.forwarding import add_forward, forwarding, standing, until
from tests.servers.collector import Collector
from tests.world import World


@dataclass
class Receiver:
    horizon: Installation
    url: str
    key: str

    def rows(self, query: str) -> list[Any]:
        with self.horizon.database.transaction(Role.OWNER) as tx:
            return tx.execute(query.encode()).fetchall()


@pytest.fixture
def receiver(
    _clone: Callable[[], Database], tmp_path: Path, free_port: Callable[[], int]
) -> Iterator[Receiver]:
    """Another installation: its own database, keys and collector."""
    home = tmp_path / "there"
    horizon_keys.make(home)
    with dropped_in_the_end(_clone()) as database:
        settings = Settings(
            PG_DSN=database.dsn, HORIZON_HOME=str(home), COLLECTOR_PORT=free_port(),
            LOG_PATH=str(tmp_path / "there.log"),
        )  # fmt: skip
        horizon = open_installation(settings)
        with database.transaction(Role.WORKER) as tx:
            key = sources.add_source(tx, "here", "server")
        with Collector(settings) as collector:
            yield Receiver(horizon, collector.url, key)


NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
CALLS: list[dict[str, Any]] = [
    {"type": "track", "event": "Order Completed", "userId": "ada", "anonymousId": "a-1",
     "properties": {"total": 12.5, "items": [{"sku": "x"}, "\N{SNOWMAN}"], "no": None}},
    {"type": "identify", "userId": "ada", "traits": {"email": "ada@example.com", "age": 36}},
    {"type": "page", "name": "Home", "category": "shop", "anonymousId": "a-2",
     "properties": {"url": "https://shop.example/?a=b"}},
    {"type": "screen", "name": "Start", "userId": "ada", "properties": {}},
    {"type": "group", "userId": "ada", "groupId": "g1", "traits": {"name": "Example Ltd"}},
    {"type": "alias", "userId": "ada", "previousId": "a-2"},
    {"type": "track", "event": "Odd", "userId": 12, "messageId": "with \"quotes\" and \\",
     "properties": {"nul": "\0", "deep": [[[[1e300]]]], "big": 12345678901234567890123}},
    {"type": "track", "event": "No Clock", "userId": "ada", "timestamp": "yesterday"},
    {"type": "track", "event": "Said", "userId": "ada", "context": {
        "ip": "203.0.113.77", "library": {"name": "x"},
        "consent": {"categoryPreferences": {"marketing.email": False}}}},
]  # fmt: skip

SAME = """SELECT message_id, type, name, user_id, anonymous_id, email, previous_id, group_id, time,
    properties, traits, (context::jsonb - 'horizon') AS context, consent, trusted, activity
    FROM events ORDER BY message_id"""


def test_every_field_arrives_as_it_is_here(world: World, receiver: Receiver) -> None:
    add_forward(world.horizon, receiver.url, receiver.key, from_at=NOW)
    items = [
        {
            "messageId": f"id {number}",
            "timestamp": (NOW - timedelta(days=number)).isoformat(),
            **one,
        }
        for number, one in enumerate(CALLS)
    ]
    world.put(*items)
    with forwarding(world.horizon) as said:
        until(lambda: standing(world.horizon).sent == len(CALLS))
    assert said == []
    here = [tuple(row) for row in world.rows(SAME)]
    there = receiver.rows(SAME)
    for mine, its in zip(here, there, strict=True):
        assert tuple(its)[:8] == mine[:8]
        assert abs(its.time - mine[8]) < timedelta(milliseconds=1)
        assert tuple(its)[9:11] == mine[9:11]
        assert its.context == (mine[11] or {})
        assert tuple(its)[12:] == mine[12:]
