"""The default score: inactivity. queries.sql has the same arithmetic; a test compares them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Tier = Literal["high", "medium", "low"]

DAY_S = 86_400
BINS = 20


@dataclass(frozen=True)
class ScoreRules:
    window_days: float
    high: float
    medium: float


def score(silent_s: float, window_days: float) -> float:
    """``min(1, silence / window)``: 0 active now, 1 silent for the window or longer.

    Activity that lies ahead of now (a client's clock) counts as no silence.
    """
    return min(1.0, max(0.0, silent_s) / (window_days * DAY_S))


def tier(value: float, rules: ScoreRules) -> Tier:
    if value >= rules.high:
        return "high"
    return "medium" if value >= rules.medium else "low"
