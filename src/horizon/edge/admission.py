"""Who may send: the source of a key, from an origin it allows, within its rate."""

from __future__ import annotations

import time
from collections.abc import Mapping

from horizon import clock
from horizon.edge.known_sources import KnownSources
from horizon.edge.limits import Limits
from horizon.events.model import Source
from horizon.events.origins import allows
from horizon.serving.http import Refusal

KEY_LENGTH = 200  # of a longer one nothing is kept, not even its digest


class Admission:
    def __init__(self, sources: KnownSources, limits: Limits) -> None:
        self._sources = sources
        self._limits = limits

    async def source(self, key: str, headers: Mapping[bytes, bytes]) -> Source:
        """The source that this key may send for from this origin. Raises Refusal, Unavailable."""
        if not key:
            raise Refusal(
                401, "missing_key",
                "Send the source's key as the user of HTTP Basic, or as writeKey in the body.",
            )  # fmt: skip
        source = await self._sources.find(key) if len(key) <= KEY_LENGTH else None
        if source is None:
            raise Refusal(
                401, "unknown_key",
                "No source has this key: copy it whole, or make a source that has one with "
                "`horizon source add NAME`.",
            )  # fmt: skip
        _check(source, headers)
        return source

    def give_back(self, source: Source, events: int) -> None:
        """Events that were counted and could not be taken."""
        self._limits.give_back(source, events, time.monotonic())

    def charge(self, source: Source, events: int) -> None:
        """Count the events against the source's limit. Raises Refusal where it is used up."""
        wait_s = self._limits.wait_s(source, events, time.monotonic())
        if wait_s:
            raise Refusal(
                429, "source_limited",
                f"Source {source.name} may send {source.rate:g} events a second: send these again "
                f"in {wait_s} s, or raise it with `horizon source set {source.name} --rate N`.",
                {"retry-after": str(wait_s)},
            )  # fmt: skip


def _check(source: Source, headers: Mapping[bytes, bytes]) -> None:
    if source.key_expires_at is not None and source.key_expires_at <= clock.now():
        raise Refusal(
            401, "expired_key",
            f"This key of source {source.name} was replaced and has ended: send with the new one.",
        )  # fmt: skip
    if not source.enabled:
        raise Refusal(
            403, "source_disabled",
            f"Source {source.name} is disabled: `horizon source enable {source.name}` lets it send "
            "again.",
        )  # fmt: skip
    origin = headers.get(b"origin", b"").decode("latin-1")
    if origin and source.origins and not allows(source.origins, origin):
        raise Refusal(
            403, "origin_not_allowed",
            f"Source {source.name} takes nothing from pages of {origin[:200]}: `horizon source set "
            f"{source.name} --origin ORIGIN` allows an origin.",
        )  # fmt: skip
