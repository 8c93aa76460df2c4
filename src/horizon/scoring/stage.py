"""Scores everybody's risk of leaving, in one set-based statement."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
from psycopg import sql

from horizon.lake.copying import copy
from horizon.lake.engines import engine_of
from horizon.lake.view import current_view
from horizon.postgres.database import Connection
from horizon.postgres.queries import Queries
from horizon.scoring.rules import BINS, DAY_S, ScoreRules
from horizon.settings import Settings
from horizon.stage import Line, StageResult, Window, logged_user, plain_number

QUERIES = Queries("horizon.scoring")
DEFINITIONS = Queries("horizon.scoring", "definitions.sql")

COLUMNS = {
    "score_run": "int4", "profile_id": "int8", "last_activity": "time", "silent_s": "float8",
    "activities": "int4", "score": "float8", "tier": "text", "ahead": "bool",
}  # fmt: skip


def run(tx: Connection, window: Window, rules: ScoreRules, settings: Settings) -> StageResult:
    parameters = {
        **window.parameters(),
        "window_days": rules.window_days,
        "high": rules.high,
        "medium": rules.medium,
    }
    opened = tx.execute(QUERIES["open_run"], parameters).fetchone()
    assert opened is not None
    parameters["score_run"] = opened.score_run
    write(tx, opened.score_run, scores(tx, window.now, rules, settings))
    tx.execute(QUERIES["close_run"], parameters)
    summary = tx.execute(QUERIES["summary"], parameters).fetchone()
    assert summary is not None
    figures = {"window_days": plain_number(rules.window_days), **summary._asdict()}
    return StageResult(figures, list(_details(tx, opened.score_run)))


def scores(tx: Connection, now: datetime, rules: ScoreRules, settings: Settings) -> pa.Table:
    """Everybody's, as this transaction sees them; it has to be a REPEATABLE READ one."""
    since = now - timedelta(days=rules.window_days)
    view = current_view(tx, settings, at_rest_before=since)
    parameters = {
        "now": now, "since": since, "window_s": rules.window_days * DAY_S,
        "high": rules.high, "medium": rules.medium,
    }  # fmt: skip
    return engine_of(settings).run(DEFINITIONS["scores"], view, parameters)


def write(tx: Connection, score_run: int, table: pa.Table) -> None:
    """Fill a new partition: no reader meets it before it is attached."""
    tx.execute(QUERIES["open_partition"], {"score_run": score_run})
    partition = sql.Identifier(f"scores_{score_run}")
    statement = sql.SQL(QUERIES["write_scores"]).format(scores=partition)
    run = pa.array(np.full(len(table), score_run, np.int32))
    copy(tx, statement, table.append_column("score_run", run), COLUMNS)


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
