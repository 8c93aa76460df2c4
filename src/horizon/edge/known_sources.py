"""The sources by their keys."""

from __future__ import annotations

from horizon.events.model import Source
from horizon.events.sources import keyed_sources, note_key_use
from horizon.serving.held import Desk
from horizon.serving.known_keys import KnownKeys


class KnownSources(KnownKeys[Source]):
    def __init__(self, desk: Desk) -> None:
        super().__init__(desk, keyed_sources, note_key_use)
