"""S3 that refuses, has no such bucket, is away or never answers: a sentence, and soon."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from horizon import clock
from horizon.doctor.finding import Case, Verdict
from horizon.doctor.lake import check_lake
from horizon.errors import LakeError
from horizon.lake import compaction, files, standing
from horizon.pipeline import stages
from horizon.pipeline.installation import Installation
from horizon.postgres.database import Role
from tests.archiving import all_there_once, lake_of
from tests.servers.s3 import S3Server, s3_server
from tests.world import DAY, World

pytestmark = pytest.mark.slow  # Java takes seconds to start

BOUND_S = 30.0


@pytest.fixture(scope="module")
def started(
    tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]
) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3"), free_port()) as server:
        yield server


@pytest.fixture
def at_s3(world: World, started: S3Server, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(compaction, "FEW", 1)
    started.put("bucket/there", b"")
    chosen = world.horizon.settings.changed(
        LAKE_URL="s3://bucket/lake", S3_REGION="us-east-1", **started.environment
    )
    there = replace(world, horizon=replace(world.horizon, settings=chosen))
    for number in range(3):
        there.put(*(there.track(f"u{user}", DAY) for user in range(3 + number)))
        stages.archive(there.horizon, there.now)
    there.score()
    there.put(there.track("late", DAY))
    return there


def score(horizon: Installation) -> None:
    horizon.runner.run(stages.score_stage(horizon.settings), clock.now())


def verify(horizon: Installation) -> None:
    horizon.runner.run(stages.verify_stage(horizon), clock.now())


def compact(horizon: Installation) -> None:
    horizon.runner.run(stages.compact_stage(horizon), clock.now())


def status(horizon: Installation) -> None:
    with horizon.database.transaction(Role.WORKER) as tx:
        standing.look(tx, lake_of(horizon), clock.now())


ALL = (stages.archive, score, verify, compact, status)


def complaints(world: World, horizon: Installation) -> list[str]:
    """One of each, within the time."""
    before, said = world.scores(), []
    for act in ALL:
        began_s = time.monotonic()
        with pytest.raises(LakeError) as caught:
            act(horizon)
        assert time.monotonic() - began_s < BOUND_S
        assert "s3://bucket/lake" in str(caught.value)
        assert "\n" not in str(caught.value)
        said.append(str(caught.value))
    assert world.scores() == before
    failed = {
        row.stage for row in world.rows(
            "SELECT DISTINCT ON (stage) stage, status FROM runs ORDER BY stage, started_at DESC"
        ) if row.status == "failed"
    }  # fmt: skip
    assert failed == {"archive", "score", "verify", "compact"}
    return said


def doctor(horizon: Installation) -> list[str]:
    found = check_lake(Case(horizon.settings, clock.now()))
    return [f"{one.found} | {one.todo}" for one in found if one.verdict == Verdict.PROBLEM]


def with_settings(world: World, **values: object) -> Installation:
    return replace(world.horizon, settings=world.horizon.settings.changed(**values))


def all_is_well(world: World) -> None:
    for act in ALL:
        act(world.horizon)
    assert all_there_once(world.horizon)
    assert doctor(world.horizon) == []


def test_a_wrong_key(at_s3: World) -> None:
    other = with_settings(at_s3, S3_SECRET_ACCESS_KEY="wrong")
    assert all("We may not open" in one for one in complaints(at_s3, other))
    assert any("We may not open" in one and "Look at S3_ACCESS" in one for one in doctor(other))
    all_is_well(at_s3)


def test_a_bucket_that_is_gone(at_s3: World, started: S3Server) -> None:
    bucket = started.folder / "objects" / "bucket"
    away = bucket.rename(bucket.with_name("kept"))
    said = complaints(at_s3, at_s3.horizon)
    assert all("is missing" in one or "There is no bucket" in one for one in said)
    assert any("There is no bucket" in one for one in doctor(at_s3.horizon))
    shutil.rmtree(bucket, ignore_errors=True)
    away.rename(bucket)
    all_is_well(at_s3)


def test_a_server_that_is_away(at_s3: World, started: S3Server) -> None:
    started.kill()
    assert all("S3 does not answer" in one for one in complaints(at_s3, at_s3.horizon))
    assert any("S3 does not answer" in one for one in doctor(at_s3.horizon))
    started.start()
    all_is_well(at_s3)


@pytest.fixture
def mute() -> Iterator[str]:
    """Takes connections, and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_server_that_never_answers(
    at_s3: World, mute: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "ANSWER_S", 2)  # of 20, and three times
    other = with_settings(at_s3, S3_ENDPOINT=mute)
    assert all("S3 does not answer" in one for one in complaints(at_s3, other))
    all_is_well(at_s3)
