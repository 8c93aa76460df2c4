"""A campaign is decided in chunks, each committed: what holds across them, and when one fails."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from bench.delivery_plan import fill
from horizon.campaigns import stage as campaigns
from horizon.errors import DatabaseError
from horizon.pipeline import runner, stages
from horizon.pipeline.steps import Steps
from horizon.postgres.database import Database, Role, closing_connection
from horizon.stage import StageResult, Window
from tests.world import DAY, World, chunks_of

CAMPAIGNS = pytest.mark.parametrize("campaign", ["miss_you", "good_activity"])


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of two, then of three and three, one after the other: decided one by one, then joined."""
    chunks_of(monkeypatch, 2, 3)


@pytest.fixture
def many_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of two in four lanes."""
    chunks_of(monkeypatch, 2, lanes=4)


def _people(world: World, campaign: str, *users: str, **more: Any) -> None:
    """People who are due, in the order of their profiles."""
    for user in users:
        world.person(user, (13 if campaign == "miss_you" else 1) * DAY, **more)
        world.runner.run(
            stages.identity_stage(world.horizon.keys, world.horizon.settings), world.now
        )


def _due(world: World) -> None:
    world.score()
    world.alert()


def _verdicts(world: World) -> dict[str, str]:
    query = "SELECT n.value, coalesce(m.reason, m.status) AS verdict FROM messages m JOIN nodes n USING (node)"
    return {row.value: row.verdict for row in world.rows(query)}


def _waiting(world: World) -> int:
    query = "SELECT FROM outbox JOIN messages m USING (message_id) WHERE m.status = 'planned'"
    return len(world.rows(query))


@CAMPAIGNS
def test_every_chunk_is_committed_and_told_before_the_next(
    world: World, small_chunks: None, campaign: str
) -> None:
    _people(world, campaign, *(f"u{number}" for number in range(6)))
    _people(world, campaign, "no", consent=False)
    _due(world)
    told: list[tuple[int, int]] = []
    result = stages.plan_campaign(
        world.horizon, campaign, world.now,
        on_planned=lambda planned: told.append((planned, _waiting(world))),
    )  # fmt: skip
    assert told == [(2, 2), (5, 5), (6, 6)]
    assert result.figures == {"planned": 6, "skipped": 1, "reasons": {"refused": 1}}
    (run,) = world.rows("SELECT status, figures, error FROM runs WHERE stage = 'campaign'")
    assert (run.status, run.figures, run.error) == ("done", result.figures, None)


@CAMPAIGNS
def test_one_summary_line_and_a_line_for_each_person_skipped(
    world: World, small_chunks: None, campaign: str
) -> None:
    _people(world, campaign, *(f"u{number}" for number in range(5)))
    _people(world, campaign, "a@example.com", email=None)
    _people(world, campaign, "no1", "no2", consent=False)
    _due(world)
    world.plan(campaign)
    lines = [json.loads(line) for line in world.horizon.settings.log_path.read_text().splitlines()]
    lines = [line for line in lines if line.get("stage") == "campaign"]
    (summary,) = [line for line in lines if line["message"] == "campaign"]
    assert (summary["planned"], summary["skipped"]) == (5, 3)
    told = [line for line in lines if line["message"] == "message"]
    rows = world.rows(
        "SELECT message_id, profile_id FROM messages WHERE status = 'skipped' ORDER BY profile_id"
    )
    assert {line["message_id"] for line in told} == {str(row.message_id) for row in rows}
    assert {line["user_id"] for line in told} == {"no1", "no2", f"p{rows[0].profile_id}"}
    assert sorted(line["reason"] for line in told) == ["no_address", "refused", "refused"]
    assert {line["correlation_id"] for line in lines} == {summary["correlation_id"]}


@CAMPAIGNS
def test_one_mail_an_address_across_chunks(world: World, small_chunks: None, campaign: str) -> None:
    _people(world, campaign, "ann", email="both@example.com")
    _people(world, campaign, *(f"u{number}" for number in range(5)))
    _people(world, campaign, "bob", email="BOTH@example.com")
    _due(world)
    assert world.plan(campaign).figures["reasons"] == {"same_address": 1}
    assert _verdicts(world)["bob"] == "same_address"


@CAMPAIGNS
def test_one_mail_an_address_across_runs_of_an_occasion(world: World, campaign: str) -> None:
    _people(world, campaign, "ann", email="both@example.com")
    _due(world)
    assert world.plan(campaign).figures["planned"] == 1
    _people(world, campaign, "bob", email="BOTH@example.com")
    _due(world)
    assert world.plan(campaign).figures["reasons"] == {"same_address": 1}


@CAMPAIGNS
def test_lanes_decide_everybody_once_and_each_address_once(
    world: World, many_lanes: None, campaign: str
) -> None:
    """Two people of one address are never in one chunk, and mostly decided at the same moment."""
    for shared in ("x", "y", "z"):
        _people(
            world,
            campaign,
            *(f"{shared}{number}" for number in range(8)),
            email=f"{shared}@example.com",
        )
        _people(world, campaign, f"no-{shared}", consent=False)
    _people(world, campaign, "alone")
    _due(world)
    told: list[int] = []
    figures = stages.plan_campaign(
        world.horizon, campaign, world.now, on_planned=told.append
    ).figures
    reasons = {"refused": 3, "same_address": 21}
    assert figures == {"planned": 4, "skipped": 24, "reasons": reasons}
    (run,) = world.rows("SELECT figures FROM runs WHERE stage = 'campaign'")
    assert run.figures == figures
    assert told == sorted(told)
    assert told[-1] == 4
    planned = world.rows(
        "SELECT to_addr FROM messages JOIN outbox USING (message_id) WHERE status = 'planned'"
    )
    assert sorted(row.to_addr for row in planned) == [
        "alone@example.com", "x@example.com", "y@example.com", "z@example.com"
    ]  # fmt: skip
    second = world.rows("SELECT * FROM messages WHERE reason = 'same_address'")
    assert {row.status for row in second} == {"skipped"}
    assert {row.finished_at for row in second} == {world.now}
    lines = [json.loads(line) for line in world.horizon.settings.log_path.read_text().splitlines()]
    skipped = {line["user_id"] for line in lines if line.get("status") == "skipped"}
    assert len(skipped) == 24


def test_a_lane_that_fails_stops_the_others_and_what_they_kept_counts(
    world: World, many_lanes: None, failing: Callable[[str], None]
) -> None:
    users = [f"u{number}" for number in range(24)]
    _people(world, "miss_you", *users)
    _due(world)
    failing("u11")
    with pytest.raises(DatabaseError, match=r"disk full.* planned, 0 skipped: those are kept"):
        world.plan()
    kept = _waiting(world)
    assert kept in range(2, 23, 2)
    (run,) = world.rows("SELECT status, figures FROM runs WHERE stage = 'campaign'")
    assert (run.status, run.figures["planned"]) == ("failed", kept)
    failing("nobody")
    assert world.plan().figures["planned"] == 24 - kept
    assert _verdicts(world) == dict.fromkeys(users, "planned")


def _sent(world: World) -> None:
    """All that waited has left."""
    with world.horizon.database.transaction(Role.OWNER) as tx:
        tx.execute(
            "UPDATE messages SET status = 'sent', finished_at = planned_at WHERE status = 'planned'"
        )
        tx.execute("DELETE FROM outbox")


def test_one_mail_an_address_also_where_the_first_has_left_meanwhile(
    world: World, small_chunks: None
) -> None:
    """Each alert is an occasion of its own, so that only the run tells that these belong together."""
    _people(world, "miss_you", "ann", email="both@example.com")
    _people(world, "miss_you", *(f"u{number}" for number in range(5)))
    _people(world, "miss_you", "bob", email="BOTH@example.com")
    _due(world)
    stages.plan_campaign(world.horizon, "miss_you", world.now, on_planned=lambda _: _sent(world))
    assert _verdicts(world)["bob"] == "same_address"


def test_one_mail_an_address_and_day_also_where_the_first_has_left(world: World) -> None:
    _people(world, "good_activity", "ann", email="both@example.com")
    _due(world)
    world.plan("good_activity")
    _sent(world)
    _people(world, "good_activity", "bob", email="BOTH@example.com")
    _due(world)
    assert world.plan("good_activity").figures["reasons"] == {"same_address": 1}


def test_lanes_are_beside_each_other_and_take_addresses_in_turn(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two people of one address, each planned before either has taken it."""
    chunks_of(monkeypatch, 1, lanes=2)
    monkeypatch.setattr(runner, "STEPS_ALONE", 1)
    _people(world, "miss_you", "first")
    _people(world, "miss_you", "ann", "bob", email="both@example.com")
    _due(world)
    both = threading.Barrier(2, timeout=10)
    decide = campaigns.Planning._decided
    alone = []

    def decided(planning: Any, tx: Any, chunk: Any) -> Any:
        if not alone:
            alone.append(chunk)
            return decide(planning, tx, chunk)
        if len(alone) < 3:  # ann's and bob's; the last chunk is empty
            alone.append(chunk)
            return decide(planning, Paused(tx, both), chunk)
        return decide(planning, tx, chunk)

    monkeypatch.setattr(campaigns.Planning, "_decided", decided)
    figures = world.plan().figures
    assert figures == {"planned": 2, "skipped": 1, "reasons": {"same_address": 1}}


