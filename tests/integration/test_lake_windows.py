"""What a watermark says is in the lake is there once, whatever commits, dies or moves in between."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from horizon.errors import HorizonError
from horizon.lake import archive
from horizon.pipeline import stages
from horizon.pipeline.installation import prepare
from horizon.postgres import backup as backups
from horizon.postgres.database import Connection, Database, Role
from horizon.postgres.embedded import EmbeddedPostgres, binaries
from horizon.postgres.era import open_era
from tests.archiving import all_there_once, archived, put_open, take_unlocked, watermark
from tests.conftest import _quickest_folder
from tests.world import DAY, NOW, World

# What the contract of the lake says, in words of its own: neither the query nor the function that
# archive reads with.
IN_LAKE = """
SELECT message_id FROM events WHERE era < %(era)s OR (era = %(era)s AND pg_visible_in_snapshot(tx, %(seen)s))
   OR (%(until)s::text <> '' AND received_at < %(upto)s
       AND (era < %(until_era)s OR (era = %(until_era)s AND pg_visible_in_snapshot(tx, %(until)s::pg_snapshot))))
"""


def said_to_be_there(world: World) -> set[str]:
    mark = watermark(world.horizon)
    values = {
        "era": mark.era, "seen": mark.seen, "until_era": mark.until_era or 0,
        "until": mark.until or "1:1:", "upto": mark.upto if mark.until else None,
    }  # fmt: skip
    with world.horizon.database.transaction(Role.OWNER) as tx:
        return {row.message_id for row in tx.execute(IN_LAKE, values)}


def check(world: World) -> None:
    found = archived(world.horizon)
    assert set(found.values()) <= {1}
    assert set(found) == said_to_be_there(world)


# A step of a story: somebody opens, fills, commits or rolls back one of three transactions, the
# partitions' days change, an archive runs, whole or until a step of it fails, a new era begins.
STEPS = st.one_of(
    st.tuples(st.just("fill"), st.integers(0, 2), st.integers(1, 3), st.integers(0, 3)),
    st.tuples(st.sampled_from(["commit", "rollback"]), st.integers(0, 2)),
    st.tuples(st.sampled_from(["put", "moved"]), st.integers(1, 4), st.integers(0, 3)),
    st.tuples(st.just("archive"), st.sampled_from([0, 0, 1, 2, 3])),
    st.tuples(st.just("era")),
)
STORIES = st.lists(STEPS, min_size=4, max_size=14)


class Story:
    def __init__(self, world: World) -> None:
        self.world = world
        self.open: dict[int, Connection] = {}

    def play(self, steps: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
        # Or who opens a transaction makes the source and the days, and the next one waits for it.
        for day in range(4):
            self._put(1, day)
        self.world.change("TRUNCATE events")
        self.world.change("DELETE FROM iceberg_tables")
        try:
            for name, *values in steps:
                getattr(self, f"_{name}")(*values, *([monkeypatch] if name == "archive" else []))
                check(self.world)
            for number in list(self.open):
                self._commit(number)
            take_unlocked(self.world.horizon)
            assert all_there_once(self.world.horizon)
        finally:
            for number in list(self.open):
                self._rollback(number)

    def _fill(self, number: int, count: int, day: int) -> None:
        if number not in self.open:
            self.open[number] = self.world.horizon.database.connect(Role.WORKER)
        put_open(self.world, self.open[number], self._items(count), received_at=NOW - day * DAY)

    def _put(self, count: int, day: int) -> None:
        self.world.put(*self._items(count), received_at=NOW - day * DAY)

    def _moved(self, count: int, day: int) -> None:
        """Rows that came while their day had no partition."""
        if self.open:
            return  # to attach one waits for whoever fills
        part = f"events_{(NOW - day * DAY):%Y%m%d}"
        self._put(count, day)
        self.world.change(f"ALTER TABLE events DETACH PARTITION {part}")
        self.world.change(f"INSERT INTO events_default SELECT * FROM {part}")
        self.world.change(f"DROP TABLE {part}")
        day_of = (NOW - day * DAY).date()
        self.world.change("SELECT ensure_partitions(%s, %s)", day_of, day_of)

    def _commit(self, number: int) -> None:
        if number in self.open:
            connection = self.open.pop(number)
            connection.commit()
            connection.close()

    def _rollback(self, number: int) -> None:
        if number in self.open:
            self.open.pop(number).close()

    def _archive(self, fails_at: int, monkeypatch: pytest.MonkeyPatch) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(archive, "STEP_EVENTS", 3)
            if fails_at:
                dies_at(patched, fails_at)
            try:
                take_unlocked(self.world.horizon)
            except HorizonError as exc:
                assert "a/file" in str(exc)

    def _era(self) -> None:
        """A restore: what is open in a dumped database is not in its dump."""
        if self.open:
            return
        with self.world.horizon.database.transaction(Role.OWNER) as tx:
            open_era(tx, "test")

    def _items(self, count: int) -> list[dict[str, Any]]:
        return [self.world.track(f"u{number}", number * DAY) for number in range(count)]


def dies_at(monkeypatch: pytest.MonkeyPatch, turn: int) -> None:
    plain, turns = archive.write, iter(range(1, 1000))

    def failing(*values: Any) -> Any:
        if next(turns) == turn:
            raise OSError(28, "No space left on device", "a/file")
        return plain(*values)

    monkeypatch.setattr(archive, "write", failing)


UNHURRIED = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
}


@settings(max_examples=5, **UNHURRIED)
@given(steps=STORIES)
def test_every_story_ends_with_every_row_once(
    world: World, monkeypatch: pytest.MonkeyPatch, steps: list[Any]
) -> None:
    Story(world).play(steps, monkeypatch)


@pytest.mark.slow
@settings(max_examples=80, **UNHURRIED)
@given(steps=STORIES)
def test_many_stories_end_with_every_row_once(
    world: World, monkeypatch: pytest.MonkeyPatch, steps: list[Any]
) -> None:
    Story(world).play(steps, monkeypatch)


@contextmanager
def another_cluster() -> Iterator[Database]:
    folder = Path(tempfile.mkdtemp(prefix="horizon-tests-", dir=_quickest_folder()))
    folder.chmod(0o755)  # root's unprivileged account has to walk through it
    server = EmbeddedPostgres(folder)
    try:
        server.start()
        yield Database(server.dsn).named("copied")
    finally:
        server.stop()
        for made in (server.socket_folder, server.data, folder):
            shutil.rmtree(made, ignore_errors=True)


def copy(source: Database, target: Database) -> None:
    """As an operator does it, with PostgreSQL's own programs."""
    dsn, environment = source.for_program()
    dump = subprocess.run(
        [binaries() / "pg_dump", "--no-owner", dsn],
        env=environment,
        capture_output=True,
        check=True,
    ).stdout
    dsn, environment = target.for_program()
    subprocess.run(
        [binaries() / "psql", "-X", "-q", "-1", "-v", "ON_ERROR_STOP=1", dsn],
        input=dump, env=environment, capture_output=True, check=True,
    )  # fmt: skip


