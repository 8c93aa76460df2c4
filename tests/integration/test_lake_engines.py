from __future__ import annotations

from datetime import timedelta

from horizon.postgres.queries import Queries
from tests.lake_worlds import archive_all, asked, postgres_says, view_of
from tests.world import DAY, NOW, World

SCORES = Queries("horizon.scoring", "definitions.sql")["scores"]


def parameters(now=NOW, days: float = 14):
    return {
        "now": now,
        "since": now - timedelta(days=days),
        "window_s": days * 86400.0,
        "high": 0.7,
        "medium": 0.5,
    }


def test_one(world: World) -> None:
    world.put(*(world.track(f"u{n}", n * DAY) for n in range(20)))
    world.identify_all()
    archive_all(world)
    world.put(*(world.track(f"u{n}", n * DAY / 2) for n in range(10, 30)))
    world.identify_all()
    view = view_of(world)
    assert view.tail.num_rows == 20
    assert sum(file.rows for files in view.lake for file in files.files) == 20
    assert asked(world, SCORES, parameters()) == postgres_says(world, SCORES, parameters())
