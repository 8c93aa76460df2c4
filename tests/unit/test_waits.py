"""What a stage is said to wait for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horizon.pipeline.standing import StageStanding, changes
from horizon.pipeline.waits import (
    Lock,
    Mail,
    Schedule,
    planner_waits_for,
    sender_waits_for,
    told_figure,
    told_lag,
    told_span,
    waits_for,
)

AT = datetime(2026, 6, 15, 12, tzinfo=UTC)
UP, DOWN = Schedule(AT), Schedule(None)
RUNS, WAITS = Lock(True, 7, "horizon_worker"), Lock(False, 8, "horizon_worker")


@pytest.mark.parametrize(
    ("status", "locks", "schedule", "unread", "told"),
    [
        ("done", [], UP, 0, "something new; its turn at 2026-06-15T12:00:00Z"),
        ("done", [], UP, 5, "its turn at 2026-06-15T12:00:00Z"),
        ("done", [], DOWN, 5, "`horizon up`, which does not run"),
        (None, [], DOWN, 0, "`horizon up`, which does not run"),
        ("failed", [], UP, 0, "its turn at 2026-06-15T12:00:00Z, and for what its error names"),
        ("started", [RUNS], UP, 0, "nothing: it runs now"),
        ("started", [RUNS, WAITS], UP, 0, "1 run until database process 7 (horizon_worker) ends its own"),
        ("started", [RUNS, WAITS, WAITS], UP, 0, "2 runs until database process 7 (horizon_worker) ends its own"),
        ("started", [], UP, 0, "its turn at 2026-06-15T12:00:00Z; the last run was killed, and the next one does its work"),
    ],
)  # fmt: skip
def test_a_stage(
    status: str | None, locks: list[Lock], schedule: Schedule, unread: int, told: str
) -> None:
    assert waits_for(status, locks, schedule, unread=unread) == told


@pytest.mark.parametrize(
    ("mail", "told"),
    [
        (Mail(), "something to send"),
        (Mail(under_way=50), "answers to 50 under way"),
        (Mail(due=1200), "its turn at 2026-06-15T12:00:00Z: 1,200 are due"),
        (Mail(later=2, next_at=AT), "2026-06-15T12:00:00Z: 2 are planned for later"),
        (
            Mail(held=3, paused=4),
            "`horizon campaign resume NAME`: a breaker holds 3; "  # noqa: ISC004
            "`horizon campaign resume NAME`: 4 are of a paused campaign",
        ),
    ],
)
def test_the_sender(mail: Mail, told: str) -> None:
    assert sender_waits_for(mail, UP) == told


def test_the_planner_names_what_is_paused() -> None:
    assert planner_waits_for("x", []) == "x"
    assert planner_waits_for("x", ["a", "b"]) == "x; paused: a, b"


def test_a_lag() -> None:
    assert told_lag(None, None, "events", 100) == ""
    assert told_lag(timedelta(0), 0, "events", 100) == "none"
    assert told_lag(timedelta(seconds=3), 12, "events", 100) == "12 events, 3 s"
    assert told_lag(timedelta(minutes=5), 100, "events", 100) == "100 or more events, 5 min"
    assert told_lag(None, 2, "due", 100) == "2 due"


@given(st.timedeltas(timedelta(0), timedelta(days=4000)))
def test_a_span_is_short_and_has_a_unit(span: timedelta) -> None:
    told = told_span(span)
    assert len(told) <= 11
    assert told.split()[1] in {"s", "min", "h", "days"}


@pytest.mark.parametrize(
    ("stage", "name", "value", "told"),
    [
        ("seal", "batches", 1, "1 batch"), ("seal", "batches", 2, "2 batches"),
        ("identity", "consents", 1, "1 consent"), ("identity", "opt_ins", 1, "1 opt in"),
        ("score", "suspicious", 1, "1 suspicious"), ("email", "count", 1, "1 message"),
        ("email", "count", 2_000, "2,000 messages"), ("consents", "count", 3, "3 lines"),
    ],
)  # fmt: skip
def test_a_figure_is_told_in_words(stage: str, name: str, value: int, told: str) -> None:
    assert told_figure(stage, name, value) == told


@pytest.mark.parametrize(
    ("after", "told"),
    [
        ({"last_run": AT + timedelta(minutes=1)}, False),
        ({"lag": "3 events, 9 s"}, False),
        ({"took": "2 s"}, False),
        ({"waits_for": "something new; its turn at 2026-06-15T12:01:00Z"}, False),
        ({"waits_for": "its turn at 2026-06-15T12:00:00Z"}, True),
        ({"lag": "4 events, 3 s"}, True),
        ({"result": "done: 2 users"}, True),
    ],
)
def test_a_change_is_more_than_the_time(after: dict[str, object], told: bool) -> None:
    turn = "something new; its turn at 2026-06-15T12:00:00Z"
    before = StageStanding("score", AT, "1 s", "done: 1 user", "3 events, 3 s", turn)
    assert bool(changes([before], [replace(before, **after)])) is told
