"""The score stage on a real PostgreSQL: the seed's numbers, and what counts as activity."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from horizon.delivery.outbox import QUERIES as DELIVERY
from horizon.pipeline import stages
from horizon.postgres.database import Role
from horizon.scoring.rules import BINS, ScoreRules, score, tier
from tests.world import DAY, NOW, World


def test_the_seeds_score_to_six_decimals(world: World) -> None:
    world.put(world.track("ann", 13 * DAY + timedelta(seconds=5.54)))
    world.score()
    assert round(world.scores()["ann"], 6) == 0.928576


def test_silence_longer_than_the_window_scores_one(world: World) -> None:
    world.put(world.track("ann", 14 * DAY + timedelta(seconds=1)), world.track("bob", 200 * DAY))
    world.score()
    assert world.scores() == {"ann": 1.0, "bob": 1.0}


def test_activity_a_little_ahead_scores_zero_and_is_suspicious(world: World) -> None:
    world.put(world.track("ann", -timedelta(hours=1)), world.track("bob", 7 * DAY))
    figures = world.score().figures
    assert world.scores() == {"ann": 0.0, "bob": 0.5}
    assert figures["suspicious"] == 1


def test_more_than_a_day_ahead_counts_as_received(world: World) -> None:
    world.put(world.track("ann", -30 * DAY), received_at=NOW - 7 * DAY)
    world.score()
    assert world.scores() == {"ann": 0.5}


def test_with_a_now_in_the_past_later_events_are_not_there(world: World) -> None:
    """Also where everything was received long after: a file's purchases of years ago."""
    ann = [world.track("ann", days * DAY) for days in (25, 20, 1)]
    world.put(*ann, world.track("new", 1 * DAY))
    world.now = NOW - 10 * DAY
    figures = world.score().figures
    assert figures["users"] == 1
    assert world.scores() == {"ann": pytest.approx(10 / 14)}


def test_activities_are_counted_within_the_window(world: World) -> None:
    world.put(*(world.track("ann", days * DAY) for days in (1, 13, 15, 30)))
    world.score()
    assert world.rows("SELECT activities FROM current_scores")[0].activities == 2


def test_identify_group_and_alias_are_no_activity(world: World) -> None:
    world.put(world.track("ann", 7 * DAY))
    world.score()
    world.put(
        world.identify("ann", 0 * DAY),
        {"type": "group", "userId": "ann", "groupId": "g", "timestamp": NOW.isoformat()},
        {"type": "alias", "userId": "ann", "previousId": "b", "timestamp": NOW.isoformat()},
    )
    world.score()
    assert world.scores() == {"ann": 0.5}


@pytest.mark.parametrize("kind", ["page", "screen", "track"])
def test_what_the_person_caused_is_activity(world: World, kind: str) -> None:
    world.put(world.track("ann", 7 * DAY))
    item = {"type": kind, "userId": "ann", "event": "e", "name": "n", "timestamp": NOW.isoformat()}
    world.put(item)
    world.score()
    assert world.scores() == {"ann": 0.0}


def test_what_horizon_wrote_moves_no_score(world: World) -> None:
    """Sent, bounced, opened: as delivery writes them, and as events of the internal source."""
    world.person("ann", 12 * DAY)
    world.score()
    before = world.scores()
    world.alert()
    world.plan()
    (message,) = world.rows("SELECT message_id FROM messages")
    with world.horizon.database.transaction(Role.WORKER) as tx:
        tx.execute(DELIVERY["write_sent_event"], {"message_id": message.message_id, "clock": NOW})
    for name in ("Message Opened", "Message Clicked"):
        world.put(world.track("ann", 0 * DAY, name), kind="internal")
    world.score()
    assert world.rows("SELECT count(*) FROM events WHERE name LIKE 'Message%%'")[0][0] == 3
    assert world.scores() == before


def test_who_only_identified_is_not_at_risk_on_the_first_day(world: World) -> None:
    world.put(world.identify("ann", 0 * DAY), world.identify("bob", 7 * DAY))
    world.score()
    assert world.scores() == {"ann": 0.0, "bob": 0.5}


def test_window_and_thresholds_come_from_the_settings(world: World) -> None:
    world.put(world.track("ann", 5 * DAY))
    stage = stages.score_stage(
        world.horizon.settings.changed(WINDOW_DAYS=10, SCORE_HIGH=0.5, SCORE_MEDIUM=0.4)
    )
    world.identify_all()
    figures = world.runner.run(stage, world.now).figures
    assert (figures["window_days"], figures["high"]) == (10, 1)


def test_one_row_a_user_and_only_of_the_last_run(world: World) -> None:
    world.put(*(world.track(f"u{i}", i * DAY) for i in range(5)), world.track("u1", 3 * DAY))
    for _ in range(5):
        world.score()
    assert sorted(world.scores()) == [f"u{i}" for i in range(5)]
    kept = world.rows("SELECT count(*) FROM pg_inherits WHERE inhparent = 'scores'::regclass")
    assert kept[0][0] == 3


def test_histogram_and_top_say_what_the_table_says(world: World) -> None:
    world.put(*(world.track(f"u{i}", i * DAY / 4) for i in range(120)))
    (detail,) = world.score().lines
    scores = world.scores()
    histogram = [0] * BINS
    for value in scores.values():
        histogram[min(int(value * BINS + 1e-9), BINS - 1)] += 1
    assert detail.fields["histogram"] == histogram
    assert [row["score"] for row in detail.fields["top"]] == sorted(
        (round(value, 6) for value in scores.values()), reverse=True
    )[:100]


@given(
    silences=st.lists(st.floats(-86_000, 40 * 86_400, allow_nan=False), min_size=1, max_size=20),
    window_days=st.sampled_from([1, 7, 14, 30]),
)
@hypothesis_settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_sql_means_what_the_rules_say(
    world: World, silences: list[float], window_days: int
) -> None:
    with world.horizon.database.transaction(Role.OWNER) as tx:
        tx.execute("TRUNCATE events, event_ids, nodes, profiles, traits CASCADE")
    users = {f"u{number}": timedelta(seconds=silence) for number, silence in enumerate(silences)}
    world.put(*(world.track(user, silence) for user, silence in users.items()))
    rules = ScoreRules(window_days, 0.7, 0.5)
    world.identify_all()
    world.runner.run(
        stages.score_stage(world.horizon.settings.changed(WINDOW_DAYS=window_days)), world.now
    )
    rows = world.rows("SELECT user_id, score, tier FROM current_scores")
    assert len(rows) == len(users)
    for row in rows:
        expected = score(users[row.user_id].total_seconds(), window_days)
        assert row.score == pytest.approx(expected, abs=1e-9)
        assert row.tier == tier(row.score, rules)


def test_a_reader_meanwhile_sees_the_last_run_and_is_not_held_up(world: World) -> None:
    world.put(world.track("ann", 7 * DAY))
    world.score()
    with world.horizon.database.transaction(Role.READER) as reader:
        count = "SELECT count(*) AS n FROM current_scores"
        assert reader.execute(count).fetchone().n == 1  # type: ignore[union-attr]
        started = datetime.now()  # noqa: DTZ005
        for _ in range(4):
            world.score()
        assert datetime.now() - started < timedelta(seconds=5)  # noqa: DTZ005
        assert reader.execute(count).fetchone().n == 1  # type: ignore[union-attr]
