from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horizon.scoring.rules import DAY_S, ScoreRules, score, tier

RULES = ScoreRules(window_days=14, high=0.7, medium=0.5)


def test_the_seeds_score() -> None:
    assert round(score(13 * DAY_S + 5.54, 14), 6) == 0.928576


@pytest.mark.parametrize(
    ("silent_s", "expected"),
    [(0, 0), (-1, 0), (-DAY_S, 0), (14 * DAY_S, 1), (400 * DAY_S, 1), (7 * DAY_S, 0.5)],
)
def test_ends(silent_s: float, expected: float) -> None:
    assert score(silent_s, 14) == expected


@given(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9), st.floats(0.01, 36_500))
def test_more_silence_never_lowers_the_score(a: float, b: float, window_days: float) -> None:
    low, high = sorted((a, b))
    assert 0 <= score(low, window_days) <= score(high, window_days) <= 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.7, "high"),
        (0.699999, "medium"),
        (0.5, "medium"),
        (0.499999, "low"),
        (0, "low"),
        (1, "high"),
    ],
)
def test_thresholds_belong_to_the_tier_above(value: float, expected: str) -> None:
    assert tier(value, RULES) == expected
