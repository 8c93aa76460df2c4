"""How the stages stand: last run, lag, and what each waits for."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from croniter import croniter

from horizon.alone import holder
from horizon.observe.metrics.figures import MOST_COUNTED, unread
from horizon.pipeline.runner import QUERIES
from horizon.pipeline.waits import (
    Lock,
    Mail,
    Schedule,
    planner_waits_for,
    sender_waits_for,
    told_figure,
    told_lag,
    told_span,
    waits_for,
)
from horizon.postgres.database import Connection, row_dicts
from horizon.settings import Settings
from horizon.stage import STAGES

ORDER: Final = ("identity", "archive", "score", "alert", "campaign", "email", "seal", "retention")

_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StageStanding:
    stage: str
    last_run: datetime | None
    took: str
    result: str
    lag: str
    waits_for: str


def look(tx: Connection, settings: Settings, clock: datetime) -> list[StageStanding]:
    """The stages in their order, and after them what else ever ran."""
    runs = {row["stage"]: row for row in last_runs(tx)}
    names = [*ORDER, *(stage for stage in sorted(runs) if stage not in ORDER)]
    locks = _locks(tx, names)
    schedule = next_turn(settings, clock)
    lags = {row["stage"]: row for row in unread(tx, {"clock": clock, "most": MOST_COUNTED})}
    found = []
    for stage in names:
        if stage == "email":
            found.append(_sender(tx, runs.get(stage), schedule, clock))
            continue
        one = _stage(stage, runs.get(stage), locks.get(stage, []), schedule, lags.get(stage))
        found.append(one)
    found = [_planner(tx, one) if one.stage == "campaign" else one for one in found]
    return [_keeper(one) if one.stage == "retention" else one for one in found]


def last_runs(tx: Connection) -> list[dict[str, Any]]:
    return row_dicts(tx.execute(QUERIES["last_runs"], {"stages": list(STAGES)}))


def _stage(
    stage: str, run: Row | None, locks: Sequence[Lock], schedule: Schedule, lag: Row | None
) -> StageStanding:
    status = run["status"] if run else None
    if status == "started" and any(lock.granted for lock in locks):
        status = "running"
    rows = lag["events"] if lag else None
    behind = timedelta(seconds=lag["behind"]) if lag else None
    own = stage in ORDER  # others are run by hand: simulate, ingest
    return StageStanding(
        stage,
        run["started_at"] if run else None,
        told_span(run["took"]) if run and run["took"] is not None else "",
        _result(status, run),
        told_lag(behind, rows, "events", MOST_COUNTED),
        waits_for(status, locks, schedule, unread=rows or 0) if own or locks else "",
    )


def _result(status: str | None, run: Row | None) -> str:
    if run is None or status is None:
        return "never ran"
    if status == "failed":
        return f"failed: {run['error']}"
    figures = run["figures"] or {}
    told = ", ".join(
        told_figure(run["stage"], name, value) for name, value in figures.items()
        if isinstance(value, int) and value and not name.endswith("_days")
    )  # fmt: skip
    return f"{'killed' if status == 'started' else status}{': ' + told if told else ''}"


def _sender(tx: Connection, run: Row | None, schedule: Schedule, clock: datetime) -> StageStanding:
    """Its lag is what is due, and what it waits for stands in the outbox."""
    row = row_dicts(tx.execute(QUERIES["waiting_mail"], {"clock": clock}))[0]
    waits_s = row.pop("waits_s")
    mail = Mail(**row)
    lag = timedelta(seconds=waits_s) if waits_s is not None else None
    return replace(
        _stage("email", run, [], schedule, None),
        lag=told_lag(lag, mail.due, "due", 2**62),
        waits_for=sender_waits_for(mail, schedule),
    )


def _planner(tx: Connection, one: StageStanding) -> StageStanding:
    row = tx.execute(QUERIES["campaign_standing"]).fetchone()
    assert row is not None
    return replace(one, waits_for=planner_waits_for(one.waits_for, row.paused or []))


def _keeper(one: StageStanding) -> StageStanding:
    if one.result.startswith(("never", "done")):
        return replace(one, waits_for="a day whose REJECTED_DAYS, IDS_DAYS or HOT_DAYS are over")
    return one


def _locks(tx: Connection, names: Sequence[str]) -> dict[str, list[Lock]]:
    found: dict[str, list[Lock]] = {}
    for row in tx.execute(QUERIES["stage_locks"], {"stages": list(names)}):
        lock = Lock(row.granted, row.pid, row.role or "unknown")
        found.setdefault(row.stage, []).append(lock)
    return found


def next_turn(settings: Settings, clock: datetime) -> Schedule:
    if serving_pid(settings.home) is None:
        return Schedule(None)
    return Schedule(croniter(settings.PIPELINE_CRON, clock).get_next(datetime))


def serving_pid(home: Path) -> int | None:
    """The `horizon up` that serves this home."""
    return holder(home / "up.lock")


def changes(before: Sequence[StageStanding], now: Sequence[StageStanding]) -> list[StageStanding]:
    """What reads differently, but for times and ages: the stages run every minute."""
    known = {one.stage: _gist(one) for one in before}
    return [one for one in now if known.get(one.stage) != _gist(one)]


def _gist(one: StageStanding) -> str:
    return json.dumps([one.result, one.lag.partition(",")[0], _INSTANT.sub("", one.waits_for)])
