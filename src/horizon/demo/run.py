"""``horizon demo``: the whole job on real input, in the open."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from uuid import UUID, uuid4

from rich.console import Console

from horizon import links
from horizon.clock import parse_instant
from horizon.demo import figures, page, summary
from horizon.errors import UsageError
from horizon.pipeline import intake, processes, stages
from horizon.pipeline.installation import Installation, open_installation
from horizon.postgres.database import Role
from horizon.postgres.queries import Queries
from horizon.settings import Settings
from horizon.sources import cdnow

QUERIES = Queries("horizon.demo")
CDNOW_NOW = parse_instant("1998-06-30")
UNSUBSCRIBE_TIMEOUT_S = 10


def run_demo(settings: Settings, console: Console) -> None:
    """Run everything once more or for the first time; end with a summary and a page.

    It never writes to a real mail server, whatever the settings say. Raises HorizonError.
    """
    with processes.only_one(settings.home), ExitStack() as stack:
        settings = _loopback(settings)
        with _step(console, "database"):
            horizon = open_installation(settings)
            _refuse_own_data(horizon)
            past = open_installation(settings, f"{horizon.database.name}_cdnow", make=True)
        with _step(console, "collector and mail catcher"):
            for child in _children(settings):
                stack.callback(child.stop)
                child.start()
        run = uuid4()
        with _step(console, "events: 200 people through the HTTP API"):
            simulated = intake.simulate(horizon, settings.public_url, run)
        with _step(console, "events: 69,659 purchases from a file"):
            bought = intake.ingest_file(
                past, str(cdnow.master_file()), cdnow.MAPPING, correlation_id=run
            )
            stages.score(past, CDNOW_NOW, run)
        now = _epoch(horizon)
        with _step(console, "identity, score, alert, campaigns, delivery"):
            stages.run_all(horizon, now, correlation_id=run)
        with _step(console, "one person unsubscribes with one click"):
            _unsubscribe_one(horizon)
        shown = figures.gather(horizon, past, run, simulated, bought, now)
        target = settings.home / "demo.html"
        with _step(console, "page"):
            page.write(target, shown)
    summary.show(console, shown, target)


def _refuse_own_data(horizon: Installation) -> None:
    """The demo writes to everybody it finds, into the local catcher: only to its own people."""
    with horizon.database.transaction(Role.WORKER) as tx:
        row = tx.execute(QUERIES["own_source"]).fetchone()
    if row is not None:
        raise UsageError(
            f"This home has events of your own (source {row.name}), and the demo's mails would go "
            "to a catcher and count as sent: set HORIZON_HOME to another folder for the demo."
        )


def _loopback(settings: Settings) -> Settings:
    """Free ports where the usual are busy, and no mail server but the catcher."""
    return settings.changed(
        SMTP_HOST=None, SMTP_USER=None, SMTP_PASSWORD=None, SMTP_PORT=None, DNS_LOOKUPS="off",
        LISTEN_HOST="127.0.0.1", PUBLIC_URL="", TRACKING_URL="",
        COLLECTOR_PORT=processes.free_port(settings.COLLECTOR_PORT),
        CATCHER_SMTP_PORT=processes.free_port(settings.CATCHER_SMTP_PORT),
        CATCHER_PAGE_PORT=processes.free_port(settings.CATCHER_PAGE_PORT),
    )  # fmt: skip


def _children(settings: Settings) -> list[processes.Child]:
    environment = processes.environment_of(settings)
    return [
        processes.catcher(
            settings.home / "mail", settings.CATCHER_SMTP_PORT, settings.CATCHER_PAGE_PORT
        ),
        processes.collector(settings.COLLECTOR_PORT, environment),
    ]


@contextmanager
def _step(console: Console, name: str) -> Iterator[None]:
    started = time.monotonic()
    with console.status(f"{name} ..."):
        yield
    mark = "✓" if console.encoding.lower().startswith("utf") else "*"
    console.print(f"[green]{mark}[/green] {name} [dim]{time.monotonic() - started:.1f} s[/dim]")


def _epoch(horizon: Installation) -> datetime:
    """The demo's now: people are as silent in its second run as in its first."""
    with horizon.database.transaction(Role.WORKER) as tx:
        row = tx.execute(QUERIES["epoch"]).fetchone()
    assert row is not None
    epoch: datetime = row.epoch
    return epoch


def _unsubscribe_one(horizon: Installation) -> UUID | None:
    """Do what a mail client does when its reader clicks: POST to the mail's link, once for all."""
    with horizon.database.transaction(Role.WORKER) as tx:
        row = tx.execute(QUERIES["one_reader"]).fetchone()
    if row is None:
        return None
    token = links.sign(horizon.keys.link, row.message_id, "unsubscribe")
    request = urllib.request.Request(  # noqa: S310  our own, on loopback
        f"{horizon.settings.tracking_url}/u/{token}",
        data=b"List-Unsubscribe=One-Click",
        method="POST",
    )
    with urllib.request.urlopen(request, timeout=UNSUBSCRIBE_TIMEOUT_S):  # noqa: S310
        message_id: UUID = row.message_id
        return message_id
