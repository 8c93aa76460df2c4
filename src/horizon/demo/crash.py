"""``horizon demo --crash``: a campaign of 2,000 mails whose sender, mail server and database are
killed before one's eyes, and then the count."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from horizon import clock
from horizon.catcher.store import MailStore
from horizon.demo import words
from horizon.errors import HorizonError, UsageError
from horizon.events.model import Event, Source, read_message
from horizon.events.sources import ensure_source
from horizon.events.store import store
from horizon.pipeline import processes, stages
from horizon.pipeline.installation import Installation, open_installation
from horizon.postgres.database import Role
from horizon.postgres.embedded import EmbeddedPostgres
from horizon.postgres.queries import Queries
from horizon.settings import Settings

QUERIES = Queries("horizon.demo")
PEOPLE = 2_000
KILLS = 20
LEASE_S = 2.0
SHOWN = 5  # of each sort of unknown messages
MAILS_BETWEEN = PEOPLE // (KILLS + 4)  # so that the last kill still finds work
CATCHER_AT, DATABASE_AT = 7, 14  # after which kill of the sender these two are killed


@dataclass(frozen=True)
class Count:
    """What the campaign's rows and the received mails say together; ``lost`` and ``twice`` are
    of the messages whose state is known, ``unknown`` has of each other one whether it came."""

    planned: int
    received: int
    twice: int
    lost: int
    unknown: dict[UUID, bool]


class Crash:
    """One campaign in a database and a mail folder of its own."""

    def __init__(self, settings: Settings, console: Console, seed: int | None = None) -> None:
        if settings.PG_DSN:
            raise UsageError(
                "The crash demo kills its database, so it never runs on PG_DSN's: unset it."
            )
        self.console = console
        self.chance = random.Random(seed)
        self.folder = settings.home / "crash" / f"{clock.now():%Y%m%dT%H%M%S}"
        self.settings = settings
        _clear_away(settings)
        self.horizon = self._prepared(settings)
        self.store = MailStore(self.folder)
        self.catcher = processes.catcher(
            self.folder, self.settings.CATCHER_SMTP_PORT, self.settings.CATCHER_PAGE_PORT
        )

    def _prepared(self, settings: Settings) -> Installation:
        self.settings = settings.changed(
            SMTP_HOST=None, SMTP_USER=None, SMTP_PASSWORD=None, SMTP_PORT=None, DNS_LOOKUPS="off",
            SEND_LEASE_S=LEASE_S, SMTP_TIMEOUT_S=LEASE_S,
            LOG_PATH=str(self.folder / "cdp_events.log"),
            CATCHER_SMTP_PORT=processes.free_port(settings.CATCHER_SMTP_PORT),
            CATCHER_PAGE_PORT=processes.free_port(settings.CATCHER_PAGE_PORT),
        )  # fmt: skip
        self.database = f"horizon_crash_{self.folder.name.lower()}"
        return open_installation(self.settings, self.database, make=True)

    def run(self) -> Count:
        with ExitStack() as stack:
            stack.callback(self.catcher.stop)
            self.catcher.start()
            self._plan()
            columns = (TextColumn("received"), BarColumn(), MofNCompleteColumn())
            with Progress(*columns, console=self.console, transient=True) as bar:
                task = bar.add_task("mails", total=PEOPLE)
                for number in range(1, KILLS + 1):
                    sender = self._sending(lambda: bar.update(task, completed=self._received()))
                    if number == CATCHER_AT:
                        self._kill_the_catcher()
                    if number == DATABASE_AT:
                        self._kill_the_database()
                    self._kill(sender, number)
                self._finish()
            return self._count()

    def _plan(self) -> None:
        now = clock.now()
        with self.horizon.database.transaction(Role.WORKER) as tx:
            source = ensure_source(tx, "crash", "file")
            people = _people(source, now, self.horizon.keys.node)
            store(tx, people, era=self.horizon.era())
        run = uuid4()
        stages.score(self.horizon, now, run)
        self.horizon.runner.run(stages.alert_stage(self.horizon.settings), now, run)
        figures = stages.plan_campaign(self.horizon, "miss_you", now, run).figures
        self.console.print(f"{figures['planned']:,} mails planned, each with its person's consent.")

    def _sender(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "horizon.pipeline.child", str(os.getpid()), "horizon.cli",
             "send", "--database", self.database],
            env={**os.environ, **processes.environment_of(self.settings)},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def _sending(self, tick: Callable[[], None]) -> subprocess.Popen[bytes]:
        """A sender that has sent some and is at it."""
        before, deadline = self._received(), time.monotonic() + 30
        sender = self._sender()
        while self._received() < before + MAILS_BETWEEN and time.monotonic() < deadline:
            tick()
            if sender.poll() is not None:  # all that is left is claimed by one that was killed
                time.sleep(LEASE_S / 4)
                sender = self._sender()
            time.sleep(0.02)
        return sender

    def _kill(self, sender: subprocess.Popen[bytes], number: int) -> None:
        """At a moment that it cannot know."""
        time.sleep(self.chance.uniform(0, 0.05))
        sender.kill()
        sender.wait()
        received = self._received()
        self.console.print(f"kill -9 {number:2} of {KILLS}: the sender, at {received:,} received")

    def _kill_the_catcher(self) -> None:
        if self.catcher.process is not None:
            self.catcher.process.kill()
        self.catcher.stop()
        self.catcher.start()
        self.console.print("kill -9: [yellow]the mail server[/yellow], and started again")

    def _kill_the_database(self) -> None:
        server = EmbeddedPostgres(self.settings.home)
        pid = server.pid()
        if pid is None:
            raise HorizonError("PostgreSQL stopped by itself: see `horizon status`.")
        os.kill(pid, signal.SIGKILL)
        server.start()
        self.console.print("kill -9: [yellow]PostgreSQL[/yellow], and started again")

    def _finish(self) -> None:
        """Send what is left: until nothing waits and no lease runs."""
        for _ in range(10):
            self._sender().wait()
            with self.horizon.database.transaction(Role.WORKER) as tx:
                row = tx.execute(QUERIES["under_way"]).fetchone()
            if row is None or row.messages == 0:
                return
            time.sleep(LEASE_S + 0.2)

    def _received(self) -> int:
        return self.store.count()

    def _count(self) -> Count:
        received = Counter(
            str(self.store.read(mail.id)["Message-ID"]).strip("<>").partition("@")[0]
            for mail in self.store.list(limit=10 * PEOPLE)
        )
        with self.horizon.database.transaction(Role.WORKER) as tx:
            rows = tx.execute(QUERIES["crash_states"]).fetchall()
        known = [row for row in rows if row.status != "unknown"]
        return Count(
            planned=len(rows), received=len(received),
            twice=sum(times > 1 for times in received.values()),
            lost=sum(received[str(row.message_id)] == 0 for row in known),
            unknown={
                row.message_id: received[str(row.message_id)] > 0
                for row in rows if row.status == "unknown"
            },
        )  # fmt: skip


def _clear_away(settings: Settings) -> None:
    """Drop what earlier crash demos left."""
    shutil.rmtree(settings.home / "crash", ignore_errors=True)
    main = open_installation(settings).database
    with main.transaction(Role.OWNER) as tx:
        names = [row.datname for row in tx.execute(QUERIES["crash_databases"])]
    for name in names:
        main.named(name).drop()


def _people(source: Source, now: datetime, node_key: bytes) -> list[Event]:
    """2,000 people who said yes and were last seen 13 days ago."""
    events = []
    for number in range(PEOPLE):
        user, seen = f"crash-{number:04}", (now - timedelta(days=13)).isoformat()
        said = {
            "type": "identify", "userId": user, "messageId": f"{user}:i", "timestamp": seen,
            "traits": {"email": f"{user}@example.com", "first_name": f"Person {number}"},
            "context": {"consent": {"categoryPreferences": {"marketing.email": True}}},
        }  # fmt: skip
        did = {
            "type": "track", "userId": user, "messageId": f"{user}:t", "timestamp": seen,
            "event": "Product Viewed",
        }  # fmt: skip
        events += [
            read_message(item, source=source, received_at=now, node_key=node_key)
            for item in (said, did)
        ]
    return events


def run_crash(settings: Settings, console: Console) -> int:
    """Run it, show the count, and give back the exit code: 0 where nothing was lost or doubled."""
    started = time.monotonic()
    with processes.only_one(settings.home):
        crash = Crash(settings, console)
        count = crash.run()
    _show(console, count, time.monotonic() - started, crash.folder, crash.database)
    return 0 if count.twice == count.lost == 0 else 1


def _show(console: Console, count: Count, took_s: float, folder: Path, database: str) -> None:
    console.print(f"\n[bold]After {KILLS + 2} kills[/bold] in {took_s:.0f} s:\n")
    for name, value in (
        ("planned", count.planned), ("received", count.received), ("twice", count.twice),
        ("lost", count.lost), ("unknown", len(count.unknown)),
        ("  of these received", sum(count.unknown.values())),
    ):  # fmt: skip
        console.print(f"  {name:19}{value:>7,}")
    if count.unknown:
        console.print(
            "\nUnknown: their sender or a server died while they were leaving, so they are never\n"
            "sent again by themselves. Only the mail server can know, and here it is asked:"
        )
        for line in _settling(count.unknown, folder, database):
            console.print(line, highlight=False, soft_wrap=True)
    console.print(f"\nThe mails are in {folder}")


def _settling(unknown: Mapping[UUID, bool], folder: Path, database: str) -> Iterator[str]:
    """The lines that settle what is unknown: a few of each sort, and a file with all."""
    sorts: tuple[tuple[str, list[str]], ...] = (("received", []), ("not received", []))
    for message_id, came in unknown.items():
        found = "sent" if came else "failed"
        sorts[0 if came else 1][1].append(
            f"{words.command()} message settle {message_id} --as {found} --database {database}"
        )
    for name, lines in sorts:
        if lines:
            yield f"\n  {name}, {len(lines):,}:"
            yield from (f"    {line}" for line in lines[:SHOWN])
    if any(len(lines) > SHOWN for _, lines in sorts):
        path = folder / "settle.sh"
        path.write_text("".join(f"{line}\n" for _, lines in sorts for line in lines))
        yield f"\n  All {len(unknown):,} lines: sh {words.place(path)}"
