"""Raises an alert for everybody at risk, once a cooldown, and resolves those that came back."""

from __future__ import annotations

from typing import Any

from horizon import clock
from horizon.alerts.rules import AlertRules
from horizon.errors import UsageError
from horizon.postgres.database import Connection
from horizon.postgres.queries import Queries
from horizon.stage import Line, StageResult, Window, logged_user, plain_number

QUERIES = Queries("horizon.alerts")


def run(tx: Connection, window: Window, rules: AlertRules) -> StageResult:
    parameters = {
        **window.parameters(), "rule": rules.rule, "threshold": rules.threshold,
        "cooldown_days": rules.cooldown_days,
    }  # fmt: skip
    _check_scores(tx, window)
    resolved = tx.execute(QUERIES["resolve"], parameters).rowcount
    tx.execute(QUERIES["end_cooldowns"], parameters)
    at_risk = tx.execute(QUERIES["at_risk"], parameters).fetchone()
    assert at_risk is not None
    created = tx.execute(QUERIES["raise_alerts"], parameters).fetchall()
    figures = {
        "created": len(created), "skipped": at_risk.profiles - len(created),
        "threshold": rules.threshold, "cooldown_days": plain_number(rules.cooldown_days),
        "resolved": resolved,
    }  # fmt: skip
    return StageResult(figures, [_line(row) for row in created])


def _check_scores(tx: Connection, window: Window) -> None:
    """Scores of a rehearsed future would raise alerts today."""
    row = tx.execute(QUERIES["scored_at"]).fetchone()
    if row is not None and row.now > window.now:
        raise UsageError(
            f"The last scores are as of {clock.utc_text(row.now)}, which is later: run "
            "`horizon score` for the same time first."
        )


def _line(row: Any) -> Line:
    return Line(
        "alert_created",
        {
            "alert_id": row.alert_id, "user_id": logged_user(row.user_id, row.profile_id),
            "segment": row.tier, "status": row.status, "score": round(row.score, 6),
        },
    )  # fmt: skip
