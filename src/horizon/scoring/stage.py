"""Scores everybody's risk of leaving, in one set-based statement."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
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

TOP = 100
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
    table = scores(tx, window.now, rules, settings)
    write(tx, opened.score_run, table)
    tx.execute(QUERIES["close_run"], parameters)
    figures = {"window_days": plain_number(rules.window_days), **_summary(table)}
    return StageResult(figures, list(_details(tx, table)))


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


def _summary(table: pa.Table) -> dict[str, int]:
    tiers = {one["values"]: one["counts"] for one in pc.value_counts(table["tier"]).to_pylist()}
    counts = {tier: tiers.get(tier, 0) for tier in ("high", "medium", "low")}
    ahead = pc.sum(table["ahead"]).as_py() or 0
    return {"users": len(table), **counts, "suspicious": ahead}


def _details(tx: Connection, table: pa.Table) -> Iterator[Line]:
    """The score detail that the dashboards need: 20 bins and the hundred most at risk."""
    bins = np.minimum(table["score"].to_numpy() * BINS, BINS - 1).astype(
        np.int64
    )  # 1 is in the last
    histogram = np.bincount(bins, minlength=BINS).tolist()
    order = [("score", "descending"), ("silent_s", "descending"), ("profile_id", "ascending")]
    top = table.take(pc.select_k_unstable(table, TOP, order)).to_pylist()
    profiles = [row["profile_id"] for row in top]
    names = dict(tx.execute(QUERIES["names"], {"profiles": profiles}).fetchall())
    told = [
        {"user_id": logged_user(names.get(row["profile_id"]), row["profile_id"]),
         "score": round(row["score"], 6), "segment": row["tier"]}
        for row in top
    ]  # fmt: skip
    yield Line("score_detail", {"histogram": histogram, "top": told})
