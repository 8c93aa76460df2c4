"""Whether this installation does its work now, and if not, why: what /readyz says."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from croniter import croniter

from horizon.observe.metrics.gauges import Sample
from horizon.observe.metrics.place import FREE, LOG, SIZE

LEAST_FREE: Final = 0.05  # of a disk
PATIENCE: Final = 3  # turns of the pipeline
LAST_SUCCESS: Final = "horizon_stage_last_success_timestamp_seconds"


def reasons(samples: Sequence[Sample], *, up: bool, cron: str, clock: datetime) -> list[str]:
    """None where all is well. ``up``: the database answered."""
    if not up:
        return ["the database does not answer: see `horizon doctor`"]
    found = [*_late(samples, cron, clock), *_full(samples)]
    if any(one.gauge == LOG and not one.value for one in samples):
        found.append("the log cannot be written: free some disk or set LOG_PATH")
    return found


def _late(samples: Sequence[Sample], cron: str, clock: datetime) -> list[str]:
    ran = {one.labels[0]: one.value for one in samples if one.gauge.name == LAST_SUCCESS}
    if not ran:
        return ["no stage has run yet: wait for the first, or see `horizon status`"]
    allowed_s = PATIENCE * turn_of(cron, clock).total_seconds()
    return [
        f"stage {stage} last succeeded {clock.timestamp() - at:,.0f} s ago: see `horizon status`"
        for stage, at in sorted(ran.items())
        if stage in ("identity", "score", "alert") and clock.timestamp() - at > allowed_s
    ]


def turn_of(cron: str, clock: datetime) -> timedelta:
    """From the last time of a schedule to its next one, at least a minute."""
    schedule = croniter(cron, clock)
    following = schedule.get_next(datetime)
    turn: timedelta = following - schedule.get_prev(datetime)
    return max(turn, timedelta(minutes=1))


def _full(samples: Sequence[Sample]) -> list[str]:
    sizes = {one.labels: one.value for one in samples if one.gauge == SIZE}
    return [
        f"the disk of the {one.labels[0]} has {one.value / 1e9:.1f} GB left: free some"
        for one in samples
        if one.gauge == FREE and one.value < LEAST_FREE * sizes[one.labels]
    ]
