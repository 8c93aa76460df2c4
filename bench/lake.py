"""[lake.archive], [lake.memory] and [lake.step]: from PostgreSQL into Iceberg, sorted and verified.

The reference of the archive is the least that anybody would do: the same rows read with ADBC and
appended with pyiceberg, neither sorted nor compared nor synced to the disk.
"""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from uuid import uuid4

import pyarrow as pa

from bench.harness import Figure, scratch_installation, seconds
from horizon import clock
from horizon.lake.reading import statement, stream
from horizon.lake.schema import BY_DAY, PROPERTIES, SCHEMA
from horizon.lake.table import QUERIES as LAKE
from horizon.lake.table import Lake
from horizon.pipeline import stages
from horizon.pipeline.installation import Installation
from horizon.postgres.database import Role
from horizon.postgres.queries import Queries

QUERIES = Queries("bench")

DAYS = 20  # of receipt
FULL, QUICK = 4_000_000, 600_000
STEP = 5_000
STEPS_FULL, STEPS_QUICK = 500, 60
SOME = 10  # steps at the beginning and at the end
BARE_ROWS = 250_000  # a commit of the reference


def figures(quick: bool) -> Iterator[Figure]:
    count = QUICK if quick else FULL
    with scratch_installation() as horizon:
        _fill_days(horizon, count)
        took_s = seconds(lambda: _check(horizon, count))
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        bare_s = seconds(lambda: _bare(horizon))
        yield Figure(
            "lake.archive", round(count / took_s), "events/s", round(count / bare_s), count
        )
        yield Figure("lake.memory", round(peak_mb), "MB", 2000, count)
    for days in (1, 10):
        with scratch_installation() as horizon:
            yield from _steps(horizon, STEPS_QUICK if quick else STEPS_FULL, days)


def _fill_days(horizon: Installation, count: int) -> None:
    now = clock.now()
    for number in range(DAYS):
        _fill(horizon, count // DAYS, now - timedelta(days=number), days=3)
    with horizon.database.connect(autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE events")


def _fill(horizon: Installation, count: int, received_at: datetime, days: int) -> None:
    values = {"events": count, "received_at": received_at, "days": days, "name": str(uuid4())}
    day = received_at.date()
    with horizon.database.transaction(Role.OWNER) as tx:
        tx.execute("SELECT ensure_partitions(%s, %s)", [day, day])
        tx.execute(QUERIES["fill_lake"], values)


def _check(horizon: Installation, count: int) -> None:
    assert stages.archive(horizon).figures["events"] == count


def _bare(horizon: Installation) -> None:
    lake = Lake.of(horizon.settings, horizon.database)
    table = lake.catalog().create_table(
        ("horizon", "bare"), SCHEMA, partition_spec=BY_DAY, properties=PROPERTIES
    )
    with horizon.database.transaction(Role.WORKER) as tx:
        row = tx.execute("SELECT pg_current_snapshot()::text AS until").fetchone()
        assert row is not None
        values = {
            "until_era": horizon.era(), "until": row.until, "era": 0, "seen": "1:1:",
            "first": clock.now() - timedelta(days=DAYS + 1), "last": clock.now(),
        }  # fmt: skip
        text = statement(tx, LAKE["rows_of"], values)
    schema = table.schema().as_arrow()
    with stream(horizon.database, text) as batches:
        held: list[pa.RecordBatch] = []
        for batch in batches:
            held.append(batch)
            if sum(one.num_rows for one in held) >= BARE_ROWS:
                table.append(pa.Table.from_batches(held).cast(schema))
                held = []
        if held:
            table.append(pa.Table.from_batches(held).cast(schema))


def _steps(horizon: Installation, count: int, days: int) -> Iterator[Figure]:
    """One after the other, of events of so many days; the lake is kept as the worker keeps it."""
    stages.archive(horizon)
    steps: list[float] = []
    kept_s = 0.0
    for _ in range(count):
        _fill(horizon, STEP, clock.now(), days)
        steps.append(seconds(lambda: _check(horizon, STEP)))
        began_s = time.perf_counter()
        stages.keep_lake(horizon, None, uuid4())
        kept_s += time.perf_counter() - began_s
    first, last = statistics.median(steps[:SOME]), statistics.median(steps[-SOME:])
    name = "lake.step" if days == 1 else f"lake.step_of_{days}_days"
    yield Figure(name, round(last, 3), "s", round(first, 3), count)
    yield Figure(f"{name}.worst", round(max(steps), 3), "s", 0.5, count)
    yield Figure(f"{name}.kept", round(kept_s / count, 3), "s", round(last, 3), count)
