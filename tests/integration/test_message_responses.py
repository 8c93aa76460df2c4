"""People's responses and machines', told apart afterwards and counted apart."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from horizon.cli.main import app
from horizon.postgres.database import Connection, Database, Role
from horizon.settings import Settings

NOON = datetime(2026, 6, 15, 12, 0, tzinfo=UTC)
OPEN = None

# (seconds, target or OPEN, machine)
Response = tuple[float, int | None, str | None]

INSERT = """INSERT INTO responses (message_id, campaign, kind, target_id, machine, time, event_id)
VALUES (%s, %s, %s, %s, %s, %s, gen_random_uuid())"""


def write(
    tx: Connection, responses: Sequence[Response], message: UUID, campaign: str = "miss_you"
) -> None:
    for seconds, target, machine in responses:
        kind = "open" if target is OPEN else "click"
        at = NOON + timedelta(seconds=seconds)
        tx.execute(INSERT, [message, campaign, kind, target, machine, at])


def judged(tx: Connection, message: UUID) -> list[str | None]:
    rows = tx.execute(
        "SELECT machine FROM message_responses WHERE message_id = %s ORDER BY response_id",
        [message],
    )
    return [row.machine for row in rows]


CASES: list[tuple[str, list[Response], list[str | None]]] = [
    ("one click", [(0, 1, None)], [None]),
    ("the same link over and over", [(s / 10, 1, None) for s in range(5)], [None] * 5),
    ("three links at once", [(0, 1, None), (0, 2, None), (0, 3, None)], ["burst"] * 3),
    ("three links within 2 s", [(0, 1, None), (1, 2, None), (2, 3, None)], ["burst"] * 3),
    ("a little slower", [(0, 1, None), (1, 2, None), (2.01, 3, None)], [None] * 3),
    ("the only two links there are", [(0, 1, None), (1.5, 2, None)], ["burst"] * 2),
    ("two of more links", [(0, 1, None), (1, 2, None), (900, 3, None)], [None] * 3),
    ("two links, and the person later", [(0, 1, None), (1, 2, None), (900, 1, None)],
     ["burst", "burst", None]),
    ("a scan, and the person later",
     [(0, 1, None), (0.1, 2, None), (0.2, 3, None), (60, 2, None), (60.5, 2, None)],
     ["burst"] * 3 + [None] * 2),
    ("a scan that opens first and looks again", [
        (0, OPEN, None), (0.5, 1, None), (1, 2, None), (1.5, 3, None), (2.5, OPEN, None),
        (700, OPEN, None)], ["burst"] * 5 + [None]),
    ("HEAD for two links, GET for the third",
     [(0, 1, "head"), (0.1, 2, "head"), (0.2, 3, None)], ["head", "head", "burst"]),
    ("a chain of stretches", [(s, s, None) for s in range(1, 6)], ["burst"] * 5),
    ("opens alone", [(0, OPEN, None), (1, OPEN, "agent")], [None, "agent"]),
]  # fmt: skip


@pytest.mark.parametrize(("case", "responses", "machines"), CASES, ids=[case[0] for case in CASES])
def test_a_scanner_is_known_by_its_haste(
    case: str, responses: list[Response], machines: list[str | None], module_database: Database
) -> None:
    with module_database.connect(Role.OWNER) as tx:
        message, other = uuid4(), uuid4()
        write(tx, responses, message)
        write(tx, [(0, 8, None)], other)  # another mail's clicks are not this one's
        assert judged(tx, message) == machines
        assert judged(tx, other) == [None]
        tx.rollback()


def in_burst(responses: Sequence[Response]) -> list[bool]:
    """The rule's meaning, word for word: some stretch of 2 s that holds it."""
    ever = {target for _, target, _ in responses if target is not OPEN}
    found = [False] * len(responses)
    for start, _, _ in responses:
        stretch = [n for n, one in enumerate(responses) if start <= one[0] <= start + 2]
        near = {responses[n][1] for n in stretch} - {OPEN}
        if len(near) >= 3 or (len(near) == 2 and near == ever):
            for n in stretch:
                found[n] = True
    return found


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(responses=st.lists(st.tuples(
    st.integers(0, 40).map(lambda tenths: tenths / 4), st.sampled_from([OPEN, 1, 2, 3, 4]),
    st.sampled_from([None, None, "head"]),
), max_size=12))  # fmt: skip
def test_the_view_means_what_it_says(responses: list[Response], module_database: Database) -> None:
    with module_database.connect(Role.OWNER) as tx:
        message = uuid4()
        write(tx, responses, message)
        expected = [
            machine or ("burst" if burst else None)
            for (_, _, machine), burst in zip(responses, in_burst(responses), strict=True)
        ]
        assert judged(tx, message) == expected
        tx.rollback()