def test_after_a_failure_no_lane_takes_another_step(world: World) -> None:
    steps = Steps(lambda _: None)
    window = Window(world.now, uuid4(), uuid4(), 1, "1:1:")
    taken: list[int] = []

    def failing() -> Iterator[StageResult]:
        yield StageResult({"planned": 2})
        raise ZeroDivisionError

    def going_on() -> Iterator[StageResult]:
        for number in range(3):
            taken.append(number)
            yield StageResult({"planned": 1})

    with closing_connection(world.horizon.database.connect(Role.WORKER, autocommit=True)) as lane:
        with pytest.raises(ZeroDivisionError):
            steps.all_of(lane, window, failing())
        steps.all_of(lane, window, going_on())
    assert (taken, steps.figures) == ([], {"planned": 2})


def test_a_lane_that_gets_no_connection_is_done_without(
    world: World, many_lanes: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = Database.connect

    def connected(database: Database, *role: Any, **more: Any) -> Any:
        if threading.current_thread().name.startswith("lane"):
            raise psycopg.OperationalError("too many clients already")
        return connect(database, *role, **more)

    monkeypatch.setattr(Database, "connect", connected)
    users = [f"u{number}" for number in range(9)]
    _people(world, "miss_you", *users)
    _due(world)
    assert world.plan().figures["planned"] == 9


class Paused:
    """A connection that waits for the other lane once its chunk's messages are written."""

    def __init__(self, tx: Any, both: threading.Barrier) -> None:
        self._tx, self._both = tx, both

    def execute(self, query: Any, *more: Any, **options: Any) -> Any:
        if query == campaigns.QUERIES["one_at_a_time"]:
            self._both.wait()
        done = self._tx.execute(query, *more, **options)
        if query == campaigns.QUERIES["one_at_a_time"]:
            time.sleep(0.2)  # were it not in turn, the other would look for the address now as well
        return done


@pytest.fixture
def failing(database: Any) -> Iterator[Callable[[str], None]]:
    """Lets the database refuse a message to a user."""

    def refuse(user: str) -> None:
        with database.connect(autocommit=True) as connection:
            connection.execute(
                "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                "IF NEW.to_addr = (SELECT value FROM refused) THEN RAISE 'disk full'; END IF; RETURN NEW; END $$"
            )
            connection.execute("CREATE TABLE IF NOT EXISTS refused (value text)")
            connection.execute("GRANT SELECT ON refused TO horizon_worker")
            connection.execute("TRUNCATE refused")
            connection.execute("INSERT INTO refused VALUES (%s)", [f"{user}@example.com"])
            connection.execute(
                "CREATE OR REPLACE TRIGGER refuse BEFORE INSERT ON messages FOR EACH ROW EXECUTE FUNCTION refuse()"
            )

    yield refuse


@CAMPAIGNS
def test_a_failure_keeps_the_chunks_before_it_and_says_so(
    world: World, small_chunks: None, failing: Callable[[str], None], campaign: str
) -> None:
    users = [f"u{number}" for number in range(8)]
    _people(world, campaign, *users)
    _due(world)
    failing("u6")
    with pytest.raises(
        DatabaseError, match=r"disk full.* after 5 planned, 0 skipped: those are kept"
    ):
        world.plan(campaign)
    assert _verdicts(world) == dict.fromkeys(users[:5], "planned")
    assert _waiting(world) == 5
    (run,) = world.rows("SELECT status, figures, error FROM runs WHERE stage = 'campaign'")
    assert (run.status, run.figures["planned"]) == ("failed", 5)
    assert "disk full" in run.error
    failing("nobody")
    assert world.plan(campaign).figures["planned"] == 3
    assert _verdicts(world) == dict.fromkeys(users, "planned")
    assert world.plan(campaign).figures == {"planned": 0, "skipped": 0, "reasons": {}}


def test_a_failure_of_the_first_chunk_keeps_nothing(
    world: World, small_chunks: None, failing: Callable[[str], None]
) -> None:
    _people(world, "miss_you", "u0", "u1", "u2")
    _due(world)
    failing("u1")
    with pytest.raises(psycopg.errors.RaiseException):
        world.plan()
    assert _verdicts(world) == {}


@CAMPAIGNS
def test_two_planners_at_once_decide_everybody_once(
    world: World, small_chunks: None, campaign: str
) -> None:
    users = [f"u{number}" for number in range(20)]
    _people(world, campaign, *users)
    _people(world, campaign, "v0", "v1", email="both@example.com")
    _due(world)
    planned: list[int] = []
    planners = [
        threading.Thread(target=lambda: planned.append(world.plan(campaign).figures["planned"]))
        for _ in range(2)
    ]
    for planner in planners:
        planner.start()
    for planner in planners:
        planner.join()
    assert sum(planned) == 21 == _waiting(world)
    assert len(world.rows("SELECT FROM messages")) == 22


def test_somebody_whose_score_is_gone_does_not_end_the_planning(
    world: World, small_chunks: None
) -> None:
    """Chunks full of people who are no candidates any more are passed over."""
    _people(world, "miss_you", *(f"u{number}" for number in range(9)))
    _due(world)
    world.rows(
        "DELETE FROM scores WHERE profile_id IN (SELECT profile_id FROM nodes WHERE value < 'u7')"
        " RETURNING 1"
    )
    assert world.plan().figures["planned"] == 2


@CAMPAIGNS
def test_a_rehearsal_of_many_chunks_tells_everybody_s_verdict(
    world: World, small_chunks: None, campaign: str
) -> None:
    _people(world, campaign, *(f"u{number}" for number in range(6)))
    _people(world, campaign, "ann", "bob", email="both@example.com")
    _due(world)
    rehearsed = stages.rehearse_campaign(world.horizon, campaign, world.now)
    told = {one["user_id"]: one["reason"] or one["status"] for one in rehearsed.decisions}
    assert world.rows("SELECT FROM messages") == []
    assert rehearsed.figures == world.plan(campaign).figures
    assert told == _verdicts(world)


@CAMPAIGNS
def test_without_statistics_it_begins_at_once_and_grows_with_the_people(
    world: World, campaign: str
) -> None:
    """8,000 people nobody has counted: a plan made for a handful took 7 minutes of 20,000 once, and
    grew with their square."""
    with world.horizon.database.transaction(Role.OWNER) as tx:
        fill(tx, 8_000, world.now)
        tx.execute(
            "INSERT INTO alerts (rule, node, profile_id, score, tier, threshold, created_at, quiet_until,"
            " correlation_id) SELECT 'r', node, profile_id, 0.9, 'high', 0.7, %s, %s, gen_random_uuid()"
            " FROM nodes WHERE kind = 'user_id'",
            [world.now, world.now],
        )
    assert world.rows("SELECT FROM pg_stats WHERE tablename IN ('consents', 'traits')") == []
    started = time.monotonic()
    told: list[tuple[int, float]] = []
    figures = stages.plan_campaign(
        world.horizon, campaign, world.now,
        on_planned=lambda planned: told.append((planned, time.monotonic() - started)),
    ).figures  # fmt: skip
    assert figures["planned"] + figures["skipped"] == 8_000
    assert 0 < told[0][0] <= campaigns.CHUNKS[0]
    assert told[0][1] < 1
    assert told[-1][1] < 10
