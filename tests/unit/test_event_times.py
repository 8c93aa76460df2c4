"""When an event happened, from three clocks of which two may be wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horizon.events.ids import NO_HOUR, event_id, hour_of
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


def test_ids_are_kept_by_the_hour_of_the_original_timestamp() -> None:
    assert hour_of(datetime(2026, 11, 3, 10, 59, 59, 9, tzinfo=UTC)) == datetime(
        2026, 11, 3, 10, tzinfo=UTC
    )
    for absurd in (None, datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)):
        assert hour_of(absurd) == NO_HOUR


def test_an_event_is_the_same_by_source_message_and_hour() -> None:
    half_past = RECEIVED + timedelta(minutes=30)
    same = event_id(1, "m", RECEIVED)
    assert same == event_id(1, "m", half_past) == UUID("456e6ea1-0497-2574-4986-1787fa67779f")
    others = {
        event_id(2, "m", RECEIVED),
        event_id(1, "n", RECEIVED),
        event_id(1, "m", None),
        event_id(1, "m", RECEIVED + timedelta(hours=1)),
    }
    assert len(others) == 4
    assert same not in others
