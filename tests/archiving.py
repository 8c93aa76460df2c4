"""What tests of the archive ask: what is in the lake, and what should be."""

from __future__ import annotations

from collections import Counter
from typing import Any
from uuid import uuid4

from horizon.events.model import read_message
from horizon.events.store import store
from horizon.lake import archive
from horizon.lake.table import Lake
from horizon.lake.watermark import Watermark, watermark_of
from horizon.pipeline.installation import Installation
from horizon.pipeline.runner import QUERIES
from horizon.postgres.database import Connection, Role, closing_connection
from horizon.postgres.era import current_era
from horizon.stage import Window
from tests.world import NOW, World


def lake_of(horizon: Installation) -> Lake:
    return Lake.of(horizon.settings, horizon.database)


def watermark(horizon: Installation) -> Watermark:
    return watermark_of(lake_of(horizon).for_writing())


def archived(horizon: Installation) -> Counter[str]:
    """How often each message is in the lake."""
    table = lake_of(horizon).for_writing()
    return Counter(table.scan(selected_fields=("message_id",)).to_arrow()["message_id"].to_pylist())


def stored(horizon: Installation) -> Counter[str]:
    with horizon.database.transaction(Role.OWNER) as tx:
        return Counter(row.message_id for row in tx.execute("SELECT message_id FROM events"))


def all_there_once(horizon: Installation) -> bool:
    found = stored(horizon)
    return found == archived(horizon) and set(found.values()) <= {1}


def put_open(world: World, tx: Connection, items: list[dict[str, Any]], **more: Any) -> list[str]:
    """Stored by a transaction that stays open: their message ids."""
    received = more.get("received_at", world.now)
    events = [
        read_message(
            {"messageId": f"o{next(world.numbers)}", **item}, source=world.source(tx, "server"),
            received_at=received, sent_at=received, node_key=world.horizon.keys.node,
            kinds=world.horizon.kinds,
        )
        for item in items
    ]  # fmt: skip
    store(tx, events, era=current_era(tx))
    return [event.message_id for event in events]


def take_unlocked(horizon: Installation) -> int:
    """An archive without the stage's lock, as of one who lost it with its connection."""
    database = horizon.database
    with closing_connection(database.connect(Role.WORKER, autocommit=True)) as tx:
        row = tx.execute(QUERIES["window"], {"stage": "archive"}).fetchone()
        assert row is not None
        window = Window(NOW, uuid4(), uuid4(), current_era(tx), row.until)
        results = list(archive.run(tx, window, lake=lake_of(horizon)))
    return sum(result.figures["events"] for result in results)
