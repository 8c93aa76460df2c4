"""Where an id lies: a copy finds it for thirty days, and it is dropped some time after."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from hypothesis import example, given
from hypothesis import strategies as st

from horizon.events.homes import AHEAD_DAYS, PERIOD_DAYS, Homes
from horizon.events.ids import key_of

RECEIVED = st.dates(date(2024, 1, 1), date(2040, 1, 1))
HOUR = timedelta(hours=1)
ORIGINAL = st.none() | st.integers(-24 * 70, 24 * 70) | st.datetimes(timezones=st.just(UTC))


def key(received: date, original: int | datetime | None) -> bytes:
    if isinstance(original, int):
        start = datetime.combine(received, datetime.min.time(), UTC)
        original = start + original * HOUR
    return key_of(1, "m", original)


def day_of(place: bytes) -> date:
    return (
        datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int.from_bytes(place[:8], "big"))
    ).date()


@given(RECEIVED, ORIGINAL, st.integers(-1, PERIOD_DAYS))
@example(date(2026, 11, 22), None, 1)
@example(date(2026, 11, 22), -24 * 30, -1)
@example(date(2026, 11, 22), -24 * 30 - 1, -1)
@example(date(2026, 11, 22), 24 * AHEAD_DAYS - 1, 30)
@example(date(2026, 11, 22), 24 * AHEAD_DAYS, 30)
def test_a_copy_looks_where_the_first_one_lies(
    received: date, original: int | datetime | None, days: int
) -> None:
    same = key(received, original)
    first, then = Homes(received), Homes(received + timedelta(days=days))
    looked = {then.home(same), *(then.elsewhere(same) if [*then.doubtful([same])] else ())}
    # The day before, and a day that is the turn: another clock's, which that day's claims wait for.
    assert first.home(same) in looked or (days < 0 and first.turning)


@given(RECEIVED, ORIGINAL)
def test_it_lies_where_its_partition_is_dropped_in_time(
    received: date, original: int | datetime | None
) -> None:
    home = day_of(Homes(received).home(key(received, original)))
    assert home >= received - timedelta(days=PERIOD_DAYS)  # dropped 60 days after its day
    assert home <= received + timedelta(days=AHEAD_DAYS)


@given(RECEIVED, st.lists(ORIGINAL, max_size=8))
def test_who_is_sure_has_one_place(received: date, originals: list[int | datetime | None]) -> None:
    homes = Homes(received)
    keys = sorted(key(received, original) for original in originals)
    doubtful = list(homes.doubtful(keys))
    assert homes.sure(keys) == (not doubtful)
    assert all(homes.home(one) == one for one in keys if one not in doubtful)


@given(RECEIVED)
def test_an_archive_s_ids_come_in_the_order_of_its_hours(received: date) -> None:
    old = [key(received, datetime(2015, 1, 1, tzinfo=UTC) + hours * HOUR) for hours in range(50)]
    moved = [Homes(received).home(one) for one in old]
    assert moved == sorted(moved)
    assert {day_of(one) for one in moved} == {Homes(received).period_on}
