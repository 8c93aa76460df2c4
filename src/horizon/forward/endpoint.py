"""Posts batches to one endpoint: again while it is away, in halves while it refuses some."""

from __future__ import annotations

import base64
import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from horizon import clock
from horizon.errors import HorizonError, OutboundError
from horizon.forward.lanes import in_batches
from horizon.forward.message import Row
from horizon.forward.rules import Meaning, meaning_of, rejected_in, wait_s
from horizon.forward.spans import Refused
from horizon.outbound import Answer, Outbound
from horizon.outbound.answers import read_patience, scrubbed

BATCH_EVENTS: Final = 250
BATCH_BYTES: Final = 480_000  # of 500,000, with room for what stands around the events
HALVED_AFTER = 4  # tries that were answered 500
BLAMED_AFTER = 8
REFUSED_IN_A_ROW = 100

_READ_BYTES = 4_000  # of an answer; 500 characters are kept
_KEY_REFUSED = "the key is refused: give another with `horizon forward set NAME --key KEY`"
_HEAD, _TAIL = b'{"batch":[', b"]}"


ANEW = "anew"


class StoppedError(HorizonError):
    """It cannot go on. ``state``: the forward's from now on; none: we were asked to stop; ANEW:
    the page is to be read again, since it may have more events by now."""

    def __init__(self, message: str = "", state: str | None = None) -> None:
        super().__init__(message)
        self.state = state


@dataclass(frozen=True)
class Health:
    """How the endpoint does: what is stored beside the forward."""

    error: str | None = None
    attempt: int = 0
    next_try_at: datetime | None = None
    last_sent_at: datetime | None = None


class Outcome:
    """What became of a page's rows, by their numbers. Lanes write at different places of it."""

    def __init__(self, count: int) -> None:
        self.sent = bytearray(count)
        self.refused: dict[int, Refused] = {}

    def settled(self, number: int) -> bool:
        return bool(self.sent[number]) or number in self.refused


@dataclass(frozen=True)
class Item:
    number: int
    row: Row
    body: bytes


class Endpoint:
    """For threads: each sends its own items."""

    def __init__(self, url: str, key: str, outbound: Outbound) -> None:
        self._url = url
        self._outbound = outbound
        self._halted = threading.Event()
        self._headers = {
            "Content-Type": "application/json",
            "Authorization": "Basic " + base64.b64encode(f"{key}:".encode()).decode(),
        }
        # As an endpoint may say them back; the last characters of the second depend on ":" alone.
        self.secrets = (key, self._headers["Authorization"].removeprefix("Basic ").rstrip("="))
        self._lock = threading.Lock()
        self._closed_until = 0.0  # monotonic: the receiver asked for patience
        self._taken = 0
        self._in_a_row = 0  # refused, and nothing taken between
        self._troubles: dict[int, Health] = {}  # by thread
        self._last_sent_at: datetime | None = None

    @property
    def health(self) -> Health:
        with self._lock:
            worst = max(self._troubles.values(), key=lambda one: one.attempt, default=Health())
            return Health(worst.error, worst.attempt, worst.next_try_at, self._last_sent_at)

    def halt(self) -> None:
        """Have whoever sends or waits end after the answer that is under way."""
        self._halted.set()

    def go_on(self) -> None:
        self._halted.clear()
        with self._lock:
            self._troubles.clear()

    def close(self) -> None:
        self._outbound.close()

    def send(self, items: Sequence[Item], outcome: Outcome) -> None:
        """All of them, in their order, until each is taken or refused. Raises StoppedError."""
        for part in in_batches([len(item.body) for item in items], BATCH_EVENTS, BATCH_BYTES):
            _Sending(self, outcome).send([items[number] for number in part])

    def post(self, items: Sequence[Item]) -> Answer:
        body = _HEAD + b",".join([item.body for item in items]) + _TAIL
        return self._outbound.post(self._url, body, self._headers)

    @property
    def taken(self) -> int:
        return self._taken

    def was_taken(self, count: int) -> None:
        with self._lock:
            self._taken += 1
            if count:
                self._in_a_row = 0
            self._last_sent_at = clock.now()
            self._troubles.pop(threading.get_ident(), None)

    def was_refused(self, said: str) -> None:
        """Raises StoppedError where it refuses one after the other: then the mistake is not in
        the events, and none of them may be given up for it."""
        with self._lock:
            self._in_a_row += 1
            if self._in_a_row < REFUSED_IN_A_ROW:
                return
        raise StoppedError(
            f"it refused {REFUSED_IN_A_ROW} events in a row ({said}): see `horizon forward refused "
            "NAME`, and when it is mended `horizon forward resume NAME`",
            "all_refused",
        )

    def wait(self, attempt: int, retry_after_s: float | None, said: str) -> None:
        """Until it may be asked again. Raises StoppedError."""
        seconds = wait_s(attempt, retry_after_s)
        with self._lock:
            if retry_after_s:
                self._closed_until = max(self._closed_until, time.monotonic() + retry_after_s)
            next_try_at = clock.now() + timedelta(seconds=seconds)
            self._troubles[threading.get_ident()] = Health(said, attempt, next_try_at)
        self._pause(seconds)

    def open(self) -> None:
        """Wait until no patience is asked for. Raises StoppedError."""
        self._pause(self._closed_until - time.monotonic())

    def _pause(self, seconds: float) -> None:
        if self._halted.wait(max(0.0, seconds)):
            raise StoppedError


