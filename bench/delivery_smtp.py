"""[delivery.smtp]: personalised, tracked mails to a sink, every state in the database."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import uuid4

from bench.harness import Figure, scratch_installation, seconds
from horizon import clock
from horizon.delivery.channels.smtp.channel import EmailChannel
from horizon.delivery.ports import Claimed, Means, Parcel
from horizon.delivery.templating import MailTemplate, compile_template
from horizon.pipeline import stages
from horizon.pipeline.installation import Installation
from horizon.postgres.database import Role, closing_connection

CONNECTIONS = 4

PARAGRAPH = (
    "We keep a short list of what is new and worth a look this week, chosen for people who have "
    "bought from us before and would rather read five lines than fifty. "
)
MJML = f"""<mjml><mj-head><mj-title>{{{{ first_name }}}}, your week</mj-title></mj-head><mj-body>
<mj-section><mj-column><mj-text>Hello {{{{ first_name }}}}, you were here
{{{{ activity_count }}}} times, last on {{{{ last_seen }}}}.</mj-text>
<mj-text>{PARAGRAPH * 7}</mj-text><mj-text>
<a href="https://shop.example/1">One</a> <a href="https://shop.example/2">Two</a>
<a href="https://shop.example/3">Three</a> <a href="https://shop.example/4">Four</a>
<a href="{{{{ shop_url }}}}">All of it</a></mj-text>
<mj-text>{{{{ brand }}}}, {{{{ postal_address }}}}
<a href="{{{{ unsubscribe_url }}}}">Unsubscribe</a></mj-text>
</mj-column></mj-section></mj-body></mjml>"""
TEMPLATE = compile_template("bench", MJML)

FILL = """
WITH people AS (
    INSERT INTO profiles (created_at) SELECT %(now)s FROM generate_series(1, %(size)s)
    RETURNING profile_id
), known AS (
    INSERT INTO nodes (node, kind, value, profile_id, first_seen)
    SELECT md5('n' || profile_id)::uuid, 'user_id', 'user-' || profile_id, profile_id, %(now)s
    FROM people
), agreed AS (
    INSERT INTO consents (node, address_hash, purpose, channel, granted, time, way)
    SELECT md5('n' || profile_id)::uuid, md5('a' || profile_id)::uuid, purpose, 'email', true,
           %(now)s, 'identify'
    FROM people, (VALUES ('marketing'), ('tracking')) purposes (purpose)
), planned AS (
    INSERT INTO messages (campaign, node, profile_id, occasion, to_addr, address_hash, domain,
        tier, variables, template, template_digest, status, correlation_id, planned_at)
    SELECT 'good_activity', md5('n' || profile_id)::uuid, profile_id, 'day:bench',
        'user-' || profile_id || '@example.com', md5('a' || profile_id)::uuid, 'example.com',
        'low', jsonb_build_object('first_name', 'Name' || profile_id, 'tier', 'low',
            'activity_count', 3, 'days_silent', 2, 'last_seen', '2026-05-05', 'score_percent', 12),
        'bench', 'bench', 'planned', %(run)s, %(now)s
    FROM people RETURNING message_id
)
INSERT INTO outbox (message_id, campaign, due_at)
SELECT message_id, 'good_activity', %(now)s FROM planned
"""


class BenchChannel(EmailChannel):
    def template(self, name: str) -> MailTemplate:  # noqa: ARG002 - there is one
        return TEMPLATE


@dataclass
class Keeping(BenchChannel):
    """Keeps the composed mails, for the reference."""

    kept: list[Parcel] = field(default_factory=list)

    def compose(self, message: Claimed) -> Parcel:
        parcel = super().compose(message)
        self.kept.append(parcel)
        return parcel


@contextmanager
def running_sink() -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """A sink's port and its process, which says when its first mail came."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.smtp_sink"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline()), process
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


def smtp_figures(quick: bool) -> Iterator[Figure]:
    size = 10_000 if quick else 50_000
    with running_sink() as (port, _), scratch_installation({
        "SMTP_HOST": "127.0.0.1", "SMTP_PORT": port, "SMTP_CONNECTIONS": CONNECTIONS,
    }) as horizon:  # fmt: skip
        yield _smtp(horizon, size)


def _smtp(horizon: Installation, size: int) -> Figure:
    with horizon.database.transaction(Role.OWNER) as tx:
        tx.execute(FILL, {"size": size, "now": clock.now(), "run": uuid4()})
    with closing_connection(horizon.database.connect(autocommit=True)) as connection:
        connection.execute("VACUUM ANALYZE")
    took_s = seconds(
        lambda: stages.send(horizon, open_channel=lambda _, means: BenchChannel(means))
    )
    with horizon.database.transaction(Role.OWNER) as tx:
        row = tx.execute(
            "SELECT count(*)::int AS sent FROM messages WHERE status = 'sent'"
        ).fetchone()
        assert row is not None and row.sent == size, row
    reference_s = _ready_bytes(horizon, size)
    return Figure("delivery.smtp", round(size / took_s), "msg/s", round(size / reference_s), size)


def _ready_bytes(horizon: Installation, size: int) -> float:
    """Seconds for as many ready mails over as many connections, without a database."""
    channel = BenchChannel(
        Means(horizon.settings, horizon.keys, lambda urls: dict.fromkeys(urls, 1))
    )
    parcels = [
        channel.compose(Claimed(
            uuid4(), "good_activity", number, f"user-{number}", f"user-{number}@example.com",
            "example.com", "low",
            {"first_name": f"Name{number}", "activity_count": 3, "last_seen": "2026-05-05"},
            "bench", "day:bench", clock.now(), True, 0,
        ))
        for number in range(size)
    ]  # fmt: skip

    def lane(number: int) -> None:
        transport = channel.transport()
        transport.connect()
        for outcome in transport.send(iter(parcels[number::CONNECTIONS])):
            assert isinstance(outcome, str), outcome
        transport.close()

    lanes = [threading.Thread(target=lane, args=(number,)) for number in range(CONNECTIONS)]
    started = time.perf_counter()
    for one in lanes:
        one.start()
    for one in lanes:
        one.join()
    return time.perf_counter() - started
