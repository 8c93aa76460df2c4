"""Figures that are read seldom: what is shown while their database is away, and while it is slow."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
import pytest

from horizon.errors import DatabaseError
from horizon.observe.metrics.gauges import Gauge, Sample
from horizon.observe.metrics.refresh import AGE, TOOK, Group

MAILS = Gauge("horizon_messages", "Mails.", ("campaign",))


def test_figures_of_a_database_that_is_away_are_shown_no_more() -> None:
    """An old number would say that all is as it was. One that was only slow is shown with its age."""
    ways: list[Sequence[Sample] | Exception] = [
        [Sample(MAILS, ("a",), 5), Sample(MAILS, ("b",), 1)],
        psycopg.errors.QueryCanceled("statement timeout"),
        DatabaseError("away"),
        [Sample(MAILS, ("a",), 7)],
    ]

    def read() -> Sequence[Sample]:
        way = ways.pop(0)
        if isinstance(way, Exception):
            raise way
        return way

    group = Group("dear", read, every_s=0)

    def shown() -> dict[tuple[str, ...], float]:
        group._next_s = 0
        return {one.labels: one.value for one in group.samples(5) if one.gauge is MAILS}

    assert (shown(), group.up) == ({("a",): 5, ("b",): 1}, True)
    assert (shown(), group.up) == ({("a",): 5, ("b",): 1}, True)
    assert (shown(), group.up) == ({}, False)
    assert (shown(), group.up) == ({("a",): 7, ("b",): 0}, True)
    assert {one.gauge for one in group.samples(5)} == {MAILS, AGE, TOOK}
    assert ways == pytest.approx([])
