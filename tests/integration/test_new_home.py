"""A home that nobody meant to make is told of."""

from __future__ import annotations

from pathlib import Path

import pytest

from horizon.cli import main
from horizon.postgres.database import Database


@pytest.fixture
def no_home(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shell in which HORIZON_HOME was forgotten."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HORIZON_HOME", raising=False)
    monkeypatch.setenv("PG_DSN", database.dsn)
    return tmp_path / ".horizon"


@pytest.mark.parametrize("words", [["source", "list"], ["score"]])
def test_a_forgotten_home_is_said_once(
    no_home: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(words) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        f"horizon: There was no installation in {no_home}, so an empty one was made: if yours is "
        "elsewhere, set HORIZON_HOME to its folder."
    )
    assert main.run(words) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("no_home")
def test_who_asks_for_one_is_told_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["init"]) == 0
    assert capsys.readouterr().err == ""
