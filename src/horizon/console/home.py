"""The pipeline as the home screen shows it: a stage's rate, lag and last error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from horizon.console.links import QUERIES
from horizon.pipeline.standing import StageStanding, look
from horizon.postgres.database import Connection, row_dicts
from horizon.settings import Settings

HOUR: Final = timedelta(hours=1)
WEEK: Final = timedelta(days=7)

# The figure of a run that says how much a stage handled.
HANDLED: Final[Mapping[str, str]] = {
    "identity": "events", "archive": "events", "score": "users", "alert": "created",
    "campaign": "planned", "email": "count", "seal": "sealed",
}  # fmt: skip


@dataclass(frozen=True)
class Card:
    standing: StageStanding
    state: str  # well, busy, failed, idle
    hour: int | None
    today: int | None
    week_ago: int | None  # the same hours of the day a week before
    error: str


def cards(tx: Connection, settings: Settings, now: datetime) -> list[Card]:
    """Of each stage that has a place in the pipeline."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    values = {
        "stages": list(HANDLED), "figures": list(HANDLED.values()), "clock": now,
        "hour": now - HOUR, "midnight": midnight, "week": midnight - WEEK, "week_now": now - WEEK,
    }  # fmt: skip
    sums = {row["stage"]: row for row in row_dicts(tx.execute(QUERIES["handled"], values))}
    return [_card(one, sums.get(one.stage, {})) for one in look(tx, settings, now)]


def nothing_yet(tx: Connection) -> bool:
    """Whether no stage has handled anything, ever."""
    row = tx.execute(QUERIES["anything"]).fetchone()
    return not (row and row.found)


def _card(one: StageStanding, sums: Mapping[str, Any]) -> Card:
    failed = one.result.startswith(("failed", "killed"))
    return Card(
        one, state_of(one), sums.get("hour"), sums.get("today"), sums.get("week_ago"),
        one.result.partition(": ")[2] if failed else "",
    )  # fmt: skip


def state_of(one: StageStanding) -> str:
    if one.result.startswith(("failed", "killed")):
        return "failed"
    if one.result.startswith("running"):
        return "busy"
    return "idle" if one.last_run is None else "well"
