"""A run of a sender: lanes for each channel, and what came of it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from horizon import clock
from horizon.delivery import breaker
from horizon.delivery.channels import open_channel
from horizon.delivery.lane import Common, Lane
from horizon.delivery.limits import DomainLimits
from horizon.delivery.outbox import QUERIES, Outbox, Result, connect, register_targets
from horizon.delivery.pace import Pace
from horizon.delivery.ports import Channel, Means
from horizon.errors import TransportError
from horizon.keys import Keys
from horizon.postgres.database import Database, Role, closing_connection
from horizon.settings import Settings
from horizon.stage import Line, logged_user


@dataclass
class Sent:
    """What came of a run: (campaign, status) -> messages."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    away: TransportError | None = None  # the server does not serve us; what is left stays planned


@dataclass(frozen=True)
class Sender:
    """``stop`` ends it after the messages under way: what was claimed is given back. ``rate`` is
    the most messages a second that this sender begins, over all its connections. ``on_lines`` is
    given the log lines of what was just committed; it may be called by several threads.
    ``more_comes`` tells whether somebody still plans.
    """

    database: Database
    settings: Settings
    keys: Keys
    stop: threading.Event = field(default_factory=threading.Event)
    open_channel: Callable[[str, Means], Channel] = open_channel
    on_lines: Callable[[Sequence[Line]], None] = lambda _: None
    more_comes: Callable[[], bool] = lambda: False
    rate: float | None = None
    now: datetime | None = None

    def run(self, correlation_id: UUID | None = None, campaign: str | None = None) -> Sent:
        """Send until nothing is due. Raises no TransportError: ``Sent.away`` holds it."""
        sent = Sent()
        report, pace = _Report(sent, self.on_lines, self._check), Pace(self.rate)
        means = Means(self.settings, self.keys, self._register_targets)
        commons = []
        with ExitStack() as stack:
            lanes: list[Lane] = []
            for name in self._channels(campaign):
                channel = self.open_channel(name, means)
                common = Common(
                    self.stop, pace, report, self.more_comes, DomainLimits(channel.limits)
                )  # fmt: skip
                commons.append(common)
                lanes += [
                    self._lane(stack, channel, common, correlation_id, campaign)
                    for _ in range(channel.connections)
                ]
            _run_all(lanes)
        sent.away = next((one.away or one.told for one in commons if one.away or one.told), None)
        self._expire(sent)
        return sent

    def _channels(self, campaign: str | None) -> list[str]:
        with self.database.transaction(Role.WORKER) as tx:
            tx.execute(QUERIES["release_unheld"], {"clock": clock.now()})
            rows = tx.execute(QUERIES["channels"], {"campaign": campaign}).fetchall()
        return [row.channel for row in rows]

    def _lane(
        self, stack: ExitStack, channel: Channel, common: Common, correlation_id: UUID | None,
        campaign: str | None,
    ) -> Lane:  # fmt: skip
        claim_id = uuid4()

        def opened() -> Outbox:
            connection = stack.enter_context(closing_connection(connect(self.database)))
            return Outbox(
                connection, self.settings.SEND_LEASE_S, correlation_id, campaign, channel.name,
                self.now, claim_id,
            )  # fmt: skip

        return Lane(opened(), opened, channel, common, channel.connections)

    def _register_targets(self, urls: Collection[str]) -> Mapping[str, int]:
        with self.database.transaction(Role.WORKER) as tx:
            return register_targets(tx, list(urls))

    def _check(self, campaign: str) -> None:
        """Open the breakers that are due, in a transaction of their own."""
        with self.database.transaction(Role.WORKER) as tx:
            lines = breaker.check(tx, campaign, clock.now())
        if lines:
            self.on_lines(lines)

    def _expire(self, sent: Sent) -> None:
        with closing_connection(connect(self.database)) as connection:
            expired = Outbox(connection, self.settings.SEND_LEASE_S).expire()
        sent.counts.update((row.campaign, "unknown") for row in expired)
        if expired:
            self.on_lines([_line(row, "unknown", "sender_stopped", None) for row in expired])


def _run_all(lanes: Sequence[Lane]) -> None:
    with ThreadPoolExecutor(max(1, len(lanes)), "sender") as pool:
        for running in [pool.submit(lane.run) for lane in lanes]:
            running.result()


class _Report:
    """Counts results and turns them into log lines, for several threads."""

    def __init__(
        self,
        sent: Sent,
        on_lines: Callable[[Sequence[Line]], None],
        check: Callable[[str], None],
    ) -> None:
        self._sent = sent
        self._on_lines = on_lines
        self._check = check
        self._watch = breaker.Watch()
        self._lock = threading.Lock()

    def __call__(self, results: Sequence[Result]) -> None:
        told = [
            (one.message, _status(one), one.verdict.reason, one.answer)
            for one in results
            if one.verdict.status != "planned" or one.verdict.retry_at is not None
        ]
        if not told:
            return
        with self._lock:
            self._sent.counts.update((message.campaign, status) for message, status, *_ in told)
            suspicious = {
                message.campaign for message, _, _, answer in told
                if answer and self._watch.saw(
                    message.campaign, message.domain, blocked=breaker.is_block(answer))
            }  # fmt: skip
        self._on_lines([_line(*one) for one in told])
        for campaign in suspicious:
            self._check(campaign)


def _status(result: Result) -> str:
    return "deferred" if result.verdict.status == "planned" else result.verdict.status


def _line(message: Any, status: str, reason: str | None, answer: str | None) -> Line:
    fields = {
        "campaign_id": message.campaign, "message_id": str(message.message_id),
        "user_id": logged_user(message.user_id, message.profile_id), "segment": message.tier,
        "status": status, "reason": reason, "answer": answer,
    }  # fmt: skip
    if message.campaign == "demo":
        fields["count"] = message.variables["count"]
    return Line("message", fields)
