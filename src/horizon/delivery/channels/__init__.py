"""The channels: a folder each, all alike. Adding one touches its folder and nothing else.

::

    NAME/__init__.py    what this registry asks for, see ``Folder``
    NAME/transport.py   ports.Transport: a connection to a provider
    NAME/settings.py    a Section whose names begin with NAME_, where the channel has settings
    NAME/templates/     what its messages are made of
    NAME/tests/         its tests, which no wheel carries
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, cast

from horizon.delivery.ports import Channel, Means
from horizon.errors import UsageError
from horizon.section import Section, load_section
from horizon.settings import Settings


class Folder(Protocol):
    """What a channel's package holds.

    ``NAME`` is what campaigns and consents call the channel, ``SETTINGS`` its section or None.
    """

    NAME: str
    SETTINGS: type[Section] | None

    def check_campaign(
        self, settings: Settings, *, audience: str, template: str, target: str | None
    ) -> str:
        """The digest of the template. Raises UsageError where such a campaign could not be sent."""

    def open_channel(self, means: Means) -> Channel:
        """Raises SettingsError."""


def find(name: str) -> Folder:
    """Raises UsageError, which names the channels that there are."""
    known = _folders()
    if name not in known:
        raise UsageError(f"There is no channel {name!r}: choose one of {', '.join(sorted(known))}.")
    return known[name]


def names() -> list[str]:
    return sorted(_folders())


def open_channel(name: str, means: Means) -> Channel:
    """The channel of a campaign. Raises UsageError, or SettingsError of the channel's own."""
    return find(name).open_channel(means)


def sections() -> list[type[Section]]:
    return [found.SETTINGS for found in _folders().values() if found.SETTINGS is not None]


def check_settings(environ: Mapping[str, str] | None = None, folder: Path | None = None) -> None:
    """Raises SettingsError where a channel's own settings are wrong, sent through or not."""
    for section in sections():
        load_section(section, environ, folder)


def _folders() -> dict[str, Folder]:
    modules = [
        importlib.import_module(f"{__name__}.{found.name}")
        for found in pkgutil.iter_modules(__path__)
        if found.ispkg
    ]
    return {
        module.NAME: cast("Folder", module) for module in modules if hasattr(module, "open_channel")
    }
