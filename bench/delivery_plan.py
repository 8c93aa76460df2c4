"""[delivery.plan]: planning a campaign beside COPY of the same rows into the same tables."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import IO

from bench.harness import Figure, medians, scratch_installation
from horizon import clock
from horizon.pipeline import stages
from horizon.pipeline.installation import Installation
from horizon.postgres.database import Connection, Role, closing_connection
from horizon.postgres.queries import Queries

QUERIES = Queries("bench")
CAMPAIGN = "good_activity"
TABLES = ("messages", "outbox")
PAIRS = 3
PART_BYTES = 2**18


def plan_figures(quick: bool) -> Iterator[Figure]:
    people = 50_000 if quick else 500_000
    with (
        scratch_installation() as horizon,
        tempfile.TemporaryFile() as one,
        tempfile.TemporaryFile() as two,
    ):
        now = clock.now()
        with horizon.database.transaction(Role.OWNER) as tx:
            fill(tx, people, now)
        with closing_connection(horizon.database.connect(autocommit=True)) as connection:
            connection.execute("VACUUM ANALYZE")
        rows: dict[str, IO[bytes]] = dict(zip(TABLES, (one, two), strict=True))
        _plan(horizon, now)
        for table, file in rows.items():
            _copy_out(horizon, table, file)
        value, reference = medians(
            PAIRS, lambda: _plan(horizon, now), lambda: _copy_in(horizon, rows)
        )
        yield Figure("delivery.plan", round(value, 3), "s", round(reference, 3), people)


def fill(tx: Connection, people: int, now: datetime) -> None:
    """People whom ``good_activity`` is for, most of them with consent."""
    size = {"people": people, "now": now}
    for name in ("plan_people", "plan_traits", "plan_consents", "plan_suppressions",
                 "plan_preferences", "plan_domains", "plan_score_run"):  # fmt: skip
        tx.execute(QUERIES[name], size)
    tx.execute("SELECT open_score_run(1)")
    tx.execute(QUERIES["plan_scores"], size)
    tx.execute("SELECT close_score_run(1)")


def _plan(horizon: Installation, now: datetime) -> None:
    _empty(horizon)
    stages.plan_campaign(horizon, CAMPAIGN, now)


def _empty(horizon: Installation) -> None:
    with horizon.database.transaction(Role.OWNER) as tx:
        tx.execute("TRUNCATE messages, outbox")


def _copy_out(horizon: Installation, table: str, file: IO[bytes]) -> None:
    with (
        horizon.database.transaction(Role.OWNER) as tx,
        tx.cursor().copy(f"COPY {table} TO STDOUT (FORMAT binary)".encode()) as copy,
    ):
        for part in copy:
            file.write(part)


def _copy_in(horizon: Installation, rows: Mapping[str, IO[bytes]]) -> None:
    _empty(horizon)
    with horizon.database.transaction(Role.OWNER) as tx, tx.cursor() as cursor:
        for table, file in rows.items():
            file.seek(0)
            with cursor.copy(f"COPY {table} FROM STDIN (FORMAT binary)".encode()) as copy:
                while part := file.read(PART_BYTES):
                    copy.write(part)
