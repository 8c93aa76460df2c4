"""A lake for tests: filled by the real archive, read by programs that know nothing of ours."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from pyiceberg.table import Table

from horizon.lake import archive
from horizon.lake.files import local_path
from horizon.lake.table import EVENTS, NAMESPACE, Lake
from horizon.pipeline.runner import Stage
from horizon.stage import StageResult
from tests.world import World

# Count and checksum of a day.
Sums = dict[date, tuple[int, int]]


@dataclass
class LakeWorld:
    world: World

    @property
    def lake(self) -> Lake:
        return Lake.of(self.world.horizon.settings, self.world.horizon.database)

    @property
    def table(self) -> Table:
        return self.lake.catalog().load_table((NAMESPACE, EVENTS))

    def archive(self, now: datetime | None = None) -> StageResult:
        stage = Stage("archive", "archiver", partial(archive.run, lake=self.lake))
        return self.world.runner.run(stage, now or self.world.now)

    def fill(self, steps: int, *, users: int = 5, days: int = 1) -> None:
        """So many archived steps, each with an event of each user on each day."""
        for step in range(steps):
            self.world.put(*(
                self.world.track(f"user{user}", timedelta(days=day, minutes=step))
                for user in range(users) for day in range(days)
            ))  # fmt: skip
            self.archive()

    def files(self) -> list[Path]:
        paths = [local_path(task.file.file_path) for task in self.table.scan().plan_files()]
        return [path for path in paths if path is not None]

    def folder(self) -> Path:
        path = local_path(self.table.location())
        assert path is not None
        return path

    def by_pyiceberg(self) -> Sums:
        return _sums(self.table.scan().to_arrow())

    def by_duckdb(self) -> Sums:
        with duckdb.connect() as session:
            files = [str(path) for path in self.files()]
            return _sums(session.read_parquet(files).to_arrow_table())


def _sums(rows: pa.Table) -> Sums:
    with duckdb.connect() as session:
        session.execute("SET TimeZone = 'UTC'")
        session.register("lake", rows.select(sorted(rows.column_names)))
        found: list[Any] = session.execute(
            "SELECT time::date, count(*), sum(hash(lake::text)::hugeint) FROM lake GROUP BY 1"
        ).fetchall()
    return {day: (int(count), int(total)) for day, count, total in found}
