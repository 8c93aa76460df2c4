"""What a stage is given and what it gives back.

A stage is ``def run(tx, window, ...) -> StageResult``: set-based, idempotent, one transaction.
Or it is a generator of results: each has a transaction of its own, and their figures are added up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from horizon.personal import looks_personal

# Those that leave rows in ``runs``. Asked one by one, each last run is a look into an index; to
# find the names in a year's runs took 1 s.
STAGES: Final = (
    "identity", "archive", "score", "alert", "campaign", "email", "seal", "retention", "domains",
    "ingest", "compact", "verify",
)  # fmt: skip


@dataclass(frozen=True)
class Window:
    """What a run sees: everything committed before it began.

    ``seen`` and ``until`` are pg_snapshots: the rows to read are those not visible in ``seen``,
    which was taken in ``seen_era``, and visible in ``until``, of the current ``era``.
    """

    now: datetime
    run_id: UUID
    correlation_id: UUID
    era: int
    until: str
    seen: str = "1:1:"  # sees nothing: the first run reads all
    seen_era: int = 0

    def parameters(self) -> dict[str, Any]:
        return {
            "now": self.now, "run_id": self.run_id, "correlation_id": self.correlation_id,
            "era": self.era, "until": self.until, "seen": self.seen, "seen_era": self.seen_era,
        }  # fmt: skip


@dataclass(frozen=True)
class Line:
    """A log line besides the run's own: one a message, an alert, a detail."""

    message: str
    fields: Mapping[str, Any]


@dataclass(frozen=True)
class StageResult:
    figures: Mapping[str, Any]
    lines: Iterable[Line] = field(default=())
    decisions: Sequence[Mapping[str, Any]] = field(default=())  # what a rehearsal shows


def added(figures: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Two steps' figures as one's: numbers added up, counts by name each by its name."""
    total = dict(figures)
    for name, value in more.items():
        if isinstance(value, Mapping):
            counts = Counter(total.get(name, {})) + Counter(value)
            total[name] = dict(sorted(counts.items()))
        else:
            total[name] = total.get(name, 0) + value
    return total


def logged_user(user_id: str | None, profile_id: int) -> str:
    """The user id for a log line; the profile's where it looks like an address or a phone."""
    return f"p{profile_id}" if user_id is None or looks_personal(user_id) else user_id


def plain_number(number: float) -> float | int:
    """14 and not 14.0, as the seed's log has it."""
    return int(number) if number == int(number) else number
