"""The simulator's plan: who the people are, when they came, what they say about mail."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from horizon.sources.plan import SEED, Call, plan

EPOCH = datetime(2025, 9, 25, 12, 25, 27, tzinfo=UTC)
WINDOW = timedelta(days=14)


@pytest.fixture(scope="module")
def calls() -> list[Call]:
    return plan(EPOCH)


def last_activity(calls: list[Call]) -> dict[str, datetime]:
    found: dict[str, datetime] = {}
    for call in calls:
        if call.kind != "identify":
            found[call.user_id] = max(call.timestamp, found.get(call.user_id, call.timestamp))
    return found


def tiers(calls: list[Call], now: datetime) -> Counter[str]:
    scores = [min(1.0, (now - last) / WINDOW) for last in last_activity(calls).values()]
    return Counter(
        "silent" if score == 1 else "high" if score >= 0.7 else "medium" if score >= 0.5 else "low"
        for score in scores
    )


def preferences(calls: list[Call]) -> dict[str, list[bool]]:
    """What each person said about mail, in the order of time."""
    found: dict[str, list[bool]] = defaultdict(list)
    for call in calls:
        if call.kind == "identify":
            said = call.context.get("consent", {}).get("categoryPreferences", {})
            found[call.user_id] += [said["marketing.email"]] if said else []
    return found


# Any epoch, since hours and weekdays bend when people come; some hours past it, since a demo
# scores after it has sent.
@settings(max_examples=15, deadline=None)
@given(
    epoch=st.integers(0, 10 * 365 * 86_400).map(lambda s: EPOCH + timedelta(seconds=s)),
    seed=st.integers(0, 2**31 - 1),
    later=st.timedeltas(timedelta(0), timedelta(hours=2)),
)
def test_every_plan_makes_a_lively_mix(epoch: datetime, seed: int, later: timedelta) -> None:
    calls = plan(epoch, seed)
    assert tiers(calls, epoch + later) == {"low": 140, "medium": 25, "high": 20, "silent": 15}
    assert 2_500 <= len(calls) <= 5_000
    first = {call.user_id: call for call in reversed(calls)}
    assert {call.kind for call in first.values()} == {"identify"}
    assert epoch - timedelta(days=30) <= calls[0].timestamp
    assert calls[-1].timestamp <= epoch - timedelta(minutes=10)


def test_same_epoch_and_seed_give_the_same_calls(calls: list[Call]) -> None:
    assert plan(EPOCH, SEED) == calls
    assert plan(EPOCH.astimezone(timezone(timedelta(hours=5)))) == calls


def test_message_ids_are_unique_and_of_this_run(calls: list[Call]) -> None:
    ids = {call.message_id for call in calls}
    assert len(ids) == len(calls)
    assert max(map(len, ids)) <= 100
    later = plan(EPOCH + timedelta(seconds=1))
    assert not ids & {call.message_id for call in later}
    assert not ids & {call.message_id for call in plan(EPOCH, SEED + 1)}


def test_calls_come_in_the_order_of_time_in_whole_milliseconds(calls: list[Call]) -> None:
    times = [call.timestamp for call in calls]
    assert times == sorted(times)
    assert not any(time.microsecond % 1000 for time in times)


def test_two_hundred_people_begin_by_saying_who_they_are(calls: list[Call]) -> None:
    first: dict[str, Call] = {}
    for call in calls:
        first.setdefault(call.user_id, call)
    assert len(first) == 200
    assert {call.kind for call in first.values()} == {"identify"}
    names = {str(call.values["first_name"]) for call in first.values()}
    assert sum(not name.isascii() for name in names) >= 5
    emails = [str(call.values["email"]) for call in first.values() if "email" in call.values]
    assert len(set(emails)) == len(emails) == 198
    assert {email.partition("@")[2] for email in emails} == {
        "example.com", "example.org", "example.net",
    }  # fmt: skip


def test_some_refuse_mail_some_say_nothing_one_withdraws(calls: list[Call]) -> None:
    said = Counter(tuple(values) for values in preferences(calls).values())
    assert said == {(True,): 163, (False,): 30, (): 6, (True, False): 1}


def test_people_at_risk_hold_every_reason_to_be_skipped(calls: list[Call]) -> None:
    """The demo shows a skipped mail with each reason, so these people must score high."""
    at_risk = {u for u, last in last_activity(calls).items() if (EPOCH - last) / WINDOW >= 0.7}
    said = Counter(tuple(values) for u, values in preferences(calls).items() if u in at_risk)
    assert said[False,] >= 3
    assert said[()] >= 1
    assert said[True, False] == 1
    reachable = {call.user_id for call in calls if "email" in call.values}
    assert at_risk - reachable


def test_events_are_those_of_segments_ecommerce_spec(calls: list[Call]) -> None:
    names = Counter(call.name for call in calls if call.kind == "track")
    assert set(names) == {"Logged In", "Product Viewed", "Product Added", "Order Completed"}
    assert names["Product Viewed"] > names["Product Added"] > names["Order Completed"] > 50
    for call in calls:
        if call.name == "Order Completed":
            assert {"order_id", "total", "revenue", "currency", "products"} <= set(call.values)
            assert call.values["total"] >= call.values["revenue"] > 0


def test_the_shop_has_nights_and_weekends(calls: list[Call]) -> None:
    hours = Counter(call.timestamp.hour for call in calls)
    assert sum(hours[hour] for hour in (18, 19, 20)) > 5 * sum(hours[hour] for hour in (1, 2, 3))
    regular = plan(datetime(2025, 9, 29, tzinfo=UTC))  # four whole weeks and two days
    days = Counter(call.timestamp.weekday() for call in regular)
    assert days[5] + days[6] > days[1] + days[2]
