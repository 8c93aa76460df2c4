"""The clock, held against others'."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from horizon.doctor.finding import Finding, ok, problem, warning

PART: Final = "clock"
WARNING_S: Final = 5.0
PROBLEM_S: Final = 60.0


def compare(whose: str, theirs: datetime, ours: datetime, *, exact_s: float = 0.0) -> Finding:
    """``exact_s``: how much of the difference the way of asking explains."""
    apart_s = (ours - theirs).total_seconds()
    apart_s = max(0.0, abs(apart_s) - exact_s) * (1 if apart_s >= 0 else -1)
    if abs(apart_s) < WARNING_S:
        return ok(PART, f"agrees with {whose}")
    told = f"is {abs(apart_s):,.0f} s {'ahead of' if apart_s > 0 else 'behind'} {whose}"
    todo = "Have both set by NTP: type `timedatectl set-ntp true`."
    return (problem if abs(apart_s) >= PROBLEM_S else warning)(PART, told, todo)
