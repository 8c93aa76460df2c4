"""Settings as a screen shows them."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from horizon.console.masking import HIDDEN
from horizon.settings import Settings


@dataclass(frozen=True)
class Shown:
    name: str
    value: str
    chosen: bool  # not as Horizon comes


def shown_settings(settings: Settings) -> list[Shown]:
    """Each in the order that Settings declares them; of a secret, only that there is one."""
    comes_with = msgspec.structs.asdict(Settings())
    return [
        Shown(name, _text(name, value), value != comes_with[name])
        for name, value in msgspec.structs.asdict(settings).items()
    ]


def _text(name: str, value: object) -> str:
    if value is None or value == "":
        return ""
    return HIDDEN if name in Settings.secrets else str(value)
