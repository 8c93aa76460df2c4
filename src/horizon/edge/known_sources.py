"""The sources by their keys."""

from __future__ import annotations

from functools import partial

from horizon.events.model import Source
from horizon.events.sources import keyed_sources, note_key_use
from horizon.serving.held import Desk
from horizon.serving.known_keys import KnownKeys


class KnownSources(KnownKeys[Source]):
    def __init__(self, desk: Desk, link_key: bytes | None = None) -> None:
        super().__init__(desk, partial(keyed_sources, link_key=link_key), note_key_use)