@pytest.mark.parametrize("whole", [True, False])
def test_a_dump_restored_into_a_fresh_cluster(
    world: World, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    """Its transaction ids begin anew, far below those that the watermark has seen."""
    monkeypatch.setattr(archive, "STEP_EVENTS", 3)
    for day in range(4):
        world.put(*(world.track(f"u{n}", n * DAY) for n in range(3)), received_at=NOW - day * DAY)
    if whole:
        stages.archive(world.horizon, NOW)
        world.put(world.track("late", DAY))  # committed, and not archived when the dump is taken
    else:
        with monkeypatch.context() as patched, pytest.raises(HorizonError, match="a/file"):
            dies_at(patched, 3)
            stages.archive(world.horizon, NOW)
    lost = world.horizon.database.connect(Role.WORKER)
    put_open(world, lost, [world.track("open", DAY)])
    with another_cluster() as fresh:
        fresh.make()
        prepare_roles(fresh)
        copy(world.horizon.database, fresh)
        lost.commit()
        lost.close()
        ours = replace(world.horizon, database=fresh)
        with pytest.raises(HorizonError, match="restore --adopt"):
            stages.archive(ours, NOW)
        with fresh.transaction(Role.OWNER) as tx:
            assert backups.adopt(tx, NOW) == 2
        restored = World(ours, numbers=world.numbers)
        for _ in range(3):
            restored.put(restored.track("new", timedelta(hours=1)))
            stages.archive(ours, NOW)
            assert all_there_once(ours)
            check(restored)
        assert sum(archived(ours).values()) == 12 + whole + 3


def prepare_roles(fresh: Database) -> None:
    """Roles belong to a cluster, and a dump of a database has none."""
    scratch = fresh.named("scratch")
    scratch.make()
    prepare(scratch)
