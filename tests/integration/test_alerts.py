"""Alerts: new, notified, resolved; once a cooldown, also with two alerters at once."""

from __future__ import annotations

import threading
from datetime import timedelta

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from horizon.alerts import stage as alerts
from horizon.alerts.rules import RULE, AlertRules, cooled_down
from horizon.postgres.database import Role
from horizon.stage import Window
from tests.world import DAY, NOW, World


def _statuses(world: World) -> list[str]:
    return [row.status for row in world.rows("SELECT status FROM alerts ORDER BY alert_id")]


def test_at_the_threshold_and_not_below(world: World) -> None:
    world.put(world.track("at", 14 * DAY * 0.7), world.track("below", 9.79 * DAY))
    world.score()
    figures = world.alert().figures
    assert (figures["created"], figures["skipped"]) == (1, 0)
    assert world.rows("SELECT value FROM alerts JOIN nodes USING (node)")[0].value == "at"


@pytest.mark.parametrize("threshold", [None, 0.5, 0.9])
def test_a_rerun_with_any_threshold_creates_nothing_within_the_cooldown(
    world: World, threshold: float | None
) -> None:
    world.put(world.track("ann", 13 * DAY))
    world.score()
    world.alert()
    world.now += timedelta(days=6.99)
    world.score()
    figures = world.alert(threshold).figures
    assert (figures["created"], figures["skipped"]) == (0, 1)


def test_after_the_cooldown_there_is_another(world: World) -> None:
    world.put(world.track("ann", 13 * DAY))
    world.score()
    world.alert()
    world.now += 7 * DAY
    world.score()
    assert world.alert().figures["created"] == 1


def test_a_cooldown_set_shorter_or_longer_holds_at_once(world: World) -> None:
    world.put(world.track("ann", 13 * DAY))
    world.score()
    created = []
    for days, cooldown in ((0, 7), (2, 1), (4, 30), (6, 7), (12, 7)):
        window = _window(world, NOW + days * DAY)
        with world.horizon.database.transaction(Role.WORKER) as tx:
            result = alerts.run(tx, window, AlertRules(0.7, cooldown))
        created.append(result.figures["created"])
    assert created == [1, 1, 0, 0, 1]


def test_resolved_when_the_score_falls_below_the_threshold(world: World) -> None:
    world.put(world.track("back", 13 * DAY), world.track("gone", 13 * DAY))
    world.score()
    world.alert()
    world.put(world.track("back", timedelta(hours=1)))
    world.score()
    assert world.alert().figures["resolved"] == 1
    assert sorted(_statuses(world)) == ["NEW", "RESOLVED"]
    world.now += DAY
    world.score()
    world.alert()
    assert sorted(_statuses(world)) == ["NEW", "RESOLVED"]


def test_two_alerters_at_once_make_one_alert_each(world: World) -> None:
    """The stage itself, without the runner's lock: the constraint alone has to hold."""
    world.put(*(world.track(f"u{number}", 20 * DAY) for number in range(300)))
    world.score()
    barrier = threading.Barrier(4)
    created = []

    def alert() -> None:
        with world.horizon.database.transaction(Role.WORKER) as tx:
            window = _window(world, world.now)
            barrier.wait()
            created.append(alerts.run(tx, window, AlertRules(0.7, 7)).figures["created"])

    threads = [threading.Thread(target=alert) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(created) == 300
    assert len(_statuses(world)) == 300


def test_the_constraint_refuses_a_second_alert_within_the_cooldown(world: World) -> None:
    world.put(world.track("ann", 20 * DAY))
    world.score()
    world.alert()
    with pytest.raises(psycopg.errors.ExclusionViolation):
        world.rows(
            "INSERT INTO alerts (rule, node, profile_id, score, tier, threshold, created_at,"
            " quiet_until, correlation_id) SELECT rule, node, profile_id, score, tier, threshold,"
            " created_at + interval '6 days', quiet_until + interval '6 days', correlation_id"
            " FROM alerts RETURNING 1"
        )


@given(st.floats(0, 30), st.floats(0.1, 30))
def test_cooled_down_is_the_distance_alone(days: float, cooldown_days: float) -> None:
    last = NOW - timedelta(days=days)
    assert cooled_down(last, NOW, cooldown_days) == (
        timedelta(days=days) >= timedelta(days=cooldown_days)
    )
    assert cooled_down(None, NOW, cooldown_days)


def _window(world: World, now: object) -> Window:
    with world.horizon.database.transaction(Role.WORKER) as tx:
        row = tx.execute(
            "SELECT pg_current_snapshot()::text AS until, gen_random_uuid() AS id"
        ).fetchone()
    assert row is not None
    return Window(now=now, run_id=row.id, correlation_id=row.id, era=1, until=row.until)  # type: ignore[arg-type]


def test_the_rule_is_named_in_the_row(world: World) -> None:
    world.put(world.track("ann", 20 * DAY))
    world.score()
    world.alert()
    assert world.rows("SELECT rule FROM alerts")[0].rule == RULE
