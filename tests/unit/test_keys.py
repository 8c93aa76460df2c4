"""Keys are made once, whoever asks at the same time, and are never guessed at."""

from __future__ import annotations

import stat
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from horizon import keys
from horizon.errors import HorizonError


def test_keys_are_made_once(tmp_path: Path) -> None:
    keys.make(tmp_path)
    first = keys.load(tmp_path)
    keys.make(tmp_path)
    assert keys.load(tmp_path) == first
    assert len(first.node) == len(first.link) == 32
    assert first.node != first.link


def make_and_load(home: Path) -> keys.Keys:
    keys.make(home)
    return keys.load(home)


def test_processes_that_start_at_once_agree(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4) as pool:
        assert len(set(pool.map(make_and_load, [tmp_path / "home"] * 16))) == 1


def test_only_the_owner_may_read_them(tmp_path: Path) -> None:
    keys.make(tmp_path)
    folder = tmp_path / "keys"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {path.name for path in folder.iterdir()} == set(keys.NAMES)  # nothing half is left
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_first_try_that_was_cut_off_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.getpid", lambda: 7)
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / ".NODE_KEY.7").write_text("half")
    keys.make(tmp_path)
    assert len(keys.load(tmp_path).node) == 32


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, r"NODE_KEY is missing: run `horizon init`, or restore it"),
        ("", "NODE_KEY is damaged: restore it from its backup"),
        ("00" * 31, "NODE_KEY is damaged: restore it from its backup"),
        ("zz" * 32, "NODE_KEY cannot be read as a key: restore it from its backup"),
        ("é", "NODE_KEY cannot be read as a key: restore it from its backup"),
    ],
)
def test_a_damaged_key_is_said_and_never_made_anew(
    text: str | None, said: str, tmp_path: Path
) -> None:
    keys.make(tmp_path)
    path = tmp_path / "keys" / "NODE_KEY"
    path.unlink()
    if text is not None:
        path.write_text(text)
        keys.make(tmp_path)
        assert path.read_text() == text
    with pytest.raises(HorizonError, match=said):
        keys.load(tmp_path)


def test_a_home_that_cannot_be_written_gets_a_sentence() -> None:
    with pytest.raises(HorizonError, match="/proc/horizon/keys cannot be written"):
        keys.make(Path("/proc/horizon"))
