"""Scores everybody's risk of leaving, in one set-based statement."""

from __future__ import annotations

from collections.abc import Iterator

from psycopg import sql

from horizon.postgres.database import Connection
from horizon.postgres.queries import Queries
from horizon.scoring.rules import BINS, ScoreRules
from horizon.stage import Line, StageResult, Window, logged_user, plain_number

QUERIES = Queries("horizon.scoring")


def run(tx: Connection, window: Window, rules: ScoreRules) -> StageResult:
    parameters = {
        **window.parameters(),
        "window_days": rules.window_days,
        "high": rules.high,
        "medium": rules.medium,
    }
    opened = tx.execute(QUERIES["open_run"], parameters).fetchone()
    assert opened is not None
    parameters["score_run"] = opened.score_run
    write(tx, parameters)
    tx.execute(QUERIES["close_run"], parameters)
    summary = tx.execute(QUERIES["summary"], parameters).fetchone()
    assert summary is not None
    figures = {"window_days": plain_number(rules.window_days), **summary._asdict()}
    return StageResult(figures, list(_details(tx, opened.score_run)))


def write(tx: Connection, parameters: dict[str, object]) -> None:
    """Fill a new partition: no reader meets it before it is attached."""
    tx.execute("SELECT open_score_run(%(score_run)s)", parameters)
    partition = sql.Identifier(f"scores_{parameters['score_run']}")
    tx.execute(sql.SQL(QUERIES["write_scores"]).format(scores=partition), parameters)


def _details(tx: Connection, score_run: int) -> Iterator[Line]:
    """The score detail that the dashboards need: 20 bins and the hundred most at risk."""
    parameters = {"score_run": score_run, "bins": BINS}
    histogram = [0] * BINS
    for row in tx.execute(QUERIES["histogram"], parameters):
        histogram[row.bin] = row.profiles
    top = [
        {"user_id": logged_user(row.user_id, row.profile_id), "score": round(row.score, 6),
         "segment": row.tier}
        for row in tx.execute(QUERIES["top"], parameters)
    ]  # fmt: skip
    yield Line("score_detail", {"histogram": histogram, "top": top})
