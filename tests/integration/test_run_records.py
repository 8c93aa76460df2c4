"""A run's line in the log says what its row of ``runs`` says."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from horizon import clock
from horizon.errors import HorizonError, TransportError, UsageError
from horizon.pipeline import stages
from horizon.pipeline.installation import open_installation
from horizon.pipeline.intake import ingest_file
from horizon.pipeline.recording import Recorder, Span
from horizon.pipeline.runner import Stage
from horizon.postgres.database import Role
from horizon.stage import Window
from tests.world import DAY, NOW, World


def lines(world: World) -> list[dict[str, Any]]:
    """Those of whole runs."""
    text = world.horizon.settings.log_path.read_text()
    return [line for line in map(json.loads, text.splitlines()) if "duration_s" in line]


def rows(world: World) -> list[dict[str, Any]]:
    return [row._asdict() for row in world.rows("""
        SELECT stage, status, error, lag_s, finished_at,
               trunc(extract(epoch FROM finished_at - started_at), 3)::float8 AS duration_s
        FROM runs ORDER BY finished_at, started_at DESC""")]  # fmt: skip


def test_line_and_row_agree_also_of_failed_runs(world: World) -> None:
    world.person("ann", 13 * DAY)
    with pytest.raises(TransportError):  # nobody takes mail here
        stages.run_all(world.horizon, world.now)
    with pytest.raises(UsageError):
        world.runner.run(stages.alert_stage(world.horizon.settings), world.now - DAY)
    told = [
        {
            "stage": line["stage"], "status": line.get("status", "done"),
            "error": line.get("error"), "lag_s": line["lag_s"],
            "duration_s": line["duration_s"], "ts": line["ts"],
        }
        for line in lines(world)
    ]  # fmt: skip
    kept = rows(world)
    for row in kept:
        row["ts"] = clock.utc_text(row.pop("finished_at"))
    assert told == kept
    assert [line["stage"] for line in told] == [
        "identity", "archive", "score", "alert", "campaign", "campaign", "campaign", "email", "seal",
        "alert",
    ]  # fmt: skip
    assert [line["status"] for line in told][-3:] == ["failed", "done", "failed"]


def test_lag_counts_from_the_last_good_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    score, begun = stages.score_stage(world.horizon.settings), clock.now() + timedelta(hours=1)
    for at in (0, 60, 90):
        monkeypatch.setattr(clock, "now", lambda at=at: begun + timedelta(seconds=at))
        world.runner.run(score, NOW)
    (first, *others) = [line["lag_s"] for line in lines(world) if line["stage"] == "score"]
    (era,) = world.rows("SELECT min(opened_at) AS opened_at FROM eras")
    assert first == pytest.approx((begun - era.opened_at).total_seconds(), abs=1)
    assert others == [60, 30]


def test_a_failed_run_does_not_count_as_the_last(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.score()
    alert, begun = stages.alert_stage(world.horizon.settings), clock.now() + timedelta(hours=1)
    for at, when in ((0, NOW), (50, NOW - DAY), (80, NOW)):
        monkeypatch.setattr(clock, "now", lambda at=at: begun + timedelta(seconds=at))
        try:
            world.runner.run(alert, when)
        except UsageError:
            assert at == 50
    lags = [line["lag_s"] for line in lines(world) if line["stage"] == "alert"]
    assert lags[1:] == [50, 80]


def test_wrong_use_of_an_ingest_leaves_no_trace(world: World, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        ingest_file(world.horizon, str(tmp_path / "nowhere.csv"), "cdnow")
    assert rows(world) == []
    assert not world.horizon.settings.log_path.exists()


def test_an_ingest_has_a_row_and_no_lag(world: World, tmp_path: Path) -> None:
    (tmp_path / "shop.toml").write_text(
        'format = "csv"\nuser_id_column = "who"\ntime_column = "when"\ntime_format = "%Y-%m-%d"\n'
        'time_zone = "UTC"\nevent = "Order Completed"\n'
    )
    (tmp_path / "bought.csv").write_text("who,when\nann,2026-06-01\nbob,2026-06-02\n")
    ingest_file(world.horizon, str(tmp_path / "bought.csv"), str(tmp_path / "shop.toml"))
    (line,) = lines(world)
    assert (line["message"], line["component"], line["inserted"]) == ("ingest", "file", 2)
    assert "lag_s" not in line
    (row,) = world.rows("SELECT figures, lag_s FROM runs WHERE stage = 'ingest'")
    assert row.figures == {"component": "file", "inserted": 2, "skipped": 0, "rejected": 0}
    assert row.lag_s is None


def test_what_the_database_could_not_record_has_no_duration(world: World) -> None:
    recorder = Recorder(
        world.horizon.database.named("nowhere"), world.horizon.log, "ingest", "file", uuid4(), "ingest"
    )  # fmt: skip
    with recorder.recording() as figures:
        figures["inserted"] = 3
    (line,) = map(json.loads, world.horizon.settings.log_path.read_text().splitlines())
    assert line["inserted"] == 3
    assert "duration_s" not in line
    assert Span(clock.now()).fields() == {}


def test_a_campaign_s_mistake_is_one_failed_run(world: World) -> None:
    world.rows("UPDATE campaigns SET template = 'nowhere' WHERE campaign = 'miss_you' RETURNING 1")
    with pytest.raises(HorizonError, match="miss_you"):
        stages.run_all(world.horizon, world.now)
    failed = [line for line in lines(world) if line["level"] == "ERROR"]
    assert [(line["stage"], line["campaign_id"]) for line in failed] == [("campaign", "miss_you")]
    assert [row["stage"] for row in rows(world) if row["status"] == "failed"] == ["campaign"]


def test_lines_of_another_database_say_so(world: World) -> None:
    own = world.horizon.database.name
    other = open_installation(world.horizon.settings, own)
    other.log.info("score", stage="score")
    other.lines.many({"message": "message", "stage": "email"}, [{"status": "sent"}])
    world.horizon.log.info("score", stage="score")
    said = [json.loads(line) for line in world.horizon.settings.log_path.read_text().splitlines()]
    assert [line.get("database") for line in said] == [own, own, None]


def test_a_run_whose_connection_is_cut_says_why_and_not_how_it_was_noticed(world: World) -> None:
    def cut(tx: Any, _: Window) -> Any:
        with world.horizon.database.transaction(Role.OWNER) as owner:
            owner.execute("SELECT pg_terminate_backend(%s)", [tx.info.backend_pid])
        tx.execute("SELECT")

    with pytest.raises(psycopg.errors.AdminShutdown):
        world.runner.run(Stage("score", "scorer", cut), world.now)
    line = json.loads(world.horizon.settings.log_path.read_text().splitlines()[-1])
    assert (line["status"], line["stage"]) == ("failed", "score")
    assert line["error"] == "terminating connection due to administrator command"
    assert "duration_s" not in line, "the row does not say that it is over"
    (row,) = world.rows("SELECT status FROM runs WHERE stage = 'score'")
    assert row.status == "started"
