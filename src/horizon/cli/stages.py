"""Score, alert, write to people."""

from __future__ import annotations

from threading import Event
from typing import Annotated
from uuid import UUID, uuid4

import typer

from horizon import clock
from horizon import settings as setting
from horizon.campaigns import stage as campaigns
from horizon.cli import messages
from horizon.cli.campaigns import campaign_add, campaign_remove
from horizon.cli.options import AsJson, DatabaseName, Now, installed, opened
from horizon.cli.output import complain, many, say, show
from horizon.cli.progress import Progressing, send_with_progress
from horizon.cli.responses import campaign_report
from horizon.delivery import breaker
from horizon.delivery.channels.smtp.advice import advice
from horizon.delivery.outbox import waiting
from horizon.delivery.rules import parse_rate
from horizon.delivery.sender import Sent
from horizon.errors import UsageError
from horizon.pipeline import outgoing, stages
from horizon.pipeline.installation import Installation
from horizon.postgres.audit import write_audit
from horizon.postgres.database import Role, row_dicts
from horizon.settings import Settings
from horizon.stage import StageResult

CampaignName = Annotated[str, typer.Argument(help="Its name, as `horizon campaign list` shows it.")]
Rate = Annotated[
    str | None, typer.Option("--rate", metavar="N/s", help="At most so many: 20/s, 100/m, 5000/h.")
]


PANEL = "Score, alert, write to people"


def register(app: typer.Typer) -> None:
    app.command(rich_help_panel=PANEL)(score)
    app.command(rich_help_panel=PANEL)(alert)
    app.command(rich_help_panel=PANEL)(send)
    app.command("demo-campaign", rich_help_panel=PANEL)(demo_campaign)
    campaign = typer.Typer(no_args_is_help=True, help="Campaigns: add, run, report, stop, remove.")
    campaign.command("add")(campaign_add)
    campaign.command("run")(campaign_run)
    campaign.command("list")(campaign_list)
    campaign.command("report")(campaign_report)
    campaign.command("pause")(campaign_pause)
    campaign.command("resume")(campaign_resume)
    campaign.command("stop")(campaign_stop)
    campaign.command("remove")(campaign_remove)
    app.add_typer(campaign, name="campaign", rich_help_panel=PANEL)
    app.add_typer(messages.commands(), name="message", rich_help_panel=PANEL)


def score(
    now: Now = None,
    database: DatabaseName = None,
    window_days: Annotated[
        float | None, typer.Option(min=0.001, help="Silence that scores 1.")
    ] = None,
) -> None:
    """Score everybody's risk of leaving, 0 to 1."""
    chosen = setting.load()
    if window_days is not None:
        chosen = chosen.changed(WINDOW_DAYS=window_days)
    figures = stages.score(opened(chosen, database), now).figures
    say(
        f"Scored {many(figures['users'], 'profile')}: {figures['high']:,} high, "
        f"{figures['medium']:,} medium, {figures['low']:,} low."
        + (
            f" {figures['suspicious']:,} were last active in the future."
            if figures["suspicious"]
            else ""
        )
    )


def alert(
    now: Now = None,
    database: DatabaseName = None,
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="Score from which on.")
    ] = None,
) -> None:
    """Raise an alert for everybody at risk, once a cooldown."""
    horizon = installed(database)
    figures = horizon.runner.run(stages.alert_stage(horizon.settings, threshold), now).figures
    say(
        f"{many(figures['created'], 'alert')} created, {figures['skipped']:,} skipped (they had "
        f"one within {figures['cooldown_days']} days), {figures['resolved']:,} resolved."
    )


def campaign_run(
    name: CampaignName,
    rate: Rate = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Show who would get it, who not and why; write nothing."),
    ] = False,
    as_json: AsJson = False,
    now: Now = None,
    database: DatabaseName = None,
) -> None:
    """Decide who gets a campaign's message, and send it."""
    horizon = installed(database)
    if dry_run:
        decisions = stages.rehearse_campaign(horizon, name, now).decisions
        nobody = None if as_json else "(not known yet)"
        rows = [
            # An opt-in is asked of an address, and nobody knows yet whose that is.
            {"user_id": nobody if one["user_id"] == "p0" else one["user_id"],
             "tier": one["segment"], "status": one["status"], "reason": one["reason"]}
            for one in decisions
        ]  # fmt: skip
        show(rows, as_json=as_json, empty=f"{name} would write to nobody: nobody is due.")
        return
    if _status(horizon, name) == "paused":
        raise UsageError(f"{name} is paused: `horizon campaign resume {name}` first.")
    _set_status(horizon, name, "active")
    warn(horizon.settings)
    before, most = _waiting(horizon), _rate(rate)

    def sending(stop: Event, progress: Progressing) -> tuple[StageResult, Sent]:
        return stages.run_campaign(
            horizon, name, stop=stop, on_messages=progress.sent, rate=most, now=now,
            on_planned=lambda planned: progress.expect(before + planned),
        )  # fmt: skip

    with stages.sealing(horizon, now):
        planned, sent = send_with_progress(sending, before)
    figures = planned.figures
    say(
        f"{name}: {figures['planned']:,} planned, {figures['skipped']:,} skipped"
        f"{_reasons(figures['reasons'])}."
    )
    say(_told(sent, _waiting(horizon)))


