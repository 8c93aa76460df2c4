"""Senders that behave as SDKs do: what was not answered 200 is sent again, with the same ids."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from http.client import HTTPException
from typing import Any

from tests.servers.collector import Answer, Asked


class Load:
    """Notes which events were answered 200; ``filling`` are characters in each event."""

    def __init__(
        self, collector: Asked, key: str, *, events: int = 20, filling: int = 0, pause_s: float = 0.02
    ) -> None:  # fmt: skip
        self.acknowledged: set[str] = set()
        self.answers: Counter[int] = Counter()  # by status; 0: none came
        self.slowest_s = 0.0  # of the answers that were no 200
        self.last_200_s = time.monotonic()
        self.longest_pause_s = 0.0  # between two answers of 200
        self.without_retry_after = 0  # of the answers 429 and 503
        self._collector = collector
        self._key = key
        self._events = events
        self._properties = {"text": "x" * filling}
        self._pause_s = pause_s
        self._stopped = threading.Event()

    @contextmanager
    def running(self, senders: int = 4) -> Iterator[None]:
        with ThreadPoolExecutor(senders) as threads:
            done = [threads.submit(self._send, number) for number in range(senders)]
            try:
                yield
            finally:
                self._stopped.set()
            for sender in done:
                sender.result(30)

    def wait_for_more(self, timeout_s: float = 30.0) -> float:
        """Until an event more is answered 200; in how many seconds."""
        began_s, before = time.monotonic(), len(self.acknowledged)
        while len(self.acknowledged) == before:
            assert time.monotonic() - began_s < timeout_s, dict(self.answers)
            time.sleep(0.01)
        return time.monotonic() - began_s

    def _send(self, sender: int) -> None:
        number = 0
        while not self._stopped.is_set():
            number += 1
            ids = [f"{sender}-{number}-{part}" for part in range(self._events)]
            batch = {"batch": [self._event(message_id) for message_id in ids]}
            while not (answered := self._answered(batch)) and not self._stopped.is_set():
                time.sleep(self._pause_s)
            if answered:
                self.acknowledged.update(ids)

    def _event(self, message_id: str) -> dict[str, Any]:
        return {
            "type": "track", "event": "Viewed", "userId": message_id, "messageId": message_id,
            "timestamp": datetime.now(UTC).isoformat(), "properties": self._properties,
        }  # fmt: skip

    def _answered(self, batch: object) -> bool:
        began_s = time.monotonic()
        try:
            answer = self._collector.post("/v1/batch", batch, self._key)
        except (OSError, HTTPException):
            self.answers[0] += 1
            return False
        self._note(answer, began_s)
        return answer.status == 200

    def _note(self, answer: Answer, began_s: float) -> None:
        now_s = time.monotonic()
        self.answers[answer.status] += 1
        if answer.status == 200:
            self.longest_pause_s = max(self.longest_pause_s, now_s - self.last_200_s)
            self.last_200_s = now_s
        else:
            self.slowest_s = max(self.slowest_s, now_s - began_s)
            self.without_retry_after += int(answer.headers.get("retry-after", 0)) < 1
