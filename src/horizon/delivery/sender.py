"""Sends what is planned: claims in batches, asks once more, marks, writes, records the answer."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from horizon import clock, links
from horizon.delivery.channels.smtp import SmtpComposer, SmtpTransport
from horizon.delivery.outbox import CLAIM_AT_ONCE, Outbox
from horizon.delivery.ports import Transport
from horizon.delivery.rules import Verdict, judge, scrubbed
from horizon.delivery.templating import load_template
from horizon.errors import TemplateError, TransportError
from horizon.keys import Keys
from horizon.postgres.database import Database, Role, closing_connection
from horizon.settings import Settings
from horizon.stage import Line, logged_user

RECONNECTS = 3  # in a row, before the sender says that the server is away
RECONNECT_WAIT_S = 0.5


@dataclass
class Sent:
    """What came of a run: (campaign, status) -> messages, and a log line each."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    lines: list[Line] = field(default_factory=list)
    away: TransportError | None = None  # the server does not serve us; what is left stays planned
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def record(self, message: Any, verdict: Verdict, answer: str | None) -> None:
        fields = {
            "campaign_id": message.campaign, "message_id": str(message.message_id),
            "user_id": logged_user(message.user_id, message.profile_id),
            "segment": message.tier, "status": verdict.status, "reason": verdict.reason,
            "answer": answer,
        }  # fmt: skip
        if message.campaign == "demo":
            fields["count"] = message.variables["count"]
        with self._lock:
            self.counts[message.campaign, verdict.status] += 1
            self.lines.append(Line("message", fields))


@dataclass(frozen=True)
class Sender:
    """A pool of connections to one mail server, each with a database connection of its own.

    ``stop`` ends it after the messages under way: what was claimed is given back. ``rate`` is the
    most messages a second that this sender begins, over all its connections.
    """

    database: Database
    settings: Settings
    keys: Keys
    stop: threading.Event = field(default_factory=threading.Event)
    make_transport: Callable[[Settings, str], Transport] = SmtpTransport
    on_message: Callable[[], None] = lambda: None
    rate: float | None = None
    now: datetime | None = None

    def run(self, correlation_id: UUID | None = None, campaign: str | None = None) -> Sent:
        """Send until nothing is due. Raises no TransportError: ``Sent.away`` holds it."""
        sent = Sent()
        with closing_connection(self.database.connect(Role.WORKER, autocommit=True)) as connection:
            for message in Outbox(connection, self.settings.SEND_LEASE_S).expire():
                sent.record(message, Verdict("unknown", "sender_stopped"), None)
        composer, pace = SmtpComposer(self.settings.MAIL_FROM), _Pace(self.rate)
        with ThreadPoolExecutor(self.settings.SMTP_CONNECTIONS, "sender") as pool:
            lanes = [
                pool.submit(_Lane(self, composer, sent, pace).run, correlation_id, campaign)
                for _ in range(self.settings.SMTP_CONNECTIONS)
            ]
            for lane in lanes:
                lane.result()
        return sent


class _Pace:
    """Turns at a steady rate, for whoever asks."""

    def __init__(self, rate: float | None) -> None:
        self._between_s = 1 / rate if rate else 0.0
        self._next = time.monotonic()
        self._lock = threading.Lock()

    def wait(self, stop: threading.Event) -> bool:
        """Wait for one's turn; whether ``stop`` came first."""
        if not self._between_s:
            return False
        with self._lock:
            turn = max(self._next, time.monotonic())
            self._next = turn + self._between_s
        return stop.wait(max(0.0, turn - time.monotonic()))