def _status(horizon: Installation, name: str) -> str:
    with horizon.database.transaction(Role.WORKER) as tx:
        return campaigns.find(tx, name).status


def campaign_pause(name: CampaignName, database: DatabaseName = None) -> None:
    """Decide and send nothing more until it is resumed; what is leaving now still leaves."""
    _set_status(installed(database), name, "paused")
    say(f"{name} is paused; `horizon campaign resume {name}` lets it go on.")


def campaign_resume(name: CampaignName, database: DatabaseName = None) -> None:
    """Let a paused campaign go on, and what the breaker holds: `horizon send` sends what waits."""
    horizon = installed(database)
    _set_status(horizon, name, "active")
    with horizon.database.transaction(Role.WORKER) as tx:
        released = breaker.close(tx, name, clock.now())
    waiting_no_more = "waits" if released == 1 else "wait"
    held = (
        f" The breaker is closed, {many(released, 'message')} {waiting_no_more} no more for it."
        if released
        else ""
    )
    say(f"{name} goes on; `horizon send` sends what waits.{held}")


def campaign_stop(name: CampaignName, database: DatabaseName = None) -> None:
    """Cancel what has not left, and decide nothing more until it is run again."""
    cancelled = _set_status(installed(database), name, "stopped")
    is_cancelled = "is cancelled" if cancelled == 1 else "are cancelled"
    say(f"{name} is stopped; {many(cancelled, 'message')} that waited {is_cancelled}.")


def _set_status(horizon: Installation, name: str, status: str) -> int:
    with horizon.database.transaction(Role.WORKER) as tx:
        cancelled = campaigns.set_status(tx, name, status, clock.now())
        write_audit(tx, f"campaign:{status}", name, {"cancelled": cancelled})
    return cancelled


def campaign_list(as_json: AsJson = False, database: DatabaseName = None) -> None:
    """The campaigns there are."""
    with installed(database).database.transaction(Role.WORKER) as tx:
        rows = row_dicts(tx.execute(campaigns.QUERIES["list"]))
        held = breaker.open_breakers(tx)
    for row in rows:
        row["held"] = breaker.told_held(held, row["campaign"])
    show(rows, as_json=as_json, empty="There is no campaign.")


def send(rate: Rate = None, now: Now = None, database: DatabaseName = None) -> None:
    """Send every message that is planned; safe to run again, and beside another."""
    horizon = installed(database)
    warn(horizon.settings)
    most = _rate(rate)
    with stages.sealing(horizon, now):
        sent = send_with_progress(
            lambda stop, progress: outgoing.send(
                horizon, stop=stop, on_messages=progress.sent, rate=most, now=now
            ),
            _waiting(horizon),
        )
    say(_told(sent, _waiting(horizon)))


def warn(settings: Settings) -> None:
    """On stderr, so that no script takes it for what was asked."""
    for sentence in advice(settings):
        complain(sentence)


def _rate(text: str | None) -> float | None:
    return parse_rate(text) if text else None


def demo_campaign(
    to: Annotated[str, typer.Option("--to", metavar="ADDRESS", help="Your own address.")],
    aggregated: Annotated[
        bool, typer.Option("--aggregated", help="One mail that lists all alerts.")
    ] = False,
    now: Now = None,
    database: DatabaseName = None,
) -> None:
    """Send yourself what the open alerts would say. Nobody else receives anything."""
    horizon = installed(database)
    if not _looks_like_address(to):
        raise UsageError(f"--to {to!r} is not an address: write it like you@example.com.")
    run = uuid4()
    planned = stages.plan_demo(
        horizon, to, aggregated=aggregated, now=now, correlation_id=run
    ).figures["planned"]
    if not planned:
        say("No alert is open: run `horizon score` and `horizon alert` first.")
        return
    with stages.sealing(horizon, now):
        sent = send_with_progress(
            lambda stop, progress: outgoing.send_demo(
                horizon, run, to, aggregated=aggregated, stop=stop, on_messages=progress.sent
            ),
            _waiting(horizon, run),
        )
    say(_told(sent, _waiting(horizon, run)))


def _waiting(horizon: Installation, correlation_id: UUID | None = None) -> int:
    with horizon.database.transaction(Role.WORKER) as tx:
        return waiting(tx, correlation_id)


def _told(sent: Sent, left: int) -> str:
    totals: dict[str, int] = {}
    for (_, status), count in sent.counts.items():
        totals[status] = totals.get(status, 0) + count
    if not totals:
        waits = "waits" if left == 1 else "wait"
        return "Nothing was due." + (f" {many(left, 'message')} {waits}." if left else "")
    told = ", ".join(f"{count:,} {status}" for status, count in sorted(totals.items()))
    more = ""
    if left:
        more = f" {left:,} {'waits' if left == 1 else 'wait'}: `horizon send` goes on."
    if left and totals.get("deferred"):
        more += " `horizon message list --status planned` tells why."
    if totals.get("unknown"):
        more += (
            " `horizon message list --status unknown` shows those that a stopped sender left in "
            "doubt."
        )
    return f"Messages: {told}.{more}"


def _reasons(reasons: dict[str, int]) -> str:
    return (
        f" ({', '.join(f'{count} {reason}' for reason, count in reasons.items())})"
        if reasons
        else ""
    )


def _looks_like_address(text: str) -> bool:
    local, _, domain = text.rpartition("@")
    return bool(local) and "." in domain and text.isprintable() and " " not in text
