"""Score, alert, write to people."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated
from uuid import uuid4

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from horizon import settings as setting
from horizon.cli.options import AsJson, DatabaseName, Now, installed
from horizon.cli.output import console, say, show
from horizon.delivery.outbox import QUERIES as DELIVERY
from horizon.delivery.sender import Sent
from horizon.errors import UsageError
from horizon.pipeline import stages
from horizon.pipeline.installation import open_installation
from horizon.postgres.database import Role, row_dicts

PANEL = "Score, alert, write to people"


def register(app: typer.Typer) -> None:
    app.command(rich_help_panel=PANEL)(score)
    app.command(rich_help_panel=PANEL)(alert)
    app.command(rich_help_panel=PANEL)(send)
    app.command("demo-campaign", rich_help_panel=PANEL)(demo_campaign)
    campaign = typer.Typer(no_args_is_help=True, help="Campaigns: run one, list them.")
    campaign.command("run")(campaign_run)
    campaign.command("list")(campaign_list)
    app.add_typer(campaign, name="campaign", rich_help_panel=PANEL)
    message = typer.Typer(no_args_is_help=True, help="Messages, one by one.")
    message.command("list")(message_list)
    app.add_typer(message, name="message", rich_help_panel=PANEL)


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
    figures = stages.score(open_installation(chosen, database), now).figures
    say(
        f"Scored {figures['users']:,} profiles: {figures['high']:,} high, {figures['medium']:,} "
        f"medium, {figures['low']:,} low."
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
        f"{figures['created']:,} alerts created, {figures['skipped']:,} skipped (they had one "
        f"within {figures['cooldown_days']} days), {figures['resolved']:,} resolved."
    )


def campaign_run(
    name: Annotated[str, typer.Argument(help="The campaign: miss_you, good_activity.")],
    now: Now = None,
    database: DatabaseName = None,
) -> None:
    """Decide who gets a campaign's message, and send it."""
    horizon = installed(database)
    run = uuid4()
    figures = stages.plan_campaign(horizon, name, now, run).figures
    say(
        f"{name}: {figures['planned']:,} planned, {figures['skipped']:,} skipped"
        f"{_reasons(figures['reasons'])}."
    )
    say(_told(send_with_progress(lambda done: stages.send(
        horizon, run, campaign=name, on_message=done))))  # fmt: skip


def campaign_list(as_json: AsJson = False, database: DatabaseName = None) -> None:
    """The campaigns there are."""
    with installed(database).database.transaction(Role.WORKER) as tx:
        rows = row_dicts(tx.execute("SELECT * FROM campaigns ORDER BY campaign"))
    show(rows, as_json=as_json, empty="There is no campaign.")


def send(database: DatabaseName = None) -> None:
    """Send every message that is planned; safe to run again, and beside another."""
    horizon = installed(database)
    say(_told(send_with_progress(lambda done: stages.send(horizon, on_message=done))))


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
    say(_told(send_with_progress(lambda done: stages.send_demo(
        horizon, run, to, aggregated=aggregated, on_message=done))))  # fmt: skip


def message_list(
    status: Annotated[
        str | None, typer.Option(help="Only these: sent, skipped, unknown, ...")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000)] = 50,
    as_json: AsJson = False,
    database: DatabaseName = None,
) -> None:
    """Messages, the newest first, each with its status and the provider's answer."""
    with installed(database).database.transaction(Role.WORKER) as tx:
        rows = row_dicts(tx.execute(DELIVERY["list"], {"status": status, "most": limit}))
    show(rows, as_json=as_json, empty="No message yet: run `horizon campaign run miss_you`.")


def send_with_progress(sending: Callable[[Callable[[], None]], Sent]) -> Sent:
    """Show a running count on a terminal; elsewhere say nothing."""
    columns = (
        SpinnerColumn(),
        TextColumn("sending"),
        TextColumn("{task.completed} messages"),
        TimeElapsedColumn(),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task("send", total=None)
        return sending(lambda: progress.advance(task))


def _told(sent: Sent) -> str:
    totals: dict[str, int] = {}
    for (_, status), count in sent.counts.items():
        totals[status] = totals.get(status, 0) + count
    if not totals:
        return "Nothing was due."
    told = ", ".join(f"{count:,} {status}" for status, count in sorted(totals.items()))
    unknown = totals.get("unknown", 0)
    return f"Messages: {told}." + (
        " `horizon message list --status unknown` shows those that a stopped sender left in doubt."
        if unknown else ""
    )  # fmt: skip


def _reasons(reasons: dict[str, int]) -> str:
    return (
        f" ({', '.join(f'{count} {reason}' for reason, count in reasons.items())})"
        if reasons
        else ""
    )


def _looks_like_address(text: str) -> bool:
    local, _, domain = text.rpartition("@")
    return bool(local) and "." in domain and text.isprintable() and " " not in text
