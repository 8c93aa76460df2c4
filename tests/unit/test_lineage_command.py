"""The commands that show lineage: no database, and a sentence for what is typed wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from horizon.cli.main import run
from horizon.errors import SettingsError
from horizon.settings import Settings


@pytest.fixture(autouse=True)
def _no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PG_DSN", "postgresql://nobody@127.0.0.1:1/none")


def test_a_column_is_shown(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["lineage", "show", "scores.score"]) == 0
    assert "├─ events.time  [score: aggregation]" in capsys.readouterr().out
    assert run(["lineage", "show", "scores.score", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["up"][0]["column"] == "events.time"
    path = tmp_path / "score.svg"
    assert run(["lineage", "show", "scores.score", "--out", str(path)]) == 0
    assert "is drawn in" in capsys.readouterr().out
    assert path.read_text().startswith("<svg ")


def test_a_name_that_is_none_gets_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["lineage", "show", "messages.score"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("horizon: There is no column 'messages.score': did you mean ")
    assert "scores.score" in said


def test_names_are_listed_with_who_writes_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["lineage", "list", "scores", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {"column": "scores.score", "written_by": "score"} in listed
    assert run(["lineage", "list", "segment_api", "--json"]) == 0
    assert {row["written_by"] for row in json.loads(capsys.readouterr().out)} == {"from outside"}
    assert run(["lineage", "list", "alertz"]) == 2
    assert "no table 'alertz': leave it out to see all" in capsys.readouterr().err


@pytest.mark.parametrize(
    "wrong",
    ["somewhere", "ftp://x", "file:", "http://", "OFF", "", "http://user:key@lineage.example"],
)
def test_where_lineage_goes_is_checked(wrong: str) -> None:
    with pytest.raises(SettingsError, match="LINEAGE_TO is"):
        Settings().changed(LINEAGE_TO=wrong)


@pytest.mark.parametrize(
    "right", ["off", "console", "file:runs.jsonl", "https://lineage.example/in"]
)
def test_where_lineage_can_go(right: str) -> None:
    assert right == Settings().changed(LINEAGE_TO=right).LINEAGE_TO
