"""A summary that is missing or damaged is not missed: queries read all files, and maintenance makes
it anew."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from horizon.errors import LakeError, LakeFileError
from horizon.lake import faults, files
from horizon.pipeline import stages
from tests.lake import LakeWorld
from tests.lake_worlds import archive, files_read, rest, score_parameters, view_of
from tests.world import DAY, World

HOUR_S = 3600
SINCE = score_parameters()["since"]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def altered(path: Path) -> None:
    """As long as before."""
    path.write_bytes(path.read_bytes()[:4] + bytes(path.stat().st_size - 4))


DAMAGES: dict[str, Callable[[Path], None]] = {"cut": cut, "missing": Path.unlink}
FILES = {
    "data": "data/*.parquet", "manifest": "metadata/*-m*.avro", "list": "metadata/snap-*.avro",
    "json": "metadata/*.json",
}  # fmt: skip


@pytest.fixture
def rested(world: World) -> World:
    """Three days of events; two of them rest, and one file of a summary stands for these."""
    world.put(*(world.track(f"u{days}", days * DAY) for days in (1, 20, 30)))
    world.score()
    archive(world)
    compact(world)
    assert read(world) == 2
    return world


def compact(world: World) -> None:
    world.runner.run(stages.compact_stage(world.horizon), world.now)


def read(world: World) -> int:
    return files_read(view_of(world, at_rest_before=SINCE))


def pointer(world: World) -> Path:
    query = "SELECT metadata_location FROM iceberg_tables WHERE table_name = 'resting'"
    (row,) = world.rows(query)
    return Path(row.metadata_location.removeprefix("file://"))


def data(world: World) -> Path:
    (path,) = pointer(world).parents[1].glob(FILES["data"])
    return path


@pytest.mark.parametrize("which", FILES)
@pytest.mark.parametrize("damage", DAMAGES)
def test_scores_do_without_it_and_maintenance_makes_it_anew(
    rested: World, which: str, damage: str
) -> None:
    before = rested.scores()
    for path in list(pointer(rested).parents[1].glob(FILES[which])):
        DAMAGES[damage](path)
    assert read(rested) == 3
    rested.score()
    assert rested.scores() == before
    compact(rested)
    assert read(rested) == 2
    rested.score()
    assert rested.scores() == before


def test_one_that_is_as_long_as_before_is_named_and_made_anew(rested: World) -> None:
    before, path = rested.scores(), data(rested)
    altered(path)
    with pytest.raises(LakeError, match=f"{path.name} is damaged"):
        rested.score()
    compact(rested)
    rested.score()
    assert rested.scores() == before


def test_a_list_of_an_older_one_does_no_harm_either(rested: World) -> None:
    (old,) = pointer(rested).parent.glob("snap-*.avro")
    compact(rested)
    cut(old)
    for path in pointer(rested).parents[1].rglob("*.*"):  # or none of them is looked for
        os.utime(path, (time.time() - 7 * HOUR_S,) * 2)
    compact(rested)
    assert read(rested) == 2


def test_it_stays_when_a_file_of_the_events_is_damaged(rested: World) -> None:
    """Or nobody could do without the file: it is of a day that rests."""
    before = pointer(rested)
    rested.put(rested.track("late", 25 * DAY))
    rested.identify_all()
    archive(rested)
    late = max(LakeWorld(rested).files(), key=lambda path: path.stat().st_mtime_ns)
    whole = late.read_bytes()
    cut(late)
    with pytest.raises(LakeError, match=late.name):
        compact(rested)
    assert pointer(rested) == before
    late.write_bytes(whole)
    compact(rested)
    assert read(rested) == 2


def test_it_stays_when_s3_does_not_answer(
    rested: World, free_port: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "CONNECT_S", 1)
    chosen = rested.horizon.settings.changed(
        S3_ENDPOINT=f"http://127.0.0.1:{free_port()}", S3_REGION="us-east-1",
        S3_ACCESS_KEY_ID="a", S3_SECRET_ACCESS_KEY="b",
    )  # fmt: skip
    away = replace(rested, horizon=replace(rested.horizon, settings=chosen))
    there = "s3://bucket/resting/metadata/1.metadata.json"
    named = "SELECT FROM iceberg_tables WHERE metadata_location LIKE 's3://%'"
    rested.change(
        f"UPDATE iceberg_tables SET metadata_location = '{there}' WHERE table_name = 'resting'"
    )
    with pytest.raises(LakeError, match="S3 does not answer"):
        compact(away)
    assert len(rested.rows(named)) == 1
    assert read(away) == 3


@pytest.mark.parametrize(
    ("exc", "is_the_file"),
    [
        (FileNotFoundError(2, "No such file"), True),
        (OSError("AWS Error NO_SUCH_KEY during GetObject"), True),
        (ValueError("not a list of files"), True),
        (OSError("AWS Error NO_SUCH_BUCKET during GetObject"), False),
        (OSError("AWS Error ACCESS_DENIED during HeadObject"), False),
        (OSError("AWS Error NETWORK_CONNECTION during HeadObject"), False),
        (PermissionError(13, "Permission denied"), False),
        (OSError(28, "No space left"), False),
    ],
)
def test_a_file_is_not_where_it_lies(exc: Exception, is_the_file: bool) -> None:
    assert isinstance(faults.fault("s3://b/x", exc), LakeFileError) == is_the_file


def test_a_query_that_began_before_it_was_made_anew_keeps_its_file(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However old that is."""
    world.put(*(world.track(f"u{days}", days * DAY) for days in (1, 20, 30)))
    archive(world)
    now_s = time.time()
    with monkeypatch.context() as then:
        then.setattr(time, "time", lambda: now_s - 7 * HOUR_S)
        rest(world, SINCE - DAY)
    first = data(world)
    os.utime(first, (now_s - 7 * HOUR_S,) * 2)
    rest(world, SINCE - DAY + timedelta(hours=1))
    assert first.exists()


def test_each_database_of_a_home_has_a_summary_in_a_folder_of_its_own(rested: World) -> None:
    """Or one would take away the other's files."""
    first = pointer(rested)
    rested.change("DELETE FROM iceberg_tables WHERE table_name = 'resting'")
    compact(rested)
    assert first.parent != pointer(rested).parent
