"""Ships the log: reads, sends over two connections, stores how far it is, follows."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from queue import SimpleQueue

from horizon import clock
from horizon.alone import alone
from horizon.errors import HorizonError
from horizon.observe.shipper import bulk, position
from horizon.observe.shipper.batch import Batch
from horizon.observe.shipper.bulk import Outcome, Patience, StoppedError
from horizon.observe.shipper.client import Client
from horizon.observe.shipper.dead_letters import DeadLetter, DeadLetters
from horizon.observe.shipper.files import LogUnreadableError
from horizon.observe.shipper.index import prepare
from horizon.observe.shipper.reader import Reader
from horizon.observe.shipper.state import Status
from horizon.observe.shipper.watch import Watch
from horizon.settings import Settings

CONNECTIONS = 2
UNDER_WAY = CONNECTIONS + 1  # batches in memory: one is made while two are sent
STORE_EVERY_S = 0.2
TELL_EVERY_S = 1.0
LOOK_EVERY_S = 1.0  # where the kernel's notices are missed: on network file systems they are
ATTEMPTS_ONCE = 6  # of --once, about 15 s
TRYING = "the search server takes no lines yet: trying for some 15 s."

Say = Callable[[str], None]


def _say(sentence: str) -> None:
    print(f"horizon: {sentence}", file=sys.stderr, flush=True)


def _unwritable(path: Path, exc: OSError) -> str:
    return f"{path} cannot be written ({exc.strerror}): free some disk, or set HORIZON_HOME."


@dataclass(frozen=True)
class Shipped:
    """What one shipper did."""

    indexed: int
    there: int
    refused: int
    lost_files: int
    lost_bytes: int


class Shipper:
    """Not for two threads; ``stop`` may be set from any."""

    def __init__(self, settings: Settings, *, once: bool, stop: threading.Event) -> None:
        self._settings = settings
        self._once = once
        self._stop = stop
        self._clients = [Client(settings) for _ in range(CONNECTIONS)]
        self._free: SimpleQueue[Client] = SimpleQueue()
        for client in self._clients:
            self._free.put(client)
        self._patience = Patience(
            stop, self._server_away, self._server_well, ATTEMPTS_ONCE if once else None
        )
        self._status = Status(pid=os.getpid(), at="")
        self._folder = position.folder(settings)
        self._pending: deque[tuple[Future[Outcome], Batch]] = deque()
        self._stored_at = self._told_at = 0.0
        self._telling = threading.Lock()
        self._dirty = False
        self._lost_told = 0
        self._unreadable = ""
        # A data stream may hold lines that another sent just before it died.
        self._doubtful = UNDER_WAY if settings.ES_DATA_STREAM == "on" else 0

    def run(self, ready: Callable[[], None] = lambda: None) -> Shipped:
        """Ship until stopped, or once what is there.

        Raises AlreadyRunningError, HorizonError; with ``once`` also what stopped it.
        """
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as exc:
            raise HorizonError(_unwritable(self._folder, exc)) from exc
        with alone(self._folder / "lock", _runs_already):
            ready()
            self._letters = DeadLetters(self._folder / "dead-letters.jsonl")
            target = f"{self._clients[0].name}/{self._settings.ES_INDEX}"
            stored = position.load(self._folder / "position.json", target)
            self._reader = Reader(self._settings.log_path, stored)
            self._lost_told = stored.lost_files
            try:
                self._ship()
            except StoppedError:
                pass
            finally:
                self._end()
        counted = self._reader.position
        return Shipped(
            self._status.shipped, self._status.there, self._status.refused,
            counted.lost_files, counted.lost_bytes,
        )  # fmt: skip

    def _ship(self) -> None:
        patience = replace(self._patience, waiting=self._away_at_start)
        prepare(self._clients[0], self._settings, patience, _say)
        with ThreadPoolExecutor(CONNECTIONS, "shipper") as pool, self._watch() as watch:
            try:
                while not self._stop.is_set():
                    found = self._look(pool)
                    if self._once:
                        break
                    if not found:
                        self._settle(0)
                        self._store()
                        watch.wait(LOOK_EVERY_S)
                self._settle(0)
            except HorizonError:
                self._stop.set()  # the other connection's thread has to end too
                raise

    def _watch(self) -> contextlib.AbstractContextManager[Watch]:
        return Watch(self._settings.log_path, self._stop, idle=self._once)

    def _look(self, pool: ThreadPoolExecutor) -> bool:
        found = False
        try:
            for batch in self._reader.look(clock.now(), once=self._once):
                found = True
                self._settle(UNDER_WAY - 1)
                self._pending.append((pool.submit(self._send, batch), batch))
                if self._stop.is_set():
                    break
            self._unreadable = ""
        except LogUnreadableError as exc:
            if self._once:
                raise
            if self._unreadable != str(exc):
                self._unreadable = str(exc)
                _say(self._unreadable)
        self._tell()
        return found

    def _send(self, batch: Batch) -> Outcome:
        """In a thread of the pool."""
        client = self._free.get()
        try:
            stream = self._settings.ES_DATA_STREAM == "on"
            outcome = bulk.ship(
                client, self._settings.ES_INDEX, batch.items, self._patience,
                stream=stream, doubtful=self._doubtful > 0,
            )  # fmt: skip
        finally:
            self._free.put(client)
        letters = [*batch.letters, *(batch.refused(*one) for one in outcome.refused)]
        if letters:
            self._bury(letters)
        return outcome

    def _bury(self, letters: list[DeadLetter]) -> None:
        for attempt in count(1):
            try:
                added = self._letters.add(letters)
            except OSError as exc:
                self._patience.wait(attempt, _unwritable(self._letters.path, exc))
                continue
            if added:
                _say(
                    f"{added} lines cannot be shipped ({letters[-1].reason}): they are in "
                    f"{self._letters.path}."
                )
            return

    def _settle(self, most: int) -> None:
        """Wait until at most ``most`` batches are under way; they are settled in their order."""
        while self._pending and (len(self._pending) > most or self._pending[0][0].done()):
            sending, batch = self._pending[0]
            try:
                outcome = sending.result(timeout=TELL_EVERY_S)
            except TimeoutError:
                self._reader.glance()
                self._tell()
                continue
            self._pending.popleft()
            batch.settle()
            self._count(batch, outcome)
            self._dirty = True
            if time.monotonic() - self._stored_at > STORE_EVERY_S:
                self._store()

    def _count(self, batch: Batch, outcome: Outcome) -> None:
        self._status.shipped += outcome.indexed
        self._status.there += outcome.there
        self._status.refused += len(outcome.refused) + len(batch.letters)
        if self._doubtful:
            self._doubtful = UNDER_WAY if outcome.there else self._doubtful - 1
        self._tell()

    def _store(self) -> None:
        counted = self._reader.position
        if counted.lost_files > self._lost_told:
            self._lost_told, self._dirty = counted.lost_files, True
            _say(
                f"rotation took {counted.lost_bytes} bytes of the log away before they were "
                "shipped: set LOG_KEEP or LOG_MAX_BYTES higher."
            )
        if not self._dirty:
            return
        try:
            position.replace_file(self._folder / "position.json", counted, durable=True)
        except OSError as exc:
            _say(
                f"how far the log is shipped cannot be stored in {self._folder} ({exc.strerror}): "
                "free some disk; until then a restart ships again what is there already."
            )
        self._dirty = False
        self._stored_at = time.monotonic()

    def _tell(self, *, at_once: bool = False) -> None:
        if not at_once and time.monotonic() - self._told_at < TELL_EVERY_S:
            return
        self._told_at = time.monotonic()
        with self._telling, contextlib.suppress(OSError):  # no disk: there is no lag to be seen
            self._status.at = clock.utc_text(clock.now())
            position.replace_file(self._folder / "status.json", self._status, durable=False)

    def _end(self) -> None:
        """Store what was answered."""
        while self._pending and self._pending[0][0].done() and not self._pending[0][0].exception():
            self._settle(len(self._pending) - 1)
        self._store()
        self._status.server = "stopped"
        self._tell(at_once=True)
        for client in self._clients:
            client.close()

    def _server_away(self, why: str) -> None:
        if self._status.said != why:
            self._status.said = why
            if self._status.server != "away":
                self._status.server, self._status.since = "away", clock.utc_text(clock.now())
                # With --once the command ends with the reason, if it comes to that.
                _say(TRYING if self._once else f"{why} The log waits and is shipped later.")
            self._tell(at_once=True)

    def _away_at_start(self, why: str) -> None:
        self._server_away(why)
        self._reader.glance()  # what rotation takes away meanwhile is counted
        self._store()

    def _server_well(self) -> None:
        if self._status.server == "away":
            _say("the search server takes lines again.")
        if self._status.server != "well":
            self._status.server, self._status.said = "well", ""
            self._status.since = clock.utc_text(clock.now())


def _runs_already(process: str) -> str:
    return (
        f"A shipper runs already ({process}; `horizon up` starts one where ES_URL is set): stop "
        "that one first."
    )
