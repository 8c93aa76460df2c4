"""[delivery.smtp]: personalised, tracked mails to a sink, every state in the database."""

from __future__ import annotations

import multiprocessing
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle, islice
from multiprocessing.synchronize import Barrier
from pathlib import Path
from uuid import uuid4

from bench.harness import Figure, scratch_installation
from horizon import clock
from horizon.cli.output import calm_memory
from horizon.delivery.channels.smtp.channel import EmailChannel
from horizon.delivery.channels.smtp.transport import SmtpTransport
from horizon.delivery.ports import Claimed, Means, Parcel
from horizon.delivery.templating import MailTemplate, compile_template
from horizon.pipeline import outgoing
from horizon.pipeline.installation import Installation, open_installation
from horizon.postgres.database import Role, closing_connection
from horizon.postgres.queries import Queries

SENDERS = 2
CONNECTIONS = 1  # of each
RUNS = 3
READY = 1_000  # mails of the reference, again and again: more would be copied with each process

PARAGRAPH = (
    "We keep a short list of what is new and worth a look this week, chosen for people who have "
    "bought from us before and would rather read five lines than fifty. "
)
MJML = f"""<mjml><mj-head><mj-title>{{{{ first_name }}}}, your week</mj-title></mj-head><mj-body>
<mj-section><mj-column><mj-text>Hello {{{{ first_name }}}}, you were here
{{{{ activity_count }}}} times, last on {{{{ last_seen }}}}.</mj-text>
<mj-text>{PARAGRAPH * 2}</mj-text><mj-text>
<a href="https://shop.example/1">One</a> <a href="https://shop.example/2">Two</a>
<a href="https://shop.example/3">Three</a> <a href="https://shop.example/4">Four</a>
<a href="{{{{ shop_url }}}}">All of it</a></mj-text>
<mj-text>{{{{ brand }}}}, {{{{ postal_address }}}}
<a href="{{{{ unsubscribe_url }}}}">Unsubscribe</a></mj-text>
</mj-column></mj-section></mj-body></mjml>"""
TEMPLATE = compile_template("bench", MJML)
QUERIES = Queries("bench")


class BenchChannel(EmailChannel):
    def template(self, name: str) -> MailTemplate:  # noqa: ARG002 - there is one
        return TEMPLATE


@contextmanager
def running_sink() -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """A sink's port and its process, which says when its first mail came."""
    with tempfile.TemporaryDirectory() as folder:
        yield from _serving(_sink_program(Path(folder)))


def _sink_program(folder: Path) -> list[str]:
    """The sink in C where there is a compiler, since it takes 10 us a mail less; else in Python."""
    compiler = shutil.which("cc")
    if compiler is None:
        return [sys.executable, "-m", "bench.smtp_sink"]
    source, program = Path(__file__).with_name("smtp_sink.c"), folder / "smtp_sink"
    subprocess.run([compiler, "-O2", "-D_GNU_SOURCE", "-o", program, source], check=True)
    return [str(program)]


def _serving(command: list[str]) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline()), process
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


def smtp_figures(quick: bool) -> Iterator[Figure]:
    """The median of three campaigns, each beside its reference."""
    size = 10_000 if quick else 50_000
    with running_sink() as (port, _), scratch_installation({
        "SMTP_HOST": "127.0.0.1", "SMTP_PORT": port, "SMTP_CONNECTIONS": CONNECTIONS,
    }) as horizon:  # fmt: skip
        parcels = _composed(horizon)
        times = []
        for _ in range(RUNS):  # in turn, since the machine's speed drifts
            _plan(horizon, size)
            times.append((_senders(horizon, size), _ready(horizon, parcels, size)))
    value, reference = (statistics.median(column) for column in zip(*times, strict=True))
    yield Figure("delivery.smtp", round(size / value), "msg/s", round(size / reference), size)


def _plan(horizon: Installation, size: int) -> None:
    with horizon.database.transaction(Role.OWNER) as tx:
        tx.execute("TRUNCATE profiles, nodes, consents, messages, outbox, reached, events CASCADE")
        tx.execute(QUERIES["waiting_mails"], {
            "size": size, "now": clock.now(), "run": uuid4(), "template": "bench",
            "digest": "bench", "purposes": ["marketing", "tracking"], "no_every": None,
        })  # fmt: skip
    with closing_connection(horizon.database.connect(autocommit=True)) as connection:
        connection.execute("VACUUM ANALYZE")


def _senders(horizon: Installation, size: int) -> float:
    """As many senders as there are cores, since a Python process has one of them."""

    def work(ready: Barrier) -> None:
        calm_memory()
        own = open_installation(horizon.settings)
        ready.wait()
        outgoing.send(own, open_channel=lambda _, means: BenchChannel(means))

    took_s = _at_once(work)
    with horizon.database.transaction(Role.OWNER) as tx:
        row = tx.execute("SELECT count(*)::int AS n FROM messages WHERE status = 'sent'").fetchone()
    assert row is not None and row.n == size, row
    return took_s


def _at_once(work: Callable[[Barrier], None]) -> float:
    """Seconds from when all processes are ready to when the last one has ended."""
    context = multiprocessing.get_context("fork")
    ready = context.Barrier(SENDERS + 1)
    running = [context.Process(target=work, args=(ready,)) for _ in range(SENDERS)]
    for one in running:
        one.start()
    ready.wait()
    started = time.perf_counter()
    for one in running:
        one.join()
        assert one.exitcode == 0
    return time.perf_counter() - started


def _composed(horizon: Installation) -> list[Parcel]:
    channel = BenchChannel(
        Means(horizon.settings, horizon.keys, lambda urls: dict.fromkeys(urls, 1))
    )
    return [
        channel.compose(Claimed(
            uuid4(), "good_activity", number, f"user-{number}", f"user-{number}@example.com",
            "example.com", "low",
            {"first_name": f"Name{number}", "activity_count": 3, "last_seen": "2026-05-05"},
            "bench", "day:bench", clock.now(), True, 0,
        ))
        for number in range(READY)
    ]  # fmt: skip


def _ready(horizon: Installation, parcels: list[Parcel], size: int) -> float:
    """The same ready bytes over as many connections, of as many processes, without a database."""

    def work(ready: Barrier) -> None:
        transport = SmtpTransport(horizon.settings, "hello@horizon.example")
        ready.wait()
        transport.connect()
        for outcome in transport.send(islice(cycle(parcels), size // SENDERS)):
            assert isinstance(outcome, str), outcome
        transport.close()

    return _at_once(work)
