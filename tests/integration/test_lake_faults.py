"""A file of Iceberg's own that is missing or damaged: one sentence that names it, whoever asks, and
the last good scores stay."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from horizon.cli import main
from horizon.errors import LakeError
from horizon.lake import standing
from horizon.pipeline import stages
from horizon.postgres.database import Role
from tests.archiving import all_there_once
from tests.lake import LakeWorld
from tests.world import DAY, World

DAMAGES = {
    "missing": lambda path: path.unlink(),
    "torn": lambda path: path.write_bytes(path.read_bytes()[:200]),
}


@pytest.fixture
def filled(world: World) -> LakeWorld:
    world.put(*(world.track(f"u{number}", number * DAY) for number in range(5)))
    world.score()
    lake = LakeWorld(world)
    lake.archive()
    return lake


@pytest.fixture(params=DAMAGES)
def damaged(filled: LakeWorld, request: pytest.FixtureRequest) -> Iterator[Path]:
    """The file that the catalog points to; brought back afterwards, all is well."""
    path = Path(filled.table.metadata_location.removeprefix("file://"))
    kept = shutil.copy(path, path.with_suffix(".kept"))
    filled.world.put(filled.world.track("late", DAY))
    DAMAGES[request.param](path)
    yield path
    shutil.move(kept, path)
    stages.archive(filled.world.horizon, filled.world.now)
    assert all_there_once(filled.world.horizon)


def said_by(act: Callable[[], object], path: Path) -> str:
    with pytest.raises(LakeError) as caught:
        act()
    said = str(caught.value)
    assert f"{path} is {'damaged (' if path.exists() else 'missing:'}" in said
    assert "\n" not in said
    assert "docs/lake.md" in said
    return said


@pytest.mark.parametrize("stage", ["score", "archive", "compact", "verify"])
def test_every_stage_names_the_table_s_own_file_and_is_failed(
    filled: LakeWorld, damaged: Path, stage: str
) -> None:
    world = filled.world
    before = world.scores()
    run = {
        "score": world.score,
        "archive": lambda: stages.archive(world.horizon, world.now),
        "compact": lambda: world.runner.run(stages.compact_stage(world.horizon), world.now),
        "verify": lambda: world.runner.run(stages.verify_stage(world.horizon), world.now),
    }[stage]
    said = said_by(run, damaged)
    assert world.scores() == before
    (last,) = world.rows(
        f"SELECT status, error FROM runs WHERE stage = '{stage}' ORDER BY started_at DESC LIMIT 1"
    )
    assert (last.status, last.error) == ("failed", said)
    lines = map(json.loads, world.horizon.settings.log_path.read_text().splitlines())
    (line,) = [one for one in lines if one["stage"] == stage and one.get("status") == "failed"]
    assert line["error"] == said


def test_looking_names_it(filled: LakeWorld, damaged: Path) -> None:
    horizon = filled.world.horizon
    with horizon.database.transaction(Role.WORKER) as tx:
        said_by(lambda: standing.look(tx, filled.lake, filled.world.now), damaged)


def test_horizon_status_shows_what_failed(
    filled: LakeWorld, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("PG_DSN", "HORIZON_HOME", "LOG_PATH"):
        monkeypatch.setenv(name, str(getattr(filled.world.horizon.settings, name)))
    path = Path(filled.table.metadata_location.removeprefix("file://"))
    path.unlink()
    for words in (
        ["archive"],
        ["score"],
        ["lake", "verify"],
        ["lake", "compact"],
        ["lake", "status"],
    ):
        capsys.readouterr()
        assert main.run(words) == 1
        assert f"{path} is missing" in capsys.readouterr().err
    assert main.run(["status", "--json"]) == 0
    ((told),) = json.loads(capsys.readouterr().out)
    failed = {one["stage"]: one["error"] for one in told["runs"] if one["status"] == "failed"}
    assert set(failed) == {"archive", "score", "verify", "compact"}
    assert all(f"{path} is missing" in error for error in failed.values())
    assert main.run(["status"]) == 0
    assert capsys.readouterr().out.count("metadata.json") >= 4
