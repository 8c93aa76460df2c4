"""The registry: a channel is a folder, and a third one is there as soon as its folder is."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from horizon import section
from horizon.delivery import channels
from horizon.delivery.ports import Claimed, Means
from horizon.errors import SettingsError, UsageError
from horizon.keys import Keys
from horizon.settings import Settings, load
from tests.world import NOW

KEYS = Keys(node=b"n" * 32, link=b"l" * 32)

TOY = {
    "settings.py": '''
from typing import Annotated, ClassVar

from horizon.section import Section
from horizon.settings import Named


class ToySettings(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    prefix: ClassVar[str] = "TOY_"
    TOY_FILE: Named = "toys"
''',
    "transport.py": '''
from pathlib import Path

from horizon.delivery.ports import Parcel


class ToyTransport:
    connected = True

    def __init__(self, file):
        self._file = Path(file)

    def connect(self):
        pass

    def send(self, parcels):
        for parcel in parcels:
            with self._file.open("ab") as file:
                file.write(parcel.content)
            yield "250 played"

    def close(self):
        pass


class ToyChannel:
    name = "toy"
    one_server, connections, limits = True, 1, {}

    def __init__(self, file):
        self._file = file

    def compose(self, message):
        template = Path(__file__).parent / "templates" / f"{message.template}.txt"
        content = template.read_text().format(**message.variables).encode()
        return Parcel(message.message_id, message.to_addr, content, "digest")

    def transport(self):
        return ToyTransport(self._file)
''',
    "__init__.py": '''
from horizon.section import load_section

from .settings import ToySettings
from .transport import ToyChannel

NAME = "toy"
SETTINGS = ToySettings


def check_campaign(settings, *, audience, template, target):
    return "digest"


def open_channel(means):
    return ToyChannel(load_section(ToySettings, means.environ, means.folder).TOY_FILE)
''',
    "templates/hello.txt": "Hello {first_name}\n",
}  # fmt: skip


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the channels with a third folder beside them."""
    folder = tmp_path / "channels"
    shutil.copytree(channels.__path__[0], folder, ignore=shutil.ignore_patterns("tests", "*.pyc"))
    for name, text in TOY.items():
        file = folder / "toy" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.setattr(channels, "__path__", [str(folder)])
    monkeypatch.setattr(section, "CHANNELS", folder)
    yield folder
    for name in [name for name in sys.modules if name.startswith(f"{channels.__name__}.toy")]:
        del sys.modules[name]


def test_a_third_channel_is_a_folder_and_nothing_else(toy: Path, tmp_path: Path) -> None:
    assert "toy" in channels.names()
    (tmp_path / "horizon.toml").write_text(f'TOY_FILE = "{tmp_path / "played"}"\n')
    channel = channels.open_channel("toy", _means(load({}, tmp_path), tmp_path))
    transport = channel.transport()
    answers = transport.send(channel.compose(_message(name)) for name in ("Ann", "Bob"))
    assert list(answers) == ["250 played"] * 2
    transport.close()
    assert (tmp_path / "played").read_text() == "Hello Ann\nHello Bob\n"


def _means(settings: Settings, folder: Path) -> Means:
    return Means(settings, KEYS, lambda urls: dict.fromkeys(urls, 1), {}, folder)


def _message(first_name: str) -> Claimed:
    return Claimed(
        message_id=uuid4(), campaign="c", profile_id=1, user_id=None, to_addr="somewhere",
        domain="", tier=None, variables={"first_name": first_name}, template="hello",
        occasion="o", planned_at=NOW, tracked=False, attempts=0,
    )  # fmt: skip


def test_its_settings_are_checked_like_all(toy: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="TOY_FILE is ''"):
        channels.check_settings({"TOY_FILE": ""}, tmp_path)
    (tmp_path / "horizon.toml").write_text('TOY_FIEL = "x"\n')
    load({}, tmp_path)
    with pytest.raises(SettingsError, match="there is no setting TOY_FIEL"):
        channels.check_settings({}, tmp_path)


def test_a_channel_takes_no_name_from_the_core(toy: Path, tmp_path: Path) -> None:
    (toy / "window").mkdir()
    (toy / "window" / "settings.py").touch()
    (tmp_path / "horizon.toml").write_text("WINDOW_DAYS = 21\n")
    assert load({}, tmp_path).WINDOW_DAYS == 21


def test_without_its_folder_there_is_neither_channel_nor_setting(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no channel 'toy': choose one of"):
        channels.open_channel("toy", _means(Settings(), tmp_path))
    (tmp_path / "horizon.toml").write_text('TOY_FILE = "x"\n')
    with pytest.raises(SettingsError, match="there is no setting TOY_FILE"):
        load({}, tmp_path)


@pytest.mark.parametrize("name", channels.names())
def test_all_folders_are_alike(name: str) -> None:
    folder = channels.find(name)
    assert name == folder.NAME
    path = Path(sys.modules[folder.check_campaign.__module__].__file__ or "").parent
    assert path.parent == Path(channels.__path__[0])
    assert (path / "transport.py").exists()
    assert any((path / "templates").iterdir())
    assert list((path / "tests").glob("test_*.py"))
    assert (path / "settings.py").exists() == (folder.SETTINGS is not None)
