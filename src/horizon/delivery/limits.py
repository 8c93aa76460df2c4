"""What a domain is sent at most: messages a second, and connections at once, of one sender."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from horizon.delivery.rules import parse_rate
from horizon.errors import SettingsError, UsageError

CARRIED_S = 0.3
BUSY_S = 0.2  # until one of a domain's connections may be free again
_LIMIT = re.compile(r"([^\s=:,]+)=([\d./smh]*)(?::(\d+))?")


@dataclass(frozen=True)
class Limit:
    """``per_s`` and ``connections`` None: as many as there are."""

    per_s: float | None
    connections: int | None


def parse_limits(text: str) -> dict[str, Limit]:
    """``gmail.com=20/s:2, *=100/s`` by domain; raises SettingsError."""
    parts = filter(None, (part.strip() for part in text.split(",")))
    return dict(_parse(part) for part in parts)


def _parse(part: str) -> tuple[str, Limit]:
    found = _LIMIT.fullmatch(part)
    try:
        per_s = parse_rate(found[2]) if found and found[2] else None
    except UsageError:
        found = None
    if found is None or not (found[2] or found[3]) or found[3] == "0":
        raise SettingsError(
            f"SMTP_DOMAIN_LIMITS has {part!r}: it should look like gmail.com=20/s:2, a rate, a "
            "number of connections, or both; * stands for every other domain."
        )
    return found[1].lower(), Limit(per_s, int(found[3]) if found[3] else None)


class DomainLimits:
    """Shared by a sender's lanes. A message that must wait is told how long, each a turn later, so
    that nobody asks for it in vain."""

    def __init__(self, limits: Mapping[str, Limit]) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._next: dict[str, float] = {}  # when the domain's next message may leave
        self._queue: dict[str, float] = {}  # when the next one that has to wait is asked for again
        self._open: Counter[str] = Counter()

    def __bool__(self) -> bool:
        return bool(self._limits)

    def take(self, domain: str, held: Collection[str]) -> float:
        """Seconds to wait; 0: it may leave now. ``held``: what the asking lane has open."""
        limit = self._limits.get(domain) or self._limits.get("*")
        if limit is None:
            return 0.0
        with self._lock:
            now = time.monotonic()
            if limit.connections and domain not in held and self._open[domain] >= limit.connections:
                self._queue[domain] = max(self._queue.get(domain, 0.0), now + BUSY_S)
                return BUSY_S
            if limit.per_s is not None:
                if self._next.get(domain, 0.0) > now:
                    queue = max(self._queue.get(domain, 0.0), self._next[domain])
                    self._queue[domain] = queue + 1 / limit.per_s
                    return queue - now
                # What was not used in the last moment still may leave: lanes ask now and then.
                start = max(self._next.get(domain, 0.0), now - CARRIED_S)
                self._next[domain] = start + 1 / limit.per_s
            if domain not in held:
                self._open[domain] += 1
        return 0.0

    def leave(self, held: Collection[str]) -> None:
        with self._lock:
            self._open.subtract(held)

    @property
    def waiting(self) -> bool:
        """Whether somebody was told to wait, and that time has not come or came just now."""
        now = time.monotonic() - BUSY_S
        with self._lock:
            return any(until > now for until in self._queue.values())
