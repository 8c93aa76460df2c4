"""The demo's pictures and words: as long as they count, and never one upon another."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horizon.demo import pictures, words
from horizon.demo.pictures import LANE, LYING, UPRIGHT, Stop, Stream


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (13 * 86_400 + 5.54, "13 days"), (13 * 86_400 + 6 * 3600, "13 days and 6 hours"),
        (86_400 + 3600, "1 day and 1 hour"), (4_000, "1 hour and 6 minutes"), (59, "0 minutes"),
        (-5, "0 minutes"),
    ],
)  # fmt: skip
def test_silence_in_words(seconds: float, said: str) -> None:
    assert words.duration(seconds) == said


def test_every_reason_has_words() -> None:
    assert words.outcome("skipped", "no_consent") == "never said yes to e-mail"
    assert words.outcome("skipped", "something_new") == "something new"
    assert words.outcome("cancelled", None) == "cancelled"


@given(st.lists(st.tuples(*[st.integers(0, 10_000)] * 3), min_size=20, max_size=20))
def test_columns_are_as_high_as_they_count(bins: list[tuple[int, int, int]]) -> None:
    drawn = pictures.histogram(bins, ("high", "medium", "low"), height=200)
    whole = [column for column in drawn.columns if column.count and not column.cut]
    assert [column.count for column in drawn.columns] == [sum(one) for one in bins]
    assert all(-6 <= column.top <= 200 for column in drawn.columns if column.count)
    if len(whole) == sum(1 for one in bins if sum(one)) and whole:
        scale = 200 / max(column.count for column in whole)
        for column in whole:  # a part of a column is two pixels high at least
            assert 200 - column.top == pytest.approx(column.count * scale, abs=6)
    assert sum(column.cut for column in drawn.columns) <= 1


@given(
    st.lists(st.integers(0, 500), min_size=3, max_size=3), st.sampled_from([LYING, UPRIGHT, LANE])
)
def test_bars_of_a_stage_never_lie_on_each_other(counts: list[int], style: pictures.Style) -> None:
    stops = [Stop("all", 0, sum(counts), "all")]
    stops += [Stop(str(place), 1, count, "part") for place, count in enumerate(counts)]
    streams = [Stream("all", str(place), count) for place, count in enumerate(counts)]
    drawn = pictures.flow(["one", "two"], stops, streams, style)
    parts = [bar for bar in drawn.bars if bar.stop.stage == 1]
    assert len(parts) == len(drawn.bands) == sum(1 for count in counts if count)
    for one, after in pairwise(parts):
        end = one.x + one.width if style.upright else one.y + one.height
        assert end <= (after.x if style.upright else after.y)
    for bar in drawn.bars:
        assert bar.x + bar.width <= drawn.width
        assert bar.y + bar.height <= drawn.height
