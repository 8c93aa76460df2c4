"""The breaker on real rows: what opens it, what it holds, and how it is closed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from horizon.cli.main import run
from horizon.delivery import breaker
from horizon.delivery.breaker import BLOCK, is_block
from horizon.postgres.database import Connection, Database, Role
from horizon.settings import Settings
from tests.smtp_answers import BLOCKS, OTHERS

NOON = datetime(2026, 6, 15, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
POLICY = "550 5.7.1 Message rejected due to local policy."

MESSAGES = """INSERT INTO messages (message_id, campaign, profile_id, occasion, to_addr, domain,
    template, template_digest, status, reason, answer, correlation_id, planned_at, finished_at)
SELECT md5(random()::text)::uuid, %(campaign)s, floor(random() * 1e15), random()::text, 'x',
    %(domain)s, 't', 'd', %(status)s, %(reason)s, %(answer)s, gen_random_uuid(), %(at)s,
    CASE WHEN %(status)s <> 'planned' THEN %(at)s::timestamptz END
FROM generate_series(1, %(count)s) RETURNING message_id"""
WAITING = """INSERT INTO outbox (message_id, campaign, state, due_at, attempts, answer, claimed_at)
SELECT m, %(campaign)s, %(state)s, %(at)s, %(attempts)s, %(answer)s, %(at)s
FROM unnest(%(messages)s::uuid[]) m"""


def write(tx: Connection, count: int, domain: str = "gmail.com", status: str = "sent",
          at: datetime = NOON - HOUR, **changes: Any) -> list[Any]:  # fmt: skip
    values = {
        "count": count, "domain": domain, "status": status, "at": at, "campaign": "miss_you",
        "reason": None, "answer": None, "state": "planned", "attempts": 0, **changes,
    }  # fmt: skip
    found = [row.message_id for row in tx.execute(MESSAGES, values)]
    if status == "planned":
        tx.execute(WAITING, {**values, "messages": found})
    return found


def blocked(tx: Connection, count: int, **changes: Any) -> None:
    write(tx, count, **{"status": "failed", "reason": "blocked", "answer": POLICY, **changes})


def due(tx: Connection) -> dict[str, set[bool]]:
    """For each domain whether its waiting messages are held."""
    rows = tx.execute(
        "SELECT m.domain, o.due_at = 'infinity' AS held FROM outbox o JOIN messages m "
        "USING (message_id) WHERE o.state = 'planned'"
    )
    found: dict[str, set[bool]] = {}
    for row in rows:
        found.setdefault(row.domain, set()).add(row.held)
    return found


def told(lines: list[Any]) -> list[tuple[str, str, str]]:
    return [(line.message, line.fields["domain"], line.fields["reason"]) for line in lines]


def test_blocks_hold_what_waits_for_that_domain_and_nothing_else(worker: Connection) -> None:
    write(worker, 200)
    write(worker, 100, "yahoo.com")
    blocked(worker, 20)
    for domain in ("gmail.com", "yahoo.com"):
        write(worker, 3, domain, "planned")
    write(worker, 2, status="planned", state="claimed")
    write(worker, 2, "gmail.com", "planned", campaign="good_activity")
    lines = breaker.check(worker, "miss_you", NOON)
    assert told(lines) == [("breaker_opened", "gmail.com", "blocks")]
    assert lines[0].fields == {
        "campaign_id": "miss_you", "domain": "gmail.com", "reason": "blocks", "attempts": 220,
        "sent": 200, "blocked": 20, "complained": 0,
    }  # fmt: skip
    assert due(worker) == {"gmail.com": {True, False}, "yahoo.com": {False}}
    held = worker.execute(
        "SELECT campaign, count(*)::int AS n FROM outbox WHERE due_at = 'infinity' GROUP BY 1"
    ).fetchall()
    assert [tuple(row) for row in held] == [("miss_you", 3)]
    claimed = worker.execute(
        "SELECT DISTINCT due_at FROM outbox WHERE state = 'claimed'"
    ).fetchall()
    assert [row.due_at for row in claimed] == [NOON - HOUR]
    assert breaker.check(worker, "miss_you", NOON) == []  # it is told once


def test_nothing_happens_below_the_line_or_the_sample(worker: Connection) -> None:
    write(worker, 400)
    blocked(worker, 21)
    blocked(worker, 90, domain="small.example", campaign="good_activity")
    write(worker, 1, status="planned")
    assert breaker.check(worker, "miss_you", NOON) == []
    assert breaker.check(worker, "good_activity", NOON) == []
    assert due(worker) == {"gmail.com": {False}}


def test_what_is_deferred_for_policy_counts_and_greylisting_does_not(worker: Connection) -> None:
    write(worker, 100)
    write(worker, 30, status="planned", attempts=1, answer="450 4.7.1 Greylisted, try again")
    write(worker, 30, status="planned", answer=None)
    assert breaker.check(worker, "miss_you", NOON) == []
    write(worker, 10, status="planned", attempts=2, answer="421 4.7.0 [TSS04] user complaints")
    lines = breaker.check(worker, "miss_you", NOON)
    assert [(line.fields["attempts"], line.fields["blocked"]) for line in lines] == [(140, 10)]


def test_only_the_last_day_counts(worker: Connection) -> None:
    write(worker, 100)
    blocked(worker, 50, at=NOON - 25 * HOUR)
    blocked(worker, 50, at=NOON + HOUR)
    assert breaker.check(worker, "miss_you", NOON) == []
    blocked(worker, 6, at=NOON - 23 * HOUR)
    assert told(breaker.check(worker, "miss_you", NOON)) == [
        ("breaker_opened", "gmail.com", "blocks")
    ]


def test_complaints_warn_and_then_open(worker: Connection) -> None:
    write(worker, 1_997, "yahoo.com", "delivered")
    write(worker, 3, "yahoo.com", "complained")
    write(worker, 2, "yahoo.com", "planned")
    assert told(breaker.check(worker, "miss_you", NOON)) == [
        ("breaker_warned", "yahoo.com", "warned")
    ]
    assert due(worker) == {"yahoo.com": {False}}
    write(worker, 4, "yahoo.com", "complained")
    assert told(breaker.check(worker, "miss_you", NOON)) == [
        ("breaker_opened", "yahoo.com", "complaints")
    ]
    assert due(worker) == {"yahoo.com": {True}}


def test_many_small_domains_hold_the_whole_campaign(worker: Connection) -> None:
    for n in range(30):
        write(worker, 4, f"d{n}.example")
        blocked(worker, 1, domain=f"d{n}.example")
    write(worker, 2, "elsewhere.example", "planned")
    assert told(breaker.check(worker, "miss_you", NOON)) == [("breaker_opened", "*", "blocks")]
    assert due(worker) == {"elsewhere.example": {True}}


def test_an_address_that_does_not_exist_is_no_block(worker: Connection) -> None:
    write(worker, 100)
    write(worker, 50, status="bounced", reason="address_invalid", answer="550 5.1.1 no such user")
    write(worker, 50, status="failed", reason="template", answer="550 5.7.1 is no answer")
    assert breaker.check(worker, "miss_you", NOON) == []


def test_closing_lets_go_and_forgives(worker: Connection) -> None:
    write(worker, 100)
    blocked(worker, 30)
    write(worker, 3, status="planned")
    write(worker, 5, status="planned", attempts=1, answer=POLICY)
    breaker.check(worker, "miss_you", NOON)
    assert due(worker) == {"gmail.com": {True}}
    assert breaker.close(worker, "miss_you", NOON) == 8
    assert {row.due_at for row in worker.execute("SELECT due_at FROM outbox")} == {NOON}
    later = NOON + HOUR
    assert breaker.check(worker, "miss_you", later) == []
    assert breaker.open_breakers(worker) == []
    blocked(worker, 100, at=NOON + HOUR / 2)
    assert told(breaker.check(worker, "miss_you", later)) == [
        ("breaker_opened", "gmail.com", "blocks")
    ]
    assert breaker.close(worker, "good_activity", later) == 0
    assert [row["domain"] for row in breaker.open_breakers(worker)] == ["gmail.com"]


def test_what_comes_back_to_an_open_breaker_is_held_by_the_next_check(worker: Connection) -> None:
    write(worker, 100)
    blocked(worker, 30)
    breaker.check(worker, "miss_you", NOON)
    write(worker, 1, status="planned")
    assert due(worker) == {"gmail.com": {False}}
    assert breaker.check(worker, "miss_you", NOON) == []
    assert due(worker) == {"gmail.com": {True}}


@pytest.mark.parametrize("answer", BLOCKS + OTHERS)
def test_python_and_postgresql_agree_on_what_a_block_is(
    answer: str, module_database: Database
) -> None:
    with module_database.connect(Role.WORKER) as tx:
        row = tx.execute("SELECT %s::text ~* %s AS block", [answer, BLOCK]).fetchone()
        tx.rollback()
    assert row is not None
    assert row.block == is_block(answer)


def test_status_and_list_show_what_is_held_and_resume_lets_it_go(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    for name in ("PG_DSN", "HORIZON_HOME", "LOG_PATH"):
        monkeypatch.setenv(name, str(getattr(settings, name)))

    def command(*words: str) -> str:
        assert run(list(words)) == 0
        return capfd.readouterr().out

    with database.transaction(Role.WORKER) as tx:
        write(tx, 100)
        blocked(tx, 30)
        write(tx, 7, status="planned")
        breaker.check(tx, "miss_you", NOON)
    (status,) = json.loads(command("status", "--json"))
    (held,) = status["breakers"]
    assert (held["campaign"], held["domain"], held["reason"], held["messages"]) == (
        "miss_you", "gmail.com", "blocks", 7,
    )  # fmt: skip
    assert "Held by the breaker" in command("status")
    listed = {
        row["campaign"]: row["held"] for row in json.loads(command("campaign", "list", "--json"))
    }
    assert listed == {
        "confirm_consent": "", "good_activity": "", "miss_you": "gmail.com (blocks)",
    }  # fmt: skip
    assert "7 messages wait no more" in command("campaign", "resume", "miss_you")
    with database.transaction(Role.WORKER) as tx:
        assert due(tx) == {"gmail.com": {False}}
    assert "breaker" not in command("status")
