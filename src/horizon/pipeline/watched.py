"""Channels that are counted: what a sender hands over, what is answered, and after how long."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from horizon.counters import Counters
from horizon.counters import families as f
from horizon.delivery.limits import Limit
from horizon.delivery.ports import Channel, Claimed, Means, Parcel, Transport
from horizon.errors import TransportError

_BOUNDS = f.SEND_SECONDS.buckets

OpenChannel = Callable[[str, Means], Channel]


def watched(open_channel: OpenChannel, counters: Counters) -> OpenChannel:
    def opened(name: str, means: Means) -> Channel:
        return WatchedChannel(open_channel(name, means), counters)

    return opened


@dataclass(frozen=True)
class WatchedChannel:
    """See delivery.ports.Channel."""

    inner: Channel
    counters: Counters

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def one_server(self) -> bool:
        return self.inner.one_server

    @property
    def connections(self) -> int:
        return self.inner.connections

    @property
    def limits(self) -> Mapping[str, Limit]:
        return self.inner.limits

    def compose(self, message: Claimed) -> Parcel:
        return self.inner.compose(message)

    def transport(self) -> WatchedTransport:
        return WatchedTransport(self.inner.transport(), self.counters, (self.inner.name,))


class WatchedTransport:
    """See delivery.ports.Transport. Belongs to one thread, as what it watches does."""

    def __init__(self, inner: Transport, counters: Counters, labels: tuple[str]) -> None:
        self._inner = inner
        self._counters = counters
        self._labels = labels
        self._open = False

    @property
    def connected(self) -> bool:
        return self._inner.connected

    def connect(self) -> None:
        result = "failed"
        try:
            self._inner.connect()
            result = "done"
        finally:
            self._counters.add(f.CONNECTS, 1, (*self._labels, result))
            self._note()

    def send(self, parcels: Iterator[Parcel]) -> Iterator[str | TransportError]:
        """Counted when the group is over: a lock a group and not a message."""
        begun: deque[float] = deque()
        results: Counter[str] = Counter()
        buckets, seconds = [0.0] * (len(_BOUNDS) + 1), 0.0

        def noted() -> Iterator[Parcel]:
            for parcel in parcels:
                begun.append(time.perf_counter())
                yield parcel

        try:
            for outcome in self._inner.send(noted()):
                took_s = time.perf_counter() - begun.popleft()
                buckets[bisect_left(_BOUNDS, took_s)] += 1
                seconds += took_s
                results[result_of(outcome)] += 1
                yield outcome
        finally:
            self._counters.observe_all(f.SEND_SECONDS, buckets, seconds, self._labels)
            for result, count in results.items():
                self._counters.add(f.SENDS, count, (*self._labels, result))
            self._note()

    def close(self) -> None:
        self._inner.close()
        self._note(closed=True)

    def _note(self, *, closed: bool = False) -> None:
        """A gauge a process, of all its connections."""
        is_open = self._inner.connected and not closed
        if is_open != self._open:
            self._open = is_open
            self._counters.add(f.CONNECTIONS, 1 if is_open else -1, self._labels)


def result_of(outcome: str | TransportError) -> str:
    if isinstance(outcome, str):
        return "sent"
    return "unknown" if outcome.content_begun else "refused"
