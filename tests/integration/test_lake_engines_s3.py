"""Scores over a lake at s3://, on a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from horizon.errors import LakeError
from tests.lake_worlds import SCORES, archive, asked, postgres_says, score_parameters, view_of
from tests.servers.s3 import S3Server, s3_server
from tests.world import DAY, World

pytestmark = pytest.mark.slow  # Java takes seconds to start


@pytest.fixture(scope="module")
def started(
    tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]
) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3"), free_port()) as server:
        yield server


def test_a_lake_in_a_bucket_is_scored_as_one_on_the_disk(world: World, started: S3Server) -> None:
    started.put("lake/made", b"")
    settings = world.horizon.settings.changed(LAKE_URL="s3://lake/here", **started.environment)
    there = replace(world, horizon=replace(world.horizon, settings=settings))
    there.put(*(there.track(f"u{n}", n * DAY / 3) for n in range(30)))
    there.score()
    archive(there)
    there.put(there.track("u20", 0 * DAY))
    there.score()
    view = view_of(there)
    assert all(file.location.startswith("s3://lake/") for part in view.lake for file in part.files)
    assert view.tail.num_rows == 1
    asks = score_parameters()
    assert asked(there, SCORES, asks) == postgres_says(there, SCORES, asks)
    before = there.scores()
    assert before["u20"] == 0
    (gone, *_) = view.lake[0].files
    for path in (started.folder / "objects").rglob(gone.location.rpartition("/")[2]):
        path.unlink()
    with pytest.raises(LakeError, match=gone.location):
        there.score()
    assert there.scores() == before
