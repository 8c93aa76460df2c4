"""What a run's events hold: valid by OpenLineage's own schemas, and right."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import jsonschema
import psycopg
import pytest

from horizon.errors import HorizonError
from horizon.observe.lineage.courier import open_courier
from horizon.observe.lineage.delivery import open_target
from horizon.observe.lineage.queue import queue_of
from horizon.pipeline import stages
from horizon.pipeline.installation import Installation, open_installation
from horizon.pipeline.runner import Stage
from horizon.postgres.database import Role
from horizon.settings import Settings
from horizon.stage import StageResult
from tests.openlineage import Event, check_event
from tests.servers.smtp_recorder import SmtpRecorder
from tests.world import World

DAY = timedelta(days=1)


@pytest.fixture
def told(settings: Settings, tmp_path: Path) -> tuple[World, Callable[[], list[Event]]]:
    """People in an installation that tells of its runs, and what it has told."""
    path = tmp_path / "lineage.jsonl"
    chosen = settings.changed(LINEAGE_TO=f"file:{path}")

    def events() -> list[Event]:
        open_courier(chosen, open_target(chosen)).flush()
        return [json.loads(line) for line in path.read_text().splitlines()]

    return World(open_installation(chosen)), events


def test_a_pass_of_the_pipeline_tells_of_each_stage(
    told: tuple[World, Callable[[], list[Event]]], tmp_path: Path
) -> None:
    world, events = told
    world.put(
        world.identify("ann", email="ann@example.com", consent=True),
        world.track("ann", 13 * DAY), world.track("bob", 1 * DAY),
    )  # fmt: skip
    run = uuid4()
    with SmtpRecorder(tmp_path) as recorder:
        chosen = world.horizon.settings.changed(SMTP_HOST="127.0.0.1", SMTP_PORT=recorder.port)
        stages.run_all(replace(world.horizon, settings=chosen), world.now, correlation_id=run)
    found = events()
    for event in found:
        check_event(event)
    ended = {event["job"]["name"]: event for event in found if event["eventType"] == "COMPLETE"}
    assert ended.keys() == {
        "identity", "archive", "score", "alert", "campaign", "email", "seal", "pipeline",
    }  # fmt: skip
    runs = defaultdict(list)
    for event in found:
        runs[event["run"]["runId"]].append(event["eventType"])
    assert set(map(tuple, runs.values())) == {("START", "COMPLETE")}
    parents = {event["run"]["facets"].get("parent", {}).get("run", {}).get("runId")
               for name, event in ended.items() if name != "pipeline"}  # fmt: skip
    assert parents == {ended["pipeline"]["run"]["runId"]} == {str(run)}
    check_score(ended["score"], world)
    check_statistics(found, world)


def check_statistics(found: list[Event], world: World) -> None:
    """Before the pass the tables were empty: what they hold is what its runs say they wrote."""
    written: dict[tuple[str, str], int] = defaultdict(int)
    for event in found:
        for dataset in event["outputs"]:
            facet = dataset.get("outputFacets", {}).get("outputStatistics")
            if facet is not None:
                assert event["eventType"] == "COMPLETE"
                table = dataset["name"].rpartition(".")[2]
                written[event["job"]["name"], table] += facet["rowCount"]
    for job, table in (
        ("identity", "profiles"), ("identity", "nodes"), ("identity", "traits"),
        ("identity", "consents"), ("score", "scores"), ("alert", "alerts"),
        ("campaign", "messages"), ("seal", "history"),
    ):  # fmt: skip
        [row] = world.rows(f"SELECT count(*)::int AS count FROM {table}")
        assert written[job, table] == row.count > 0, (job, table)
    assert written["email", "messages"] == 1  # ann's; bob never gave an address


def check_score(event: Event, world: World) -> None:
    [scores] = [one for one in event["outputs"] if one["name"].endswith(".public.scores")]
    assert event["run"]["facets"]["nominalTime"]["nominalStartTime"] == "2026-06-15T12:00:00.000Z"
    assert scores["namespace"] == world.horizon.database.server_url
    assert scores["outputFacets"]["outputStatistics"]["rowCount"] == 2
    with world.horizon.database.transaction(Role.OWNER) as tx:
        stored = tx.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_name = 'scores' "
            "ORDER BY ordinal_position"
        )
        names = [row.column_name for row in stored]
    assert [one["name"] for one in scores["facets"]["schema"]["fields"]] == names
    lineage = scores["facets"]["columnLineage"]["fields"]
    assert lineage.keys() == set(names)
    named = {
        (one["name"].rpartition(".")[2], one["field"]) for one in lineage["score"]["inputFields"]
    }
    assert named == {("events", "time"), ("nodes", "first_seen")}
    assert lineage["score"]["inputFields"][0]["transformations"] == [
        {"type": "DIRECT", "subtype": "AGGREGATION", "masking": False}
    ]
    newer = scores["facets"]["lineage"]
    from_job = [one for one in newer["fields"]["score"]["inputs"] if one["type"] == "JOB"]
    assert "parameter window_s" in from_job[0]["transformations"][0]["description"]
    decides = {one["field"] for one in scores["facets"]["columnLineage"]["dataset"]}
    assert "activity" in decides


def test_personal_columns_are_tagged(told: tuple[World, Callable[[], list[Event]]]) -> None:
    world, events = told
    world.horizon.runner.run(
        stages.identity_stage(world.horizon.keys, world.horizon.settings), world.now
    )
    [ended] = [event for event in events() if event["eventType"] == "COMPLETE"]
    [read] = [one for one in ended["inputs"] if one["name"].endswith(".events")]
    tags = {one["field"]: one["value"] for one in read["facets"]["tags"]["tags"]}
    assert tags["email"] == "personal"
    assert tags["nodes"] == "pseudonym"
    assert "received_at" not in tags


def failing(error: Exception) -> Stage:
    def run(tx: Any, window: Any) -> StageResult:
        raise error

    return Stage("alert", "alerter", run)


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (HorizonError("Nothing goes."), "FAIL", "Nothing goes."),
        (psycopg.errors.UniqueViolation("DETAIL: ann@example.com"), "FAIL", "UniqueViolation"),
        (RuntimeError("ann@example.com"), "FAIL", "RuntimeError"),
        (KeyboardInterrupt(), "ABORT", "It was stopped."),
    ],
)
def test_a_failed_run_says_why_and_no_more(
    told: tuple[World, Callable[[], list[Event]]], error: Exception, kind: str, said: str
) -> None:
    world, events = told
    with pytest.raises(type(error)):
        world.horizon.runner.run(failing(error), world.now)
    found = events()
    assert [event["eventType"] for event in found] == ["START", kind]
    for event in found:
        check_event(event)
    assert found[1]["run"]["facets"]["errorMessage"]["message"] == said


def test_a_broken_event_is_found_out(told: tuple[World, Callable[[], list[Event]]]) -> None:
    """The check itself can fail: on the event and on a facet."""
    world, events = told
    world.horizon.runner.run(stages.score_stage(world.horizon.settings), world.now)
    event = events()[-1]
    check_event(event)
    for spoil in (
        lambda one: one["run"].update(runId="no uuid"),
        lambda one: one["job"].pop("namespace"),
        lambda one: one["run"]["facets"]["nominalTime"].pop("nominalStartTime"),
        lambda one: one["outputs"][0]["facets"]["columnLineage"].pop("fields"),
        lambda one: one["outputs"][0]["facets"]["lineage"]["inputs"].append(
            {"type": "JOB", "name": "x"}
        ),
    ):
        spoilt = json.loads(json.dumps(event))
        spoil(spoilt)
        with pytest.raises(jsonschema.ValidationError):
            check_event(spoilt)


def test_off_leaves_nothing(horizon: Installation, world: World) -> None:
    horizon.runner.run(stages.score_stage(horizon.settings), world.now)
    assert not queue_of(horizon.settings).folder.exists()
