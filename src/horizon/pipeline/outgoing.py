"""Sends what is planned: a run of its own, with its row, its lines and its lineage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from threading import Event
from uuid import UUID, uuid4

from horizon import clock
from horizon.counters import families
from horizon.delivery import channels
from horizon.delivery.outbox import QUERIES as DELIVERY
from horizon.delivery.outbox import waiting
from horizon.delivery.ports import Channel, Means
from horizon.delivery.sender import Sender, Sent
from horizon.errors import TransportError
from horizon.pipeline import lookups
from horizon.pipeline.installation import Installation
from horizon.pipeline.recording import Recorder
from horizon.pipeline.watched import watched
from horizon.postgres.database import Role
from horizon.stage import Line


def send(
    horizon: Installation,
    correlation_id: UUID | None = None,
    *,
    campaign: str | None = None,
    stop: Event | None = None,
    on_messages: Callable[[int], None] = lambda _: None,
    more_comes: Callable[[], bool] = lambda: False,
    rate: float | None = None,
    now: datetime | None = None,
    open_channel: Callable[[str, Means], Channel] = channels.open_channel,
) -> Sent:
    """Send what is planned, at most ``rate`` a second, and log each message and each campaign.

    While ``more_comes`` says so, it waits for what another still plans. Raises TransportError, with
    what is left to do, when the mail server stays away.
    """
    run = correlation_id or uuid4()
    head = {"stage": "email", "component": "mailer", "correlation_id": str(run)}

    def told(lines: Sequence[Line]) -> None:
        messages = [line.fields for line in lines if line.message == "message"]
        horizon.lines.many({"message": "message", **head}, messages)
        for line in lines:
            if line.message != "message":
                horizon.log.bind(**head).warning(line.message, **line.fields)
        on_messages(sum(fields["status"] != "deferred" for fields in messages))

    stop = stop or Event()
    sender = Sender(
        horizon.database, horizon.settings, horizon.keys, stop, on_lines=told,
        more_comes=more_comes, rate=rate, now=now,
        open_channel=watched(open_channel, horizon.counters),
    )  # fmt: skip
    with (
        _sending(horizon, run).recording() as figures,
        horizon.lineage.run("email", now or clock.now(), parent=run) as lineage,
    ):
        with lookups.beside(horizon, run, stop):
            sent = sender.run(campaign=campaign)
        figures["count"] = sent.counts.total()
        horizon.counters.set(families.SENDER_RAN, clock.now().timestamp())
        _log_sent(horizon, sent, run)
        lineage.figures = _totals(sent)
        _complain_if_away(horizon, sent)
    return sent


def send_demo(
    horizon: Installation,
    run: UUID,
    to_addr: str,
    *,
    aggregated: bool,
    stop: Event | None = None,
    on_messages: Callable[[int], None] = lambda _: None,
) -> Sent:
    """Send one demo run's mails, and no other message."""
    bound = horizon.log.bind(
        stage="email", component="mailer", correlation_id=str(run), campaign_id="demo",
        aggregated=aggregated, to_addr=to_addr,
    )  # fmt: skip

    def told(lines: Sequence[Line]) -> None:
        with horizon.lines.together():
            for line in lines:
                status = line.fields["status"]
                error = None if status == "sent" else line.fields["answer"]
                bound.info("email", count=line.fields["count"], status=status, error=error)
        on_messages(len(lines))

    sender = Sender(
        horizon.database, horizon.settings, horizon.keys, stop or Event(), on_lines=told
    )
    with (
        _sending(horizon, run).recording() as figures,
        horizon.lineage.run("email", clock.now(), parent=run) as lineage,
    ):
        sent = sender.run(correlation_id=run)
        figures["count"] = sent.counts.total()
        lineage.figures = _totals(sent)
        if sent.away is not None:
            with horizon.database.transaction(Role.WORKER) as tx:
                tx.execute(DELIVERY["cancel_demo"], {"correlation_id": run, "clock": clock.now()})
            raise TransportError(f"{sent.away} What was not sent is cancelled; then try again.")
    return sent


def _totals(sent: Sent) -> dict[str, int]:
    """Of all campaigns: status -> messages."""
    totals: Counter[str] = Counter()
    for (_, status), count in sent.counts.items():
        totals[status] += count
    return dict(totals)


def _sending(horizon: Installation, run: UUID) -> Recorder:
    return Recorder(horizon.database, horizon.log, "email", "mailer", run, "send", scheduled=True)


def _complain_if_away(horizon: Installation, sent: Sent) -> None:
    if sent.away is None:
        return
    with horizon.database.transaction(Role.WORKER) as tx:
        left = waiting(tx)
    wait = "message waits" if left == 1 else "messages wait"
    raise TransportError(
        f"{sent.away} Nothing was lost: {left:,} {wait}; run `horizon send` when it is back."
    )


def _log_sent(horizon: Installation, sent: Sent, run: UUID) -> None:
    with horizon.database.transaction(Role.WORKER) as tx:
        rows = tx.execute(DELIVERY["skipped_when_planned"], {"correlation_id": run}).fetchall()
    skipped = Counter({row.campaign: row.skipped for row in rows})
    names = sorted({name for name, _ in sent.counts} | set(skipped))
    bound = horizon.log.bind(stage="email", component="mailer", correlation_id=str(run))
    with horizon.lines.together():
        for name in names:
            counted = {
                status: count
                for (campaign, status), count in sent.counts.items()
                if campaign == name
            }
            bound.info(
                "email", campaign_id=name, sent=counted.get("sent", 0),
                skipped=counted.get("skipped", 0) + skipped[name],
                failed=counted.get("failed", 0) + counted.get("bounced", 0),
                unknown=counted.get("unknown", 0), deferred=counted.get("deferred", 0),
            )  # fmt: skip
