"""Refused events and ids are kept for their time, and dropped by the day."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from horizon import clock
from horizon.events.homes import Homes
from horizon.events.partitions import ensure_partitions
from horizon.events.rejection import RejectedEvent
from horizon.events.store import store
from horizon.pipeline import stages
from horizon.pipeline.standing import look
from horizon.postgres.database import Role
from horizon.stage import StageResult
from tests.world import World


@pytest.fixture
def now() -> datetime:
    return clock.now().replace(hour=12)


AGO = (0, 2, 3, 4, 29, 30, 31, 60, 61, 65, 66, 67)


@pytest.fixture
def here(world: World, now: datetime) -> World:
    """With an event and a refused one of some days, each of which has a partition; and an old one."""
    world.now = now
    thens = [now - timedelta(days=ago) for ago in AGO]
    with world.horizon.database.transaction(Role.WORKER) as tx:
        for then in thens:
            ensure_partitions(tx, then.date(), then.date())
        store(tx, [], [RejectedEvent(1, then, 0, "x", "y", "{}") for then in thens], era=1)
    for ago, then in zip(AGO, thens, strict=True):  # each at once, but for the last
        world.put(world.track("ann", timedelta(days=ago), messageId=f"m{ago}"), received_at=then)
    world.put(world.track("ann", timedelta(days=400), messageId="m400"))
    return world


def run(world: World, now: datetime, **changed: object) -> StageResult:
    settings = world.horizon.settings.changed(**changed)
    return world.runner.run(stages.retention_stage(settings), now)


def kept_days(world: World, table: str, column: str) -> list[date]:
    query = f"SELECT DISTINCT ({column} AT TIME ZONE 'UTC')::date AS day FROM {table} ORDER BY 1"
    return [row.day for row in world.rows(query)]


def days_ago(now: datetime, *, most: int) -> list[date]:
    return [(now - timedelta(days=ago)).date() for ago in reversed(AGO) if ago <= most]


def kept_ids(now: datetime, *, most: int) -> list[date]:
    return sorted({*days_ago(now, most=most), Homes(now.date()).period_on})


def test_what_is_past_its_time_is_dropped_by_the_day(here: World, now: datetime) -> None:
    figures = run(here, now).figures
    assert kept_days(here, "rejected_events", "received_at") == days_ago(now, most=30)
    # The one of 400 days ago lies under the first of the thirty days in which it came.
    assert kept_days(here, "event_ids", "hour") == kept_ids(now, most=60)
    assert here.rows("SELECT FROM event_ids_default") == []
    assert figures["dropped_rejected"] >= 6
    assert figures["dropped_ids"] >= 4
    assert figures["left"] == 0
    assert run(here, now).figures == {
        "dropped_rejected": 0, "dropped_ids": 0, "dropped_events": 0, "left": 0,
    }  # fmt: skip
    assert len(here.rows("SELECT 1 FROM events")) == 13


def test_a_copy_is_known_for_as_long_as_it_is_said(here: World, now: datetime) -> None:
    """An event that came 30 days late, and its copy 30 days after."""
    run(here, now)
    for ago in (0, 30, 60):
        assert here.put(here.track("ann", timedelta(days=ago), messageId=f"m{ago}")) == 0
    assert here.put(here.track("ann", timedelta(days=65), messageId="m65")) == 1


@pytest.mark.parametrize(("came_ago", "known"), [(29, 1), (91, 0)])
def test_an_old_event_s_id_stays_while_copies_may_come_and_not_for_ever(
    here: World, now: datetime, came_ago: int, known: int
) -> None:
    """Of an archive of last year: from 91 days ago on, its thirty days are 61 days past."""
    late = here.track("ann", timedelta(days=365), messageId="late")
    came = now - timedelta(days=came_ago)
    assert here.put(late, received_at=came) == 1
    assert here.put(late, received_at=came) == 0
    run(here, now)
    assert here.put(late) == 1 - known


def test_the_settings_say_how_long(here: World, now: datetime) -> None:
    run(here, now, REJECTED_DAYS=3, IDS_DAYS=33)
    assert kept_days(here, "rejected_events", "received_at") == days_ago(now, most=3)
    assert kept_days(here, "event_ids", "hour") == kept_ids(now, most=66)


def test_a_time_far_ahead_forgets_no_id_that_is_young(here: World, now: datetime) -> None:
    run(here, now + timedelta(days=3650))
    assert kept_days(here, "event_ids", "hour") == kept_ids(now, most=60)
    assert kept_days(here, "rejected_events", "received_at") == []


def test_a_reader_holds_it_up_and_the_next_run_does_it(here: World, now: datetime) -> None:
    with here.horizon.database.transaction(Role.WORKER) as reader:
        reader.execute("SELECT count(*) FROM rejected_events")
        figures = run(here, now).figures
        assert (figures["dropped_rejected"], figures["dropped_ids"]) == (0, 0)
        assert figures["left"] >= 10
    assert run(here, now).figures["left"] == 0


def test_the_pipeline_does_it_when_a_day_is_over_and_leaves_a_line(
    here: World, now: datetime
) -> None:
    for _ in range(2):
        stages.drop_what_is_over(here.horizon, now, uuid4())
    lines = [
        json.loads(one) for one in Path(here.horizon.settings.LOG_PATH).read_text().splitlines()
    ]
    assert [line["left"] for line in lines if line["stage"] == "retention"] == [0]
    with here.horizon.database.transaction(Role.WORKER) as tx:
        standing = {one.stage: one for one in look(tx, here.horizon.settings, clock.now())}
    assert standing["retention"].result.startswith("done: ")
    assert (
        standing["retention"].waits_for
        == "a day whose REJECTED_DAYS, IDS_DAYS or HOT_DAYS are over"
    )
    stages.run_all(here.horizon, now + timedelta(days=1))
    assert len(here.rows("SELECT 1 FROM runs WHERE stage = 'retention'")) == 2


def test_the_pipeline_makes_the_days_to_come_before_a_collector_has_to(world: World) -> None:
    stages.drop_what_is_over(world.horizon, None, uuid4())
    days = [clock.now().date() + timedelta(days=ahead) for ahead in (1, 2, 3)]
    for parent in ("events", "event_ids", "rejected_events"):
        made = world.rows(f"SELECT d AS day FROM day_partitions('{parent}') d")
        assert set(days) <= {row.day for row in made}


def test_rows_without_a_partition_of_their_day_go_too(world: World, now: datetime) -> None:
    old = now - timedelta(days=40)
    with world.horizon.database.transaction(Role.OWNER) as tx:
        tx.execute(
            "INSERT INTO rejected_events (source_id, received_at, position, code, message, body, cut) "
            "SELECT 1, unnest(%s::timestamptz[]), 0, 'x', 'y', '{}', false",
            [[old, datetime(2000, 1, 1, tzinfo=UTC), now]],
        )
    run(world, now)
    assert kept_days(world, "rejected_events", "received_at") == [now.date()]
