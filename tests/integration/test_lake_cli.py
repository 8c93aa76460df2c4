"""`horizon lake status|compact|verify` as typed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from horizon.cli import main
from tests.lake import LakeWorld
from tests.world import DAY, NOW, World


@pytest.fixture
def filled(world: World, monkeypatch: pytest.MonkeyPatch) -> LakeWorld:
    settings = world.horizon.settings
    for name in ("PG_DSN", "HORIZON_HOME", "LOG_PATH"):
        monkeypatch.setenv(name, str(getattr(settings, name)))
    lake = LakeWorld(world)
    world.put(*(world.track(f"user{number}", DAY) for number in range(3)), received_at=NOW - DAY)
    lake.archive()
    world.put(world.track("ann", DAY))
    return lake


def typed(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main.run(["lake", *words])
    told = capsys.readouterr()
    return code, told.out, told.err


def parsed(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    return json.loads(typed(capsys, *words, "--json")[1])


def test_status(filled: LakeWorld, capsys: pytest.CaptureFixture[str]) -> None:
    found = parsed(capsys, "status")
    assert (found["events"], found["files"], found["days"], found["snapshots"]) == (3, 1, 1, 1)
    assert found["hot_only"] == 1
    assert found["behind_s"] > 0
    assert found["size_bytes"] == sum(path.stat().st_size for path in filled.files())
    assert found["verified_at"] is None
    code, out, _ = typed(capsys, "status")
    assert code == 0
    assert str(filled.folder()) in out
    filled.archive()
    assert parsed(capsys, "status")["hot_only"] == 0


def test_status_before_anything_is_there(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("PG_DSN", "HORIZON_HOME", "LOG_PATH"):
        monkeypatch.setenv(name, str(getattr(world.horizon.settings, name)))
    world.put(world.track("ann", DAY))
    code, out, _ = typed(capsys, "status")
    assert (code, out) == (
        0,
        "Nothing is in the lake yet, and 1 event in the hot store: `horizon archive` takes them there.\n",
    )
    assert parsed(capsys, "status")["location"] is None
    assert typed(capsys, "verify")[0] == 0


def test_verify(filled: LakeWorld, capsys: pytest.CaptureFixture[str]) -> None:
    day = (NOW - DAY).date().isoformat()
    found = parsed(capsys, "verify")
    assert found == {
        "ok": True, "files": 1, "broken": [],
        "days": [{"day": day, "hot": 3, "lake": 3, "agree": "yes"}],
    }  # fmt: skip
    assert "3 events in 1 file read; 1 of 1 day agree." in typed(capsys, "verify")[1]
    assert parsed(capsys, "verify", "--since", NOW.date().isoformat())["days"] == []
    code, _, err = typed(capsys, "verify", "--since", "yesterday")
    assert code == 2
    assert "--since 'yesterday' is not a day" in err


def test_verify_that_finds_something(filled: LakeWorld, capsys: pytest.CaptureFixture[str]) -> None:
    (path,) = filled.files()
    path.unlink()
    code, out, err = typed(capsys, "verify", "--json")
    assert code == 1
    assert path.name in err
    assert json.loads(out)["ok"] is False
    assert len(json.loads(out)["broken"]) == 1


def test_compact(filled: LakeWorld, capsys: pytest.CaptureFixture[str]) -> None:
    filled.fill(9)
    found = parsed(capsys, "compact")
    assert found["replaced"] >= 9
    assert "0 files became 0" in typed(capsys, "compact")[1]
    assert len(filled.world.rows("SELECT FROM audit WHERE action = 'lake:compacted'")) == 2


def test_a_time_ahead_lets_nothing_go(
    filled: LakeWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(filled.files())
    code, _, err = typed(capsys, "compact", "--now", "2199-01-01")
    assert code != 0
    assert "leave it out" in err
    assert sorted(filled.files()) == before


def test_days_that_nothing_came_on(filled: LakeWorld, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = typed(capsys, "verify", "--since", "2199-01-01")
    assert code == 0
    assert "received since 2199-01-01" in out