class _Lane:
    """One connection's work."""

    def __init__(self, sender: Sender, composer: SmtpComposer, sent: Sent, pace: _Pace) -> None:
        self._sender = sender
        self._pace = pace
        self._composer = composer
        self._sent = sent
        self._transport = sender.make_transport(sender.settings, composer.address)

    def run(self, correlation_id: UUID | None, campaign: str | None) -> None:
        with ExitStack() as stack:
            connection = stack.enter_context(
                closing_connection(self._sender.database.connect(Role.WORKER, autocommit=True))
            )
            self._outbox = Outbox(
                connection,
                self._sender.settings.SEND_LEASE_S,
                correlation_id,
                campaign,
                self._sender.now,
            )
            stack.callback(self._transport.close)
            while not self._stopped() and (batch := self._outbox.claim(self._most())):
                self._send_all(batch)

    def _most(self) -> int:
        """As many as go out well within the lease."""
        settings, rate = self._sender.settings, self._sender.rate
        if rate is None:
            return CLAIM_AT_ONCE
        share = rate * settings.SEND_LEASE_S / 4 / settings.SMTP_CONNECTIONS
        return max(1, min(CLAIM_AT_ONCE, int(share)))

    def _stopped(self) -> bool:
        return self._sender.stop.is_set() or self._sent.away is not None

    def _send_all(self, batch: list[Any]) -> None:
        left = {message.message_id for message in batch}
        try:
            for message in batch:
                if self._stopped() or not self._connected() or self._pace.wait(self._sender.stop):
                    break
                self._send(message)
                left.discard(message.message_id)
        finally:
            if left and not self._outbox.connection.broken:
                self._outbox.give_back(list(left))

    def _connected(self) -> bool:
        """Connect where we are not; after some tries the server counts as away for every lane."""
        for attempt in range(RECONNECTS):
            if self._transport.connected:
                return True
            try:
                self._transport.connect()
            except TransportError as exc:
                if attempt == RECONNECTS - 1:
                    self._sent.away = exc
                elif self._sender.stop.wait(RECONNECT_WAIT_S * 2**attempt):
                    break
        return self._transport.connected

    def _send(self, message: Any) -> None:
        try:
            content, digest = self._content(message)
        except TemplateError as exc:
            self._record(message, Verdict("failed", "template"), str(exc))
            return
        try:
            self._transport.offer(message.to_addr)
            if self._begin(message, digest):
                self._record(message, Verdict("sent", None), self._transport.deliver(content))
        except TransportError as exc:
            self._refused(message, exc)

    def _begin(self, message: Any, digest: str) -> bool:
        """Whether the message is ours to send now; otherwise the offer is taken back."""
        begun = self._outbox.begin(message.message_id, digest)
        if begun is not None and begun.status == "sending":
            return True
        if begun is not None:
            self._sent.record(message, begun, None)
        else:
            self._outbox.give_back([message.message_id])
        with suppress(TransportError):
            self._transport.withdraw()
        return False

    def _refused(self, message: Any, exc: TransportError) -> None:
        if exc.away:
            self._outbox.give_back([message.message_id])
            self._sent.away = exc
            return
        verdict = judge(exc, message.attempts + 1, clock.now())
        if verdict.status == "planned":
            answer = scrubbed(str(exc))
            self._outbox.give_back([message.message_id], verdict.retry_at, answer, refused=True)
            self._sent.record(message, Verdict("deferred", None), answer)
        else:
            self._record(message, verdict, str(exc))

    def _record(self, message: Any, verdict: Verdict, answer: str) -> None:
        answer = scrubbed(answer)
        self._outbox.finish(message, verdict, answer)
        self._sent.record(message, verdict, answer)
        self._sender.on_message()

    def _content(self, message: Any) -> tuple[bytes, str]:
        template = load_template(message.template)
        settings, keys = self._sender.settings, self._sender.keys
        token = links.sign(keys.link, message.message_id, "unsubscribe")
        unsubscribe_url = f"{settings.tracking_url}/u/{token}"
        variables = {
            **message.variables, **constants(settings), "unsubscribe_url": unsubscribe_url,
        }  # fmt: skip
        mail = template.render(variables)
        content = self._composer.compose(
            message.message_id, message.campaign, message.to_addr, mail, unsubscribe_url
        )
        return content, template.digest


def constants(settings: Settings) -> dict[str, str]:
    """What every template may say of the sender."""
    return {
        "brand": settings.BRAND, "postal_address": settings.POSTAL_ADDRESS,
        "shop_url": settings.SHOP_URL,
    }  # fmt: skip


PERSON_VARIABLES = frozenset(
    {"first_name", "tier", "activity_count", "days_silent", "last_seen", "score_percent"}
)


def known_variables(settings: Settings, audience: str) -> Iterable[str]:
    """What a campaign's template may use."""
    person = {"alerts", "count"} if audience == "operator" else PERSON_VARIABLES
    return {*person, *constants(settings), "unsubscribe_url"}
