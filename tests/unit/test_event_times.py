"""When an event happened, from three clocks of which two may be wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horizon.events.ids import hours_of, key_of
from horizon.events.times import FAR, read_time, settle

RECEIVED = datetime(2026, 11, 3, 12, tzinfo=UTC)
INSTANTS = st.datetimes(timezones=st.just(UTC))


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-11-03T10:00:00Z", datetime(2026, 11, 3, 10, tzinfo=UTC)),
        ("2026-11-03T10:00:00.123Z", datetime(2026, 11, 3, 10, 0, 0, 123000, tzinfo=UTC)),
        ("2026-11-03T10:00:00+02:00", datetime(2026, 11, 3, 8, tzinfo=UTC)),
        ("2026-11-03T10:00:00", datetime(2026, 11, 3, 10, tzinfo=UTC)),
        ("2026-11-03", datetime(2026, 11, 3, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59Z", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("0001-01-01T00:00:00+14:00", None),  # year 0 in UTC
        ("9999-12-31T23:59:59-14:00", None),
        ("yesterday", None),
        ("", None),
        (1762164000000, None),
        (None, None),
        (["2026-11-03"], None),
    ],
)
def test_times_are_read_as_utc(text: object, instant: datetime | None) -> None:
    assert read_time(text) == instant


def test_the_clients_clock_error_is_taken_out() -> None:
    slow_by = timedelta(hours=3)
    happened, sent = RECEIVED - timedelta(minutes=5), RECEIVED
    assert settle(happened - slow_by, sent - slow_by, RECEIVED) == (happened, None)


@pytest.mark.parametrize(
    ("original", "sent_at", "time", "flag"),
    [
        (None, None, RECEIVED, None),
        (None, RECEIVED, RECEIVED, None),
        (RECEIVED - FAR, None, RECEIVED - FAR, None),
        (RECEIVED + FAR, None, RECEIVED + FAR, None),
        (RECEIVED + FAR * 1.001, None, RECEIVED, "far_ahead"),
        (RECEIVED + FAR * 2, RECEIVED + FAR * 2, RECEIVED, None),  # only its clock was wrong
        (datetime(9999, 12, 31, tzinfo=UTC), None, RECEIVED, "far_ahead"),
        (datetime(9999, 12, 31, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC), RECEIVED, "far_ahead"),
        (datetime(1, 1, 1, tzinfo=UTC), RECEIVED, RECEIVED, "unreadable"),
        (datetime(1970, 1, 1, tzinfo=UTC), None, RECEIVED, "unreadable"),
        (RECEIVED - FAR, datetime(9999, 12, 31, tzinfo=UTC), RECEIVED - FAR, None),
        (datetime(1997, 1, 1, tzinfo=UTC), None, datetime(1997, 1, 1, tzinfo=UTC), None),
    ],
)
def test_odd_times_are_flagged(
    original: datetime | None, sent_at: datetime | None, time: datetime, flag: str | None
) -> None:
    assert settle(original, sent_at, RECEIVED) == (time, flag)


@given(original=st.none() | INSTANTS, sent_at=st.none() | INSTANTS)
def test_no_pair_of_times_leads_far_into_the_future(
    original: datetime | None, sent_at: datetime | None
) -> None:
    time, _ = settle(original, sent_at, RECEIVED)
    assert datetime(1970, 1, 1, tzinfo=UTC) < time <= RECEIVED + FAR


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@given(INSTANTS.filter(lambda instant: EPOCH <= instant < datetime(2200, 1, 1, tzinfo=UTC)))
def test_ids_are_kept_by_the_hour_of_the_original_timestamp(instant: datetime) -> None:
    assert hours_of(instant) == (instant - EPOCH) // timedelta(hours=1)


def test_the_last_microsecond_of_an_hour_belongs_to_it() -> None:
    last = datetime(2199, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    assert hours_of(last) == hours_of(last.replace(minute=0))


@pytest.mark.parametrize("year", [None, 1, 1969, 2200, 9999])
def test_absurd_times_share_one_hour(year: int | None) -> None:
    assert hours_of(datetime(year, 1, 1, tzinfo=UTC) if year else None) == 0


def test_an_event_is_the_same_by_source_message_and_hour() -> None:
    half_past = RECEIVED + timedelta(minutes=30)
    same = key_of(1, "m", RECEIVED)
    assert same == key_of(1, "m", half_past)
    assert UUID(bytes=same[8:]) == UUID("456e6ea1-0497-2574-4986-1787fa67779f")
    others = {
        key_of(2, "m", RECEIVED),
        key_of(1, "n", RECEIVED),
        key_of(1, "m", None),
        key_of(1, "m", RECEIVED + timedelta(hours=1)),
    }
    assert len({other[8:] for other in others}) == 4
    assert same not in others
