"""The home screen's figures, of runs that the real stages left."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from psycopg.types.json import Jsonb

from horizon import clock
from horizon.console.home import Card, cards, nothing_yet
from horizon.pipeline import stages
from horizon.postgres.database import Role
from tests.world import DAY, World

ADD_RUN = """INSERT INTO runs (run_id, correlation_id, stage, status, "now", started_at, figures, error)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"""


def seen(world: World) -> dict[str, Card]:
    with world.horizon.database.transaction(Role.CONSOLE) as tx:
        return {one.standing.stage: one for one in cards(tx, world.horizon.settings, clock.now())}


def run_at(
    world: World,
    stage: str,
    ago: timedelta,
    events: int,
    status: str = "done",
    error: str | None = None,
) -> None:
    at = clock.now() - ago
    with world.horizon.database.transaction(Role.WORKER) as tx:
        tx.execute(
            ADD_RUN, [uuid4(), uuid4(), stage, status, at, at, Jsonb({"events": events}), error]
        )


def test_nothing_has_come_in_until_something_has(world: World) -> None:
    def nothing() -> bool:
        with world.horizon.database.transaction(Role.CONSOLE) as tx:
            return nothing_yet(tx)

    assert nothing()
    assert {one.state for one in seen(world).values()} == {"idle"}
    world.person("ann", 13 * DAY)
    assert not nothing()


def test_the_stages_leave_the_figures_that_are_shown(world: World) -> None:
    world.people("ann", "bob")
    world.identify_all()
    world.score()
    world.alert()
    world.plan()
    world.runner.run(stages.seal_stage(), world.now)
    found = seen(world)
    for stage in ("identity", "score", "alert", "campaign", "seal"):
        assert found[stage].hour, stage
        assert found[stage].state == "well"


def test_an_hour_a_day_and_the_week_before(world: World) -> None:
    run_at(world, "identity", timedelta(minutes=1), 5)
    run_at(world, "identity", 7 * DAY + timedelta(seconds=1), 3)
    run_at(world, "identity", 7 * DAY - timedelta(minutes=1), 100)  # later on that day
    run_at(world, "identity", 14 * DAY, 1000)
    card = seen(world)["identity"]
    assert card.hour == 5
    # Just after midnight UTC the runs of a minute ago are another day's.
    early = clock.now().hour == 0 and clock.now().minute < 2
    assert early or (card.today, card.week_ago) == (5, 3)


@pytest.mark.parametrize(
    ("status", "state"), [("done", "well"), ("failed", "failed"), ("started", "failed")]
)
def test_the_last_error_is_told(status: str, state: str, world: World) -> None:
    run_at(
        world,
        "score",
        timedelta(minutes=1),
        0,
        status,
        "The lake cannot be read." if status == "failed" else None,
    )
    card = seen(world)["score"]
    assert card.state == state
    assert card.error == ("The lake cannot be read." if status == "failed" else "")