@pytest.mark.parametrize("column", ["campaign = 'miss_you'", f"message_id = '{UUID(int=1)}'"])
def test_the_view_reads_only_what_is_asked_for(column: str, module_database: Database) -> None:
    with module_database.connect(Role.OWNER) as tx:
        tx.execute(
            "INSERT INTO responses (message_id, campaign, kind, time, event_id)"
            " SELECT md5('m' || n % 500)::uuid, 'c' || n % 50, 'open', now(), gen_random_uuid()"
            " FROM generate_series(1, 2000) n"
        )
        tx.execute("ANALYZE responses")
        tx.execute("SET LOCAL enable_seqscan = off")
        plan = [
            row[0] for row in tx.execute(f"EXPLAIN SELECT * FROM message_responses WHERE {column}".encode())
        ]  # fmt: skip
        tx.rollback()
    assert any("Index Cond" in line for line in plan), plan


def test_the_report_counts_mails_by_people_and_machines_apart(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    mails = [UUID(int=n) for n in range(1, 7)]
    with database.transaction(Role.OWNER) as tx:
        for url in ("https://a.example/", "https://b.example/", "https://c.example/"):
            tx.execute("INSERT INTO click_targets (url) VALUES (%s)", [url])
        for n, message in enumerate(mails):
            tx.execute(
                "INSERT INTO messages (message_id, campaign, profile_id, occasion, template, "
                "template_digest, status, correlation_id, planned_at) VALUES "
                "(%s, 'miss_you', %s, 'o', 't', 'd', %s, gen_random_uuid(), now())",
                [message, n, ["sent", "delivered", "bounced", "complained", "skipped", "sent"][n]],
            )
        write(tx, [(0, OPEN, None), (9, OPEN, None), (10, 1, None), (90, 2, None)], mails[0])
        write(tx, [(0, OPEN, "agent"), (5, 1, None)], mails[1])
        write(tx, [(0, 1, None), (0, 2, None), (0, 3, None), (0, OPEN, None)], mails[2])
        write(tx, [(0, 1, "head"), (30, OPEN, "prefetch"), (60, OPEN, "agent")], mails[3])
        write(tx, [(0, 1, None)], mails[5], campaign="good_activity")
    report = command(settings, monkeypatch, "campaign", "report", "miss_you", "--json")
    assert json.loads(report) == [{
        "campaign": "miss_you", "sent": 4,
        "opened": {"people": 1, "machines": 3, "head": 0, "agent": 2, "prefetch": 1, "burst": 1},
        "clicked": {"people": 2, "machines": 2, "head": 1, "agent": 0, "prefetch": 0, "burst": 1},
        "targets": [
            {"target": "https://a.example/", "people": 2, "machines": 2},
            {"target": "https://b.example/", "people": 1, "machines": 1},
            {"target": "https://c.example/", "people": 0, "machines": 1},
        ],
    }]  # fmt: skip
    told = command(settings, monkeypatch, "campaign", "report", "miss_you")
    assert "4 sent, 1 opened and 2 clicked by people who agreed to be counted." in told
    assert "opened 3 (2 agent, 1 prefetch, 1 burst), clicked 2 (1 head, 1 burst)." in told
    empty = command(settings, monkeypatch, "campaign", "report", "good_activity")
    assert "0 sent, 0 opened and 1 clicked" in empty


def command(settings: Settings, monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    for name in ("PG_DSN", "HORIZON_HOME", "LOG_PATH"):
        monkeypatch.setenv(name, str(getattr(settings, name)))
    done: Any = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return str(done.stdout)
