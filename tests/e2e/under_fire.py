"""A campaign in an installation of its own whose senders, PostgreSQL and mail server get killed."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg

from horizon import clock
from horizon.delivery.templating import load_template
from horizon.errors import HorizonError
from horizon.pipeline.installation import Installation, open_installation
from horizon.postgres.database import Role
from horizon.postgres.embedded import EmbeddedPostgres
from horizon.postgres.queries import Queries
from horizon.settings import Settings
from tests.servers.smtp_recorder import SmtpRecorder

CONNECTIONS = 2
TARGETS = ("a sender", "PostgreSQL", "the mail server")

QUERIES = Queries("bench")

# ``senders`` tells whose a claim is: the test gives each process a number, in its DSN's options.
WHOSE = """
CREATE TABLE senders (claim uuid PRIMARY KEY, sender int NOT NULL);
GRANT INSERT, SELECT ON senders TO horizon_worker;
CREATE FUNCTION know_sender() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO senders VALUES (NEW.claim, current_setting('horizon.sender')::int) ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER know_sender AFTER UPDATE ON outbox FOR EACH ROW WHEN (NEW.state = 'sending')
    EXECUTE FUNCTION know_sender();
"""
IN_DOUBT = """
SELECT count(*)::int AS messages FROM outbox o JOIN senders s USING (claim)
WHERE o.state = 'sending' AND s.sender = %s
"""
OUTCOME = """
SELECT m.message_id, m.to_addr, coalesce(o.state, m.status) AS status, m.reason, m.profile_id, s.sender
FROM messages m LEFT JOIN outbox o USING (message_id) LEFT JOIN senders s ON s.claim = m.claim
"""


@contextmanager
def own_server(
    folder: Path, port: int, lease_s: float
) -> Iterator[tuple[EmbeddedPostgres, Installation]]:
    """A PostgreSQL that may be killed, with a migrated database in it."""
    home = Path(tempfile.mkdtemp(prefix="horizon-faults-"))
    home.chmod(0o755)  # root's unprivileged account has to walk through it
    server = EmbeddedPostgres(home)
    try:
        server.start()
        yield server, open_installation(Settings(
            PG_DSN=server.dsn, HORIZON_HOME=str(home), LOG_PATH=str(folder / "log.jsonl"),
            SMTP_HOST="127.0.0.1", SMTP_PORT=port, SMTP_CONNECTIONS=CONNECTIONS,
            SEND_LEASE_S=lease_s, SMTP_TIMEOUT_S=5,
        ))  # fmt: skip
    finally:
        server.stop()
        shutil.rmtree(server.data, ignore_errors=True)
        shutil.rmtree(home, ignore_errors=True)


@dataclass
class UnderFire:
    """``senders`` are the processes at work, by number; a number is used once."""

    horizon: Installation
    server: EmbeddedPostgres
    recorder: SmtpRecorder
    chance: random.Random
    most_senders: int = 4
    senders: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    started: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    killed_senders: dict[int, int] = field(default_factory=dict)  # number: messages in doubt

    def plan(self, people: int) -> None:
        with self.horizon.database.transaction(Role.OWNER) as tx:
            # Every 100th person says no after the planning: nothing may reach them.
            tx.execute(QUERIES["waiting_mails"], {
                "size": people, "now": clock.now(), "run": uuid4(), "template": "good_activity",
                "digest": load_template("good_activity").digest, "purposes": ["marketing"],
                "no_every": 100,
            })  # fmt: skip
            tx.execute(WHOSE)

    def keep_sending(self) -> None:
        """As many senders as there should be: who ended or was killed is replaced."""
        for number, sender in list(self.senders.items()):
            if sender.poll() is not None:
                del self.senders[number]
        while len(self.senders) < self.most_senders:
            self.started += 1
            self.senders[self.started] = self.start_sender(self.started)

    def start_sender(self, number: int) -> subprocess.Popen[bytes]:
        settings = self.horizon.settings
        separator = "&" if "?" in str(settings.PG_DSN) else "?"
        environment = {
            **os.environ, "HORIZON_HOME": settings.HORIZON_HOME, "LOG_PATH": settings.LOG_PATH,
            "PG_DSN": f"{settings.PG_DSN}{separator}options=-c%20horizon.sender%3D{number}",
            "SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(self.recorder.port),
            "SMTP_CONNECTIONS": str(settings.SMTP_CONNECTIONS),
            "SMTP_TIMEOUT_S": str(settings.SMTP_TIMEOUT_S),
            "SEND_LEASE_S": str(settings.SEND_LEASE_S),
        }  # fmt: skip
        return subprocess.Popen(
            [sys.executable, "-m", "horizon.cli", "send"], env=environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def wait_for(self, mails: int) -> None:
        """Until so many have arrived, and one more than now: then mails are under way."""
        wanted, deadline = max(self.received() + 1, mails), time.monotonic() + 60
        while self.received() < wanted:
            assert time.monotonic() < deadline, f"mails stopped at {self.received()}"
            self.keep_sending()
            time.sleep(0.005)

    def received(self) -> int:
        with contextlib.suppress(FileNotFoundError), self.recorder.path.open("rb") as record:
            return sum(chunk.count(b"\n") for chunk in iter(lambda: record.read(1 << 20), b""))
        return 0

    def kill(self, target: str) -> None:
        time.sleep(self.chance.uniform(0, 0.05))
        self.kills[target] += 1
        if target == "a sender":
            self._kill_sender()
        elif target == "PostgreSQL":
            self.kill_postgres()
        else:
            self.recorder.kill()
            time.sleep(self.chance.uniform(0, 0.2))
            self.recorder.start()

    def _kill_sender(self) -> None:
        number = self.chance.choice(sorted(self.senders)[:2])  # the oldest are surely at it
        sender = self.senders.pop(number)
        sender.kill()
        sender.wait()
        self.killed_senders[number] = self.rows(IN_DOUBT, number)[0].messages

    def kill_postgres(self) -> None:
        pid = self.server.pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        time.sleep(self.chance.uniform(0, 0.2))
        self.server.start()

    def finish(self, timeout_s: float = 60) -> None:
        """Until nothing waits: leases run out, retries come due, and one more sender goes."""
        for sender in self.senders.values():
            sender.wait(timeout_s)
        self.senders.clear()
        deadline = time.monotonic() + timeout_s
        while self.rows("SELECT count(*)::int AS left FROM outbox")[0].left:
            assert time.monotonic() < deadline
            self.started += 1
            self.start_sender(self.started).wait(timeout_s)
            time.sleep(0.3)

    def stop(self) -> None:
        for sender in self.senders.values():
            sender.kill()
            sender.wait()

    def rows(self, query: str, *parameters: object) -> list[Any]:
        for _ in range(50):  # a server that was just killed takes a moment
            with (
                contextlib.suppress(HorizonError, psycopg.OperationalError),
                self.horizon.database.transaction(Role.OWNER) as tx,
            ):
                return tx.execute(query.encode(), parameters or None).fetchall()
            time.sleep(0.2)
        raise TimeoutError("PostgreSQL did not come back")
