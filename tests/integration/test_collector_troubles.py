"""The collector in trouble: killed, stopped, flooded, without its database."""

from __future__ import annotations

import random
import signal
import socket
import time

import pytest

from horizon.postgres.database import Database, Role
from horizon.settings import Settings
from tests.servers.collector import Answer, Collector, launch
from tests.servers.load import Load

GOOD = {"type": "track", "userId": "u1", "event": "Viewed"}


def stored(database: Database) -> list[str]:
    with database.transaction(Role.OWNER) as tx:
        return [row.message_id for row in tx.execute("SELECT message_id FROM events")]


def code(answer: Answer) -> tuple[int, str]:
    assert answer.json["message"]
    return answer.status, answer.json["code"]


def test_what_was_answered_200_outlives_a_kill(
    settings: Settings, database: Database, key: str
) -> None:
    """A few; tests/e2e/test_collector_killed.py kills it and PostgreSQL fifty times."""
    collector = Collector(settings)
    load = Load(collector, key)
    with collector, load.running():
        for _ in range(3):
            load.wait_for_more()
            time.sleep(random.uniform(0.05, 0.4))
            collector.end(signal.SIGKILL)
            collector.__enter__()
        load.wait_for_more()
    found = stored(database)
    assert len(found) == len(set(found)), "an event is there twice"
    assert load.acknowledged <= set(found), "an event that was answered 200 is lost"


def test_a_stop_under_load_answers_what_it_took(
    settings: Settings, database: Database, key: str
) -> None:
    collector = Collector(settings)
    load = Load(collector, key)
    with collector, load.running():
        time.sleep(0.5)
        began = time.monotonic()
        assert collector.end(signal.SIGTERM) == (0, "", "")
        assert time.monotonic() - began < 5
    assert load.acknowledged <= set(stored(database))


def test_the_database_goes_away_and_comes_back(
    collector: Collector, database: Database, key: str
) -> None:
    assert collector.post("/v1/track", GOOD, key).status == 200
    admin = database.named("postgres").connect(autocommit=True)
    try:
        admin.execute(f"ALTER DATABASE {database.name} ALLOW_CONNECTIONS false".encode())
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = %s AND backend_type = 'client backend'",
            [database.name],
        )
        for answer in (
            collector.post("/v1/track", GOOD, key),
            collector.post("/v1/track", GOOD, "a key nobody knows"),
            collector.ask("GET", "/readyz"),
        ):
            assert code(answer) == (503, "unavailable")
            assert int(answer.headers["retry-after"]) > 0
        assert collector.ask("GET", "/healthz").status == 200
        admin.execute(f"ALTER DATABASE {database.name} ALLOW_CONNECTIONS true".encode())
    finally:
        admin.close()
    deadline = time.monotonic() + 5
    while collector.ask("GET", "/readyz").json != {"status": "ready"}:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert collector.post("/v1/track", GOOD, key).status == 200
    assert len(stored(database)) == 2


def test_a_connection_that_broke_unnoticed_costs_no_answer(
    collector: Collector, database: Database, key: str
) -> None:
    assert collector.post("/v1/track", GOOD, key).status == 200
    with database.transaction(Role.OWNER) as tx:
        tx.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid() "
            "AND backend_type = 'client backend'"
        )
    assert collector.post("/v1/track", GOOD, key).status == 200


def test_a_port_in_use_is_one_sentence(collector: Collector, settings: Settings) -> None:
    second = launch(settings, collector.port)
    _, complaint = second.communicate(timeout=20)
    assert second.returncode == 1
    assert str(collector.port) in complaint
    assert "COLLECTOR_PORT" in complaint
    assert complaint.count("\n") == 1


def test_a_database_that_is_not_set_up_is_one_sentence(
    settings: Settings, database: Database
) -> None:
    second = launch(
        settings.changed(PG_DSN=database.named("postgres").dsn), settings.COLLECTOR_PORT
    )
    _, complaint = second.communicate(timeout=20)
    assert (second.returncode, complaint) == (
        1, "The database is not set up: run `horizon init`.\n",
    )  # fmt: skip


@pytest.mark.slow
def test_a_slow_client_does_not_hold_the_stop_up(collector: Collector) -> None:
    with socket.create_connection(("127.0.0.1", collector.port)) as slow:
        slow.sendall(b"POST /v1/t HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
        assert collector.ask("GET", "/healthz").status == 200
        began = time.monotonic()
        assert collector.end(signal.SIGTERM) == (0, "", "")
        assert time.monotonic() - began < 10
