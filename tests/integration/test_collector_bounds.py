"""What a collector holds at most, and what it tells who comes then."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pytest

from horizon.edge import group_commit
from horizon.edge.group_commit import GroupCommit
from horizon.postgres.database import Database, closing_connection
from horizon.serving import http
from horizon.settings import Settings
from tests.servers.collector import Answer, Application

GOOD = {"type": "track", "userId": "u1", "event": "Viewed"}


@pytest.fixture
def app(settings: Settings) -> Iterator[Application]:
    with Application(settings) as running:
        yield running


@contextmanager
def under_way(app: Application, database: Database, event: object, key: str) -> Iterator[None]:
    """A request that waits for its commit."""
    assert app.post("/v1/t", GOOD, key).status == 200  # its partitions are there
    answers: list[Answer] = []
    sender = threading.Thread(target=lambda: answers.append(app.post("/v1/t", event, key)))
    with closing_connection(database.connect()) as holder, holder:
        holder.execute("LOCK TABLE event_ids IN EXCLUSIVE MODE")
        sender.start()
        time.sleep(0.2)
        yield
    sender.join()
    assert answers[0].status == 200


def test_who_is_told_to_come_later_is_told_when(
    app: Application, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "CAPACITY_EVENTS", 0)
    for answer in (app.post("/v1/t", GOOD, key), app.ask("GET", "/readyz")):
        assert (answer.status, answer.json["code"]) == (429, "busy")
        assert int(answer.headers["retry-after"]) >= 1


def test_the_bodies_of_all_requests_count_together(
    app: Application, database: Database, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = {**GOOD, "properties": {"filling": "x" * 6_000}}
    with under_way(app, database, large, key):
        monkeypatch.setattr(http, "READING_BYTES", 10_000)
        answer = app.post("/v1/t", large, key)
        assert (answer.status, answer.json["code"]) == (429, "busy")
    assert app.post("/v1/t", large, key).status == 200


def test_a_batch_counts_its_context_with_each_of_its_events(
    app: Application, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    commit = GroupCommit.commit

    async def noted(
        self: GroupCommit, events: Sequence[Any], rejected: Any, at: datetime, size_bytes: int
    ) -> None:
        sizes.append(size_bytes)
        await commit(self, events, rejected, at, size_bytes)

    monkeypatch.setattr(GroupCommit, "commit", noted)
    batch = {"batch": [GOOD] * 40, "context": {"page": {"title": "x" * 1_000}}}
    assert app.post("/v1/batch", batch, key).status == 200
    assert sizes[0] > 40 * 1_000
