"""Where the lake lies: at s3:// of a real server, on a disk that is full, with fields of tomorrow."""

from __future__ import annotations

import multiprocessing
import resource
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pyiceberg.types import StringType

from horizon.errors import HorizonError, LakeError
from horizon.lake import files
from horizon.pipeline import stages
from horizon.pipeline.installation import open_installation
from horizon.settings import Settings
from tests.archiving import all_there_once, archived, lake_of
from tests.servers.s3 import S3Server, s3_server
from tests.world import DAY, World


@pytest.fixture(scope="module")
def started(
    tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]
) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3"), free_port()) as server:
        yield server


@pytest.fixture
def at_s3(world: World, started: S3Server) -> World:
    if started.process is None:
        started.start()
    started.put("bucket/there", b"")
    chosen = world.horizon.settings.changed(
        LAKE_URL="s3://bucket/lake", S3_REGION="us-east-1", **started.environment
    )
    return replace(world, horizon=replace(world.horizon, settings=chosen))


@pytest.mark.slow  # Java takes seconds to start
def test_at_s3(at_s3: World) -> None:
    for number in range(3):
        at_s3.put(*(at_s3.track(f"u{user}", user * DAY) for user in range(5 + number)))
        assert stages.archive(at_s3.horizon, at_s3.now).figures["events"] == 5 + number
        assert all_there_once(at_s3.horizon)
    table = lake_of(at_s3.horizon).for_writing()
    assert {task.file.file_path[:14] for task in table.scan().plan_files()} == {"s3://bucket/la"}
    assert stages.archive(at_s3.horizon, at_s3.now).figures["events"] == 0


@pytest.mark.slow
def test_s3_away_or_refusing_is_a_sentence_and_the_next_run_brings_it(
    at_s3: World, started: S3Server
) -> None:
    at_s3.put(at_s3.track("ann", DAY))
    stages.archive(at_s3.horizon, at_s3.now)
    at_s3.put(at_s3.track("ann", DAY))
    other = at_s3.horizon.settings.changed(S3_SECRET_ACCESS_KEY="wrong")
    with pytest.raises(HorizonError, match="s3://bucket/lake"):
        stages.archive(replace(at_s3.horizon, settings=other), at_s3.now)
    started.kill()
    with pytest.raises(HorizonError, match="s3://bucket/lake"):
        stages.archive(at_s3.horizon, at_s3.now)
    started.start()
    stages.archive(at_s3.horizon, at_s3.now)
    assert all_there_once(at_s3.horizon)


def archive_with_a_limit(settings: Settings, size_bytes: int, told: Path) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    horizon = open_installation(settings)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, size_bytes))
    try:
        stages.archive(horizon)
    except LakeError as exc:
        told.write_text(str(exc))


@pytest.mark.slow  # a process of its own imports all
@pytest.mark.parametrize("size_bytes", [3_000, 30_000])
def test_a_file_that_cannot_be_written_is_named_and_left_nowhere(
    world: World, tmp_path: Path, size_bytes: int
) -> None:
    world.put(*(world.track(f"u{n}", DAY, properties={"n": str(n) * 50}) for n in range(4000)))
    told = tmp_path / "told"
    process = multiprocessing.get_context("spawn").Process(
        target=archive_with_a_limit, args=(world.horizon.settings, size_bytes, told)
    )
    process.start()
    process.join(60)
    folder = Path(lake_of(world.horizon).warehouse.removeprefix("file://"))
    assert str(folder) in told.read_text()
    assert ".parquet" in told.read_text()
    assert list(folder.rglob("*.parquet")) == list(folder.rglob("*.part")) == []
    stages.archive(world.horizon, world.now)
    assert all_there_once(world.horizon)


def test_a_full_disk_is_named(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.put(world.track("ann", DAY))

    def full(self: object, data: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(files._DurableStream, "write", full)
        with pytest.raises(LakeError, match=r"disk is full, so that file://\S+ could not be"):
            stages.archive(world.horizon, world.now)
    stages.archive(world.horizon, world.now)
    assert all_there_once(world.horizon)


def test_a_field_that_the_table_has_not_yet_is_added(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table of before: files without the field stay, and read as NULL."""
    world.put(world.track("ann", DAY))
    stages.archive(world.horizon, world.now)
    table = lake_of(world.horizon).for_writing()
    with table.update_schema(allow_incompatible_changes=True) as update:
        update.delete_column("consent")
    world.put(world.identify("bob", DAY, consent=True))
    stages.archive(world.horizon, world.now)
    rows = lake_of(world.horizon).for_writing().scan().to_arrow()
    assert sorted(rows["consent"].to_pylist(), key=str) == [None, '{"marketing.email":true}']
    assert all_there_once(world.horizon)


def test_a_column_that_another_tool_added_stays_empty(world: World) -> None:
    world.put(world.track("ann", DAY))
    stages.archive(world.horizon, world.now)
    with lake_of(world.horizon).for_writing().update_schema() as update:
        update.add_column("theirs", StringType())
    world.put(world.track("bob", DAY))
    stages.archive(world.horizon, world.now)
    rows = lake_of(world.horizon).for_writing().scan().to_arrow()
    assert rows["theirs"].to_pylist() == [None, None]
    assert sum(archived(world.horizon).values()) == 2
