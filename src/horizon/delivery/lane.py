"""One connection's work: a group after the other, each marked before its first byte leaves."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

import psycopg

from horizon import clock
from horizon.delivery.breaker import is_block
from horizon.delivery.limits import DomainLimits
from horizon.delivery.outbox import GROUP, Outbox, Result
from horizon.delivery.pace import Pace
from horizon.delivery.ports import Channel, Claimed, Parcel, Transport
from horizon.delivery.rules import LONGEST_WAIT_S, Verdict, judge, scrubbed
from horizon.errors import HorizonError, TemplateError, TransportError

RECONNECTS = 3  # in a row, before the sender says that the server is away
RECONNECT_WAIT_S = 0.5
SENT = Verdict("sent", None)
GROUP_S = 0.015  # a group is what leaves in so long, since a crash leaves all of it in doubt
STOCK_GROUPS = 10
ASK_AGAIN_S = 2.0  # so late may a no be that came after its group was asked
MORE_COMES_S = 0.05
BREAKS = 5  # messages in a row that the connection broke with, before the server counts as away
RESCUES = 5  # tries to record what has left, when the database went away


@dataclass
class Common:
    """What the lanes of a run share."""

    stop: threading.Event
    pace: Pace
    report: Callable[[Sequence[Result]], None]
    more_comes: Callable[[], bool] = lambda: False
    limits: DomainLimits = field(default_factory=lambda: DomainLimits({}))
    away: TransportError | None = None
    told: TransportError | None = None  # one of those who did not serve us, where there are several
    breaks: int = 0

    @property
    def over(self) -> bool:
        return self.stop.is_set() or self.away is not None

    def count_break(self, outcome: str | TransportError) -> None:
        """A server that hangs after each DATA would leave a whole campaign in doubt, one by one."""
        broke = isinstance(outcome, TransportError) and outcome.broken
        self.breaks = self.breaks + 1 if broke else 0
        if self.breaks >= BREAKS:
            self.away = TransportError(
                f"The mail server broke off {BREAKS} times in a row ({outcome}): look at its log.",
                away=True,
            )


@dataclass
class Lane:
    """``reopen`` gives another view of the same claims over a new connection."""

    outbox: Outbox
    reopen: Callable[[], Outbox]
    channel: Channel
    common: Common
    connections: int
    _stock: list[UUID] = field(default_factory=list)
    _results: list[Result] = field(default_factory=list)
    _per_s: float = 0.0
    _failure: Exception | None = None  # of composing a message
    _held: set[str] = field(default_factory=set)  # the domains of the stock

    def run(self) -> None:
        """Until nothing is due, the server is away or somebody says stop."""
        self._transport: Transport = self.channel.transport()
        try:
            while group := self._next_group():
                self._turn(group)
            self._record()
            self.outbox.give_back(self._stock)
        except BaseException:
            self._tell()
            raise
        finally:
            self.common.limits.leave(self._held)
            self._transport.close()

    def _next_group(self) -> list[UUID]:
        while not self.common.over:
            size, more_comes = self._size(), self.common.more_comes()
            if not self._stock:
                self.common.limits.leave(self._held)
                self._held.clear()
                self._stock = self._admitted(self.outbox.claim(size * STOCK_GROUPS))
            if self._stock:
                group, self._stock = self._stock[:size], self._stock[size:]
                if self.common.pace.rate is not None:
                    self._record()
                if not self.common.pace.wait(len(group), self.common.stop):
                    return group
                self._stock += group
            elif self._results:
                self._record()  # of these one may be given back, and due at once
            elif not (more_comes or self.common.limits.waiting):
                break
            else:
                self.common.stop.wait(MORE_COMES_S)
        return []

    def _admitted(self, claimed: list[UUID]) -> list[UUID]:
        """Those whose domain may have them now; the others are given back until their turn."""
        limits = self.common.limits
        if not limits or not claimed:
            return claimed
        now, admitted, waits = clock.now(), [], {}
        for message_id, domain in self.outbox.domains(claimed):
            wait_s = limits.take(domain, self._held)
            if wait_s:
                waits[message_id] = now + timedelta(seconds=wait_s)
            else:
                self._held.add(domain)
                admitted.append(message_id)
        self.outbox.give_back(list(waits), list(waits.values()))
        return admitted

    def _size(self) -> int:
        """One to a server that takes 100 a second; to one that takes 5,000, as many as may be."""
        if self.common.pace.rate is not None:
            # A group waits for its first turn and then leaves at once.
            return max(1, min(GROUP, int(self.common.pace.rate / self.connections / 5)))
        return max(1, min(GROUP, int(self._per_s * GROUP_S)))

    def _turn(self, message_ids: Sequence[UUID]) -> None:
        if not self._connected():
            self._stock += message_ids
            return
        results, self._results = self._results, []
        good_for_s = min(self.outbox.lease_s, ASK_AGAIN_S)
        self._ask_again_at = clock.now() + timedelta(seconds=good_for_s)
        try:
            begun, refused = self.outbox.turn(results, message_ids)
        except BaseException:
            # Whether it was committed is not known, but nothing of the new group has left.
            self._results, self._stock = results, [*message_ids, *self._stock]
            raise
        started, waiting = time.monotonic(), deque(begun)
        try:
            known = {one.message_id for one in begun} | {one.message_id for one, _ in refused}
            self.outbox.give_back([lost for lost in message_ids if lost not in known])
            self.common.report(results)
            self.common.report([Result(message, verdict, None) for message, verdict in refused])
            self._deliver(waiting)
        finally:
            # Begun, and nothing of them has left: also where something went wrong before.
            self._results += [Result(one, Verdict("planned", None), None) for one in waiting]
        took_s = max(time.monotonic() - started, 1e-4)
        self._per_s = len(message_ids) / took_s

    def _connected(self) -> bool:
        """Connect where we are not; after some tries the server counts as away for every lane."""
        for attempt in range(RECONNECTS):
            if self._transport.connected:
                return True
            try:
                self._transport.connect()
            except TransportError as exc:
                if attempt == RECONNECTS - 1:
                    self.common.away = exc
                elif self.common.stop.wait(RECONNECT_WAIT_S * 2**attempt):
                    break
        return self._transport.connected

    def _deliver(self, waiting: deque[Claimed]) -> None:
        while waiting and self._in_time() and self._connected():
            taken: deque[tuple[Claimed, str]] = deque()
            for outcome in self._transport.send(self._parcels(waiting, taken)):
                message, digest = taken.popleft()
                if self.channel.one_server:
                    self.common.count_break(outcome)
                self._results.append(self._result(message, outcome, digest))
            # What was taken and has no answer did not leave: the connection broke before its turn.
            waiting.extendleft(message for message, _ in reversed(taken))
            if self._failure is not None:
                raise self._failure

    def _in_time(self) -> bool:
        """Whether the next message may still leave: at a slow server, or after a sleep (a stopped
        process, a closed laptop), consent is asked anew: people may have said no meanwhile."""
        return not self.common.over and clock.now() < self._ask_again_at

    def _parcels(
        self, waiting: deque[Claimed], taken: deque[tuple[Claimed, str]]
    ) -> Iterator[Parcel]:
        while waiting and self._in_time():
            message = waiting.popleft()
            try:
                parcel = self.channel.compose(message)
            except TemplateError as exc:
                failed = Verdict("failed", "template")
                self._results.append(Result(message, failed, scrubbed(str(exc))))
            except Exception as exc:  # noqa: BLE001 - raised when what is under way has its answer
                waiting.appendleft(message)
                self._failure = exc
                return
            else:
                taken.append((message, parcel.template_digest))
                yield parcel

    def _result(self, message: Claimed, outcome: str | TransportError, digest: str) -> Result:
        if isinstance(outcome, str):
            return Result(message, SENT, scrubbed(outcome), digest)
        if outcome.away:
            return self._away(message, outcome)
        verdict, answer = judge(outcome, message.attempts + 1, clock.now()), scrubbed(str(outcome))
        if verdict.reason == "refused" and is_block(answer):
            verdict = Verdict(verdict.status, "blocked")
        return Result(message, verdict, answer, digest)

    def _away(self, message: Claimed, exc: TransportError) -> Result:
        """No word about this message. Where each goes to a server of its own, the others go on."""
        if self.channel.one_server:
            self.common.away = exc
            return Result(message, Verdict("planned", None), None)
        self.common.told = exc
        later = clock.now() + timedelta(seconds=LONGEST_WAIT_S)
        return Result(message, Verdict("planned", None, later), scrubbed(str(exc)))

    def _record(self) -> None:
        results, self._results = self._results, []
        if results:
            try:
                self.outbox.turn(results, [])
            except BaseException:
                self._results = results
                raise
            self.common.report(results)

    def _tell(self) -> None:
        """Whatever went wrong: what has left is written down, and what has not is given back."""
        if self._lost():
            self._rescue()
            return
        with suppress(psycopg.Error):  # the error was one statement's: try the rest
            self._record()
            self.outbox.give_back(self._stock)

    def _lost(self) -> bool:
        """Asked of the server: a pipeline that it broke off leaves a connection that looks well."""
        try:
            self.outbox.connection.execute("SELECT")
        except psycopg.Error:
            return True
        return False

    def _rescue(self) -> None:
        """The database went away, and only we know what has left: tell it when it is back."""
        for attempt in range(RESCUES):
            try:
                self.outbox = self.reopen()
                self._record()
                self.outbox.give_back(self._stock)
            except (psycopg.Error, HorizonError):
                time.sleep(RECONNECT_WAIT_S * 2**attempt if not self.common.stop.is_set() else 0.5)
            else:
                return
