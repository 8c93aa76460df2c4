"""One forward at work: pages from the database, in lanes to the endpoint, then kept as done."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

import psycopg

from horizon import clock
from horizon.errors import HorizonError
from horizon.forward.endpoint import ANEW, Endpoint, Health, Item, Outcome, StoppedError
from horizon.forward.lanes import in_lanes
from horizon.forward.message import has_been, message_of
from horizon.forward.spans import (
    QUERIES,
    Done,
    Page,
    Span,
    covered,
    keep,
    opened,
    read_page,
    sources_of,
    spans,
)
from horizon.postgres.database import Connection, Database, Role, closing_connection

LANES = 4
LOOK_S = 0.5  # how often one that has nothing to do looks for events
TELL_S = 1.0  # how old what is stored of its health may be
KEEP_IDLE_S = 60.0  # how old the watermark may be of one that has nothing to do
LONGEST_AWAY_S = 30.0

# Told after each page: sent, refused, looped, and the age of the oldest event of it.
Told = Callable[[int, int, int, float], None]


@dataclass(frozen=True)
class Order:
    """What a courier needs to know of its forward; with another order it is another courier."""

    forward_id: int
    name: str
    source_id: int | None
    installation: str


class Courier:
    """Works until ``stop``. Its connection belongs to its thread, the endpoint to its lanes too."""

    def __init__(
        self,
        order: Order,
        database: Database,
        endpoint: Endpoint,
        told: Told = lambda *_: None,
        complain: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.order = order
        self.endpoint = endpoint
        self.told = told
        self.complain = complain
        self.stopping = threading.Event()
        self._database = database

    def stop(self) -> None:
        self.stopping.set()
        self.endpoint.halt()

    def serve(self) -> None:
        """Deliver until it is stopped. A database that is away is waited for."""
        said, away_s = "", TELL_S
        while not self.stopping.is_set():
            try:
                self._work()
                said, away_s = "", TELL_S
            except StoppedError as exc:
                if exc.state == ANEW:
                    continue
                if exc.state is not None:
                    why = str(exc).replace("NAME", self.order.name)
                    self.complain(f"stopped, since {why}")
                    self._note_stop(exc.state, why)
                break
            except (HorizonError, psycopg.Error) as exc:
                if said != (said := _first_line(exc)):
                    self.complain(said)
                away_s = min(2 * away_s, LONGEST_AWAY_S)
            self.stopping.wait(away_s * random.uniform(0.8, 1.2))
        self.endpoint.close()

    def _work(self) -> None:
        # What a crash of the server takes back of how far it was is sent again, as after a kill; a
        # sync a page would stand in the way of the collector's.
        tx = self._database.connect(
            Role.WORKER, autocommit=True, options="-c synchronous_commit=off"
        )
        with closing_connection(tx), ThreadPoolExecutor(LANES, "lane") as pool:
            while not self._locked(tx):
                if self.stopping.wait(TELL_S):
                    return
            self.endpoint.go_on()
            try:
                Shift(self, tx, pool).serve()
            finally:
                self.endpoint.halt()  # or the pool waits for lanes that wait for the endpoint

    def _locked(self, tx: Connection) -> bool:
        row = tx.execute(QUERIES["lock"], {"forward_id": self.order.forward_id}).fetchone()
        return row is not None and bool(row.locked)

    def _note_stop(self, state: str, why: str) -> None:
        with self._database.transaction(Role.WORKER) as tx:
            tx.execute(QUERIES["stop"], {
                "forward_id": self.order.forward_id, "state": state, "error": why,
                "clock": clock.now(),
            })  # fmt: skip


class Shift:
    """A courier with a connection: from page to page."""

    def __init__(self, courier: Courier, tx: Connection, pool: ThreadPoolExecutor) -> None:
        self._courier = courier
        self._order = courier.order
        self._endpoint = courier.endpoint
        self._tx = tx
        self._pool = pool
        self._health = Health()
        self._live: Span | None = None
        self._kept_at = clock.now()
        self._ready: set[int] = set()

    def serve(self) -> None:
        stopping = self._courier.stopping
        if stopping.is_set():  # between the last look and go_on
            return
        while not stopping.is_set():
            sources = sources_of(self._tx, self._order.source_id)
            found = spans(self._tx, self._order.forward_id)
            if not found:  # removed meanwhile
                return
            self._live_pages(self._newest(found[0]), sources)
            if not any(self._replay_page(replay, sources) for replay in found[1:2]):
                stopping.wait(LOOK_S)

    def _newest(self, stored: Span) -> Span:
        """What was kept, or what is known since: empty windows are not worth a write each."""
        if self._live is not None and stored.until is None:
            return self._live
        return stored

    def _live_pages(self, span: Span, sources: Sequence[int]) -> None:
        """A window, to its end."""
        page = read_page(self._tx, opened(self._tx, span), sources)
        if page.rows:
            self._deliver(page, sources)
            return
        self._live = page.span.closed()
        overdue = (clock.now() - self._kept_at).total_seconds() > KEEP_IDLE_S
        if overdue or span.until is not None:
            self._keep(Done(self._live, (), (), ()))

    def _replay_page(self, replay: Span, sources: Sequence[int]) -> bool:
        if replay.span_id not in self._ready:
            live = self._live
            if live is None or not covered(self._tx, live, replay, sources):
                return False
            self._ready.add(replay.span_id)
        page = read_page(self._tx, replay, sources)
        if page.rows:
            self._deliver(page, sources)
        else:
            self._keep(Done(page.end(), (), (), ()))
        return True

    def _deliver(self, page: Page, sources: Sequence[int]) -> None:
        """This page and those after it in its window: the next is read while one is under way."""
        next_page: Page | None = page
        while next_page is not None and next_page.rows:
            page, outcome = next_page, Outcome(len(next_page.rows))
            looped = self._looped(page)
            lanes = self._begin(page, outcome, looped)
            following = not page.last and not page.span.again
            next_page = read_page(self._tx, page.end(), sources) if following else None
            try:
                self._wait(lanes)
            except StoppedError as exc:
                self._keep_beginning(page, outcome, looped, exc)
                raise
            self._keep_page(page.end(), page.rows, outcome, looped)

    def _looped(self, page: Page) -> set[int]:
        ours = self._order.installation
        return {number for number, row in enumerate(page.rows) if has_been(row.context, ours)}

    def _begin(self, page: Page, outcome: Outcome, looped: set[int]) -> list[Future[None]]:
        lanes = in_lanes(page.rows, LANES)
        return [self._pool.submit(self._lane, page, lane, outcome, looped) for lane in lanes]

    def _lane(self, page: Page, numbers: Sequence[int], outcome: Outcome, looped: set[int]) -> None:
        items = [
            Item(number, page.rows[number], message_of(page.rows[number], self._order.installation))
            for number in numbers
            if number not in looped
        ]
        self._endpoint.send(items, outcome)

    def _wait(self, lanes: Sequence[Future[None]]) -> None:
        """Until all are through. Raises what ended the first one, when the others have their
        answers."""
        waiting = set(lanes)
        while waiting:
            over, waiting = wait(waiting, timeout=TELL_S, return_when=FIRST_EXCEPTION)
            self._note_health()
            if any(one.exception() for one in over):
                self._endpoint.halt()
                wait(waiting)
                raise _telling([one.exception() for one in lanes])

    def _keep_beginning(
        self, page: Page, outcome: Outcome, looped: set[int], stopped: StoppedError
    ) -> None:
        """Of a page that was not ended what is settled up to its first row that is not; where all
        was refused, up to the first of those, since they are tried again."""
        count = 0
        for number in range(len(page.rows)):
            doubted = stopped.state == "all_refused" and number in outcome.refused
            if doubted or not (outcome.settled(number) or number in looped):
                break
            count += 1
        if count:
            end = page.span.moved(page.rows[count - 1])
            self._keep_page(end, page.rows[:count], outcome, looped)

    def _keep_page(
        self, end: Span, rows: Sequence[Any], outcome: Outcome, looped: set[int]
    ) -> None:
        numbers = range(len(rows))
        done = Done(
            end,
            [rows[number] for number in numbers if outcome.sent[number]],
            [outcome.refused[number] for number in numbers if number in outcome.refused],
            [rows[number] for number in sorted(looped) if number < len(rows)],
        )
        self._keep(done)
        oldest = min(row.received_at for row in rows)
        lag_s = max(0.0, (clock.now() - oldest).total_seconds())
        self._courier.told(len(done.sent), len(done.refused), len(done.looped), lag_s)

    def _keep(self, done: Done) -> None:
        self._kept_at = clock.now()
        keep(self._tx, self._order.forward_id, done, self._kept_at)
        if not done.span.again:
            self._live = done.span if done.span.until is None else None
        self._note_health()

    def _note_health(self) -> None:
        health = self._endpoint.health
        if health == self._health:
            return
        if health.error is not None and self._health.error is None:
            self._courier.complain(f"{health.error}; what waits is sent later")
        self._health = health
        values = {**vars(health), "forward_id": self._order.forward_id, "clock": clock.now()}
        self._tx.execute(QUERIES["note_health"], values)


def _telling(found: Sequence[BaseException | None]) -> BaseException:
    """Of what ended the lanes that which says why: the others were only asked to end."""
    raised = [one for one in found if one is not None]
    return next((one for one in raised if getattr(one, "state", "") is not None), raised[0])


def _first_line(exc: Exception) -> str:
    """Without the rows that a database's DETAIL shows."""
    if isinstance(exc, psycopg.Error):
        return exc.diag.message_primary or type(exc).__name__
    return str(exc)
