"""[score.sql]: the score stage beside its bare SQL on the same rows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from psycopg import sql

from bench.harness import Figure, medians, scratch_installation
from horizon import clock
from horizon.pipeline.installation import Installation
from horizon.pipeline.stages import score_stage
from horizon.postgres.database import Role
from horizon.scoring.stage import QUERIES

PAIRS = 5

FILL = """
INSERT INTO events (event_id, source_id, message_id, type, name, user_id, nodes, original_timestamp,
                    time, received_at, trusted, activity, properties, era)
SELECT md5('e' || i)::uuid, 1, 'm' || i, 'track', 'Product Viewed', 'user-' || i %% %(profiles)s,
       ARRAY[md5('n' || i %% %(profiles)s)::uuid], happened, happened, happened, true, true,
       '{"price": 12.5}', 1
FROM generate_series(1, %(events)s) i,
     LATERAL (
        SELECT %(now)s - (i::bigint * 7919) %% 2592000 * interval '1 second' AS happened
     ) t
"""
NODES = """
WITH made AS (
    INSERT INTO profiles (created_at) SELECT %(now)s FROM generate_series(1, %(profiles)s)
    RETURNING profile_id
)
INSERT INTO nodes (node, kind, value, profile_id, first_seen)
SELECT md5('n' || profile_id %% %(profiles)s)::uuid, 'user_id',
       'user-' || profile_id %% %(profiles)s, profile_id, %(now)s - interval '31 days'
FROM made
"""


def figures(quick: bool) -> Iterator[Figure]:
    events, profiles = (200_000, 20_000) if quick else (1_000_000, 100_000)
    with scratch_installation() as horizon:
        now = clock.now()
        _fill(horizon, {"events": events, "profiles": profiles, "now": now})
        stage = score_stage(horizon.settings)
        value, reference = medians(
            PAIRS, lambda: horizon.runner.run(stage, now), lambda: _bare(horizon, now)
        )
        yield Figure("score.sql", round(value, 3), "s", round(reference, 3), events)


def _fill(horizon: Installation, size: dict[str, Any]) -> None:
    with horizon.database.transaction(Role.OWNER) as tx:
        tx.execute("SELECT ensure_partitions(current_date - 31, current_date)")
        tx.execute(FILL, size)
        tx.execute(NODES, size)
    with horizon.database.connect(autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE events")
        connection.execute("VACUUM ANALYZE nodes")


def _bare(horizon: Installation, now: datetime) -> None:
    """The stage's one statement into a table without a key, and nothing around it."""
    with horizon.database.transaction(Role.OWNER) as tx:
        tx.execute("CREATE TABLE bare (LIKE scores)")
        statement = sql.SQL(QUERIES["write_scores"]).format(scores=sql.Identifier("bare"))
        parameters = {"score_run": 0, "now": now, "window_days": 14, "high": 0.7, "medium": 0.5}
        tx.execute(statement, parameters)
    with horizon.database.transaction(Role.OWNER) as tx:
        tx.execute("DROP TABLE bare")
