"""Has a courier at work for each forward that is on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg

from horizon import clock
from horizon.errors import ForbiddenTargetError, HorizonError, OutboundError, UsageError
from horizon.forward.book import read_address
from horizon.forward.courier import Courier, Order
from horizon.forward.endpoint import Endpoint
from horizon.forward.message import installation_id
from horizon.forward.rules import Meaning, endpoint_of, meaning_of
from horizon.forward.secret import open_key
from horizon.forward.spans import QUERIES
from horizon.keys import Keys
from horizon.log import Logger
from horizon.outbound import HttpOutbound
from horizon.outbound.rules import AllowList, read_target
from horizon.postgres.database import Database, Role
from horizon.settings import Settings

LOOK_S = 1.0  # how soon a forward that was added, changed or paused is so
LOG_EVERY_S = 5.0
ANSWER_BYTES = 600_000  # a receiver that refuses each of 250 events says so of each
FORGET_EVERY = timedelta(hours=1)


@dataclass
class Tally:
    """What a forward did since its last line in the log."""

    sent: int = 0
    refused: int = 0
    looped: int = 0
    lag_s: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, sent: int, refused: int, looped: int, lag_s: float) -> None:
        with self.lock:
            self.sent += sent
            self.refused += refused
            self.looped += looped
            self.lag_s = max(self.lag_s, lag_s)

    def take(self) -> dict[str, Any]:
        with self.lock:
            figures = {
                "sent": self.sent, "refused": self.refused, "looped": self.looped,
                "lag_s": round(self.lag_s, 3),
            }  # fmt: skip
            self.sent = self.refused = self.looped = 0
            self.lag_s = 0.0
        return figures


@dataclass
class Working:
    row: tuple[Any, ...]
    courier: Courier
    thread: threading.Thread
    tally: Tally


class Forwarder:
    """For one thread; couriers have their own."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        keys: Keys,
        log: Logger,
        say: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._database = database
        self._keys = keys
        self._log = log.bind(stage="forward", component="forwarder", correlation_id=str(uuid4()))
        self._say = say
        self._working: dict[str, Working] = {}
        self._forgot_at = datetime.min.replace(tzinfo=clock.now().tzinfo)
        self._away = ""

    def serve(self, stop: threading.Event) -> None:
        logged_s = 0.0
        while not stop.is_set():
            self._look()
            stop.wait(LOOK_S)
            logged_s += LOOK_S
            if logged_s >= LOG_EVERY_S:
                self._tell()
                logged_s = 0.0
        for one in self._working.values():
            one.courier.stop()
        for one in self._working.values():
            one.thread.join()
        self._tell()

    def _look(self) -> None:
        try:
            wanted = {row.name: tuple(row) for row in self._at_work()}
            self._away = ""
        except (HorizonError, psycopg.Error) as exc:
            said = str(exc).partition("\n")[0]
            if said != self._away:
                self._say(said)
            self._away = said
            return
        for name, one in list(self._working.items()):
            if wanted.get(name) != one.row or not one.thread.is_alive():
                self._end(name)
        for name, row in wanted.items():
            if name not in self._working:
                self._begin(name, row)

    def _at_work(self) -> list[Any]:
        now = clock.now()
        with self._database.transaction(Role.WORKER) as tx:
            if now - self._forgot_at > FORGET_EVERY:
                tx.execute(QUERIES["forget_refused"], {"clock": now})
                self._forgot_at = now
            return tx.execute(QUERIES["at_work"]).fetchall()

    def _end(self, name: str) -> None:
        one = self._working[name]
        one.courier.stop()
        one.thread.join(LOOK_S)
        if not one.thread.is_alive():  # else it waits for an answer: the next look takes it away
            self._tell_of(name, one)
            del self._working[name]

    def _begin(self, name: str, row: tuple[Any, ...]) -> None:
        forward_id, _, url, source_id, allow_private, box = row
        try:
            key = open_key(self._keys, url, bytes(box))
        except HorizonError as exc:
            self._refuse(forward_id, name, str(exc))
            return
        order = Order(forward_id, name, source_id, installation_id(self._keys, self._database.name))
        tally = Tally()
        endpoint = Endpoint(endpoint_of(url), key, outbound(self._settings, url, allow_private))
        courier = Courier(
            order, self._database, endpoint, tally.add, lambda why: self._complain(name, why)
        )
        thread = threading.Thread(target=courier.serve, name=f"forward {name}")
        self._working[name] = Working(row, courier, thread, tally)
        thread.start()

    def _refuse(self, forward_id: int, name: str, why: str) -> None:
        with self._database.transaction(Role.WORKER) as tx:
            tx.execute(QUERIES["stop"], {
                "forward_id": forward_id, "state": "key_refused", "error": why,
                "clock": clock.now(),
            })  # fmt: skip
        self._complain(name, why)

    def _complain(self, name: str, why: str) -> None:
        self._say(f"{name}: {why}")
        self._log.error("forward", forward=name, status="failed", error=why)

    def _tell(self) -> None:
        for name, one in self._working.items():
            self._tell_of(name, one)

    def _tell_of(self, name: str, one: Working) -> None:
        figures = one.tally.take()
        if figures["sent"] or figures["refused"] or figures["looped"]:
            self._log.info("forward", forward=name, **figures)


def outbound(settings: Settings, url: str, allow_private: bool) -> HttpOutbound:
    """``allow_private``: the operator said that this address may be private or without TLS."""
    named = [read_target(url).place] if allow_private else []
    allow = AllowList.read([*settings.outbound_allow, *named])
    return HttpOutbound(allow, timeout_s=settings.FORWARD_TIMEOUT_S, most_bytes=ANSWER_BYTES)


def check_address(settings: Settings, url: str, *, allow_private: bool) -> None:
    """Raises UsageError for an address that may not be asked; one that does not resolve now may
    do so later."""
    read_address(url)
    try:
        outbound(settings, url, allow_private).check(url)
    except ForbiddenTargetError as exc:
        raise UsageError(f"{exc} Or say --allow-private.") from exc
    except OutboundError:
        pass


def try_key(settings: Settings, url: str, key: str, *, allow_private: bool) -> str | None:
    """Send a batch without an event. What is odd about the answer, for people; a receiver that is
    away now may take events later. Raises UsageError where it refuses the key."""
    client = outbound(settings, url, allow_private)
    endpoint = Endpoint(endpoint_of(url), key, client)
    try:
        status = endpoint.post(()).status
    except OutboundError as exc:
        return str(exc)
    finally:
        client.close()
    meaning = meaning_of(status)
    if meaning is Meaning.KEY_REFUSED:
        raise UsageError(
            f"The endpoint does not take this key (it answers {status}): give the write key of its "
            "source, or --no-try where it refuses a batch without events."
        )
    # Some refuse a batch without events, and know the key.
    return None if meaning in (Meaning.TAKEN, Meaning.REFUSED) else f"it answers {status}"
