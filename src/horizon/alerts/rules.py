"""When an alert is due. The constraint in the schema holds the cooldown against two at once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

RULE = "inactivity"


@dataclass(frozen=True)
class AlertRules:
    threshold: float
    cooldown_days: float
    rule: str = RULE


def cooled_down(last_alert: datetime | None, now: datetime, cooldown_days: float) -> bool:
    """Whether a profile may have another alert of the rule; no alert of the future counts less."""
    return last_alert is None or abs(now - last_alert) >= timedelta(days=cooldown_days)