def kept_of(answer: bytes, row: Row, secrets: Sequence[str] = ()) -> str:
    """The receiver's words without addresses, without whom they are about and without our key."""
    told = answer[:_READ_BYTES].decode(errors="replace")
    for secret in secrets:
        told = told.replace(secret, "(key)")
    for who in (row.user_id, row.anonymous_id, row.previous_id, row.group_id):
        if who:
            told = re.sub(rf"(?<!\w){re.escape(who)}(?!\w)", "(id)", told)
    return scrubbed(told)


class _Sending:
    """One batch, and what it is halved into."""

    def __init__(self, endpoint: Endpoint, outcome: Outcome) -> None:
        self._endpoint = endpoint
        self._outcome = outcome
        self._attempt = 0
        self._taken_before = endpoint.taken

    def send(self, items: Sequence[Item]) -> None:
        tries = 0
        while True:
            self._endpoint.open()
            try:
                answer = self._endpoint.post(items)
            except OutboundError as exc:
                self._again(scrubbed(str(exc)), None)
                continue
            meaning, said = meaning_of(answer.status), f"it answers {answer.status}"
            if meaning is Meaning.TAKEN:
                self._take(items, answer)
                return
            if meaning is Meaning.KEY_REFUSED:
                raise StoppedError(f"{said}: {_KEY_REFUSED}", "key_refused")
            tries += meaning is Meaning.DOUBTFUL
            if meaning is Meaning.REFUSED or self._to_blame(len(items), tries):
                self._part(items, answer, said)
                return
            self._again(said, read_patience(answer.headers.get("retry-after"), clock.now()))

    def _to_blame(self, count: int, tries: int) -> bool:
        """Halves tell the one event that it stumbles over from the others; that one is given up
        only where others were taken meanwhile. Raises StoppedError where there are no others: some
        may have come by now."""
        if count > 1 or tries < BLAMED_AFTER:
            return count > 1 and tries >= HALVED_AFTER
        if self._endpoint.taken == self._taken_before:
            raise StoppedError(state=ANEW)
        return True

    def _again(self, said: str, retry_after_s: float | None) -> None:
        self._attempt += 1
        self._endpoint.wait(self._attempt, retry_after_s, said)

    def _take(self, items: Sequence[Item], answer: Answer) -> None:
        self._attempt = 0
        refused = rejected_in(answer.body, len(items))
        for place, item in enumerate(items):
            if place in refused:
                told = Refused(
                    item.row,
                    answer.status,
                    kept_of(refused[place].encode(), item.row, self._endpoint.secrets),
                )
                self._outcome.refused[item.number] = told
            else:
                self._outcome.sent[item.number] = 1
        self._endpoint.was_taken(len(items) - len(refused))

    def _part(self, items: Sequence[Item], answer: Answer, said: str) -> None:
        if len(items) > 1:
            half = len(items) // 2
            self.send(items[:half])
            self.send(items[half:])
            return
        told = Refused(
            items[0].row, answer.status, kept_of(answer.body, items[0].row, self._endpoint.secrets)
        )
        self._endpoint.was_refused(said)
        self._outcome.refused[items[0].number] = told
