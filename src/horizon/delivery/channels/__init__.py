"""The channels, a folder each, all alike: ``transport``, settings, templates, tests.

A folder's ``__init__`` has ``NAME``, the channel that consent is given for, and
``open_channel(means)``. Adding a channel touches its own folder and nothing else.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from types import ModuleType

from horizon.delivery.ports import Channel, Means
from horizon.errors import UsageError


def open_channel(name: str, means: Means) -> Channel:
    """Raises UsageError, which names the channels there are, and SettingsError."""
    folder = _folders().get(name)
    if folder is None:
        raise UsageError(f"There is no channel {name!r}: use one of {', '.join(names())}.")
    channel: Channel = folder.open_channel(means)
    return channel


def names() -> list[str]:
    return sorted(_folders())


@cache
def _folders() -> dict[str, ModuleType]:
    found = (
        importlib.import_module(f"{__name__}.{module.name}")
        for module in pkgutil.iter_modules(__path__)
        if module.ispkg
    )
    return {folder.NAME: folder for folder in found}
