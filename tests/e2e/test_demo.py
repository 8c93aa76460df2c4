"""The demo as a person runs it, twice: on the embedded server, and on Debian's PostgreSQL 15."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
import pytest

from horizon.postgres.database import Database, Role
from horizon.settings import Settings
from tests.e2e.horizon_command import Command
from tests.parts import debian_postgres
from tests.story_ids import follow_all
from tests.world import DAY, World

HORIZON = [sys.executable, "-m", "horizon.cli"]
COUNTED = (
    "events",
    "event_ids",
    "profiles",
    "consents",
    "alerts",
    "messages",
    "reached",
    "suppressions",
)


class Demo:
    """A folder to type ``horizon`` in."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = {**os.environ, **environment}

    def __call__(self, *arguments: str) -> str:
        done = subprocess.run(
            [*HORIZON, *arguments], cwd=self.folder, env=self.environment, text=True,
            capture_output=True, check=False, timeout=170, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    def rows(self, query: str, database: str | None = None) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn(database)) as connection:
            return connection.execute(query.encode()).fetchall()

    @cache  # noqa: B019 - a test's own, and a process a call otherwise
    def dsn(self, database: str | None) -> str:
        return self("dsn", *(["--database", database] if database else [])).strip()

    def counts(self) -> dict[str, int]:
        counts = {table: self.rows(f"SELECT count(*) FROM {table}")[0][0] for table in COUNTED}
        mails = list((self.folder / ".horizon" / "mail").glob("*.eml"))
        return {**counts, "mails": len(mails)}

    def log(self) -> list[dict[str, Any]]:
        text = (self.folder / "logs" / "cdp_events.log").read_text()
        return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def folder() -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix="horizon demo "))  # a blank: paths have them
    place.chmod(0o755)
    yield place
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def embedded(folder: Path) -> Iterator[Demo]:
    demo = Demo(folder, {})
    yield demo
    demo("down")


@pytest.fixture
def on_fifteen(folder: Path) -> Iterator[Demo]:
    with debian_postgres(folder) as dsn:
        yield Demo(folder, {"PG_DSN": dsn})


def _check_two_runs(demo: Demo) -> None:
    first = demo("demo")
    before = demo.counts()
    _agrees(demo)
    assert before["mails"] == before["messages"] - _skipped(demo) > 100
    assert before["suppressions"] == 1
    started = time.monotonic()
    second = demo("demo")
    assert time.monotonic() - started < 40
    assert demo.counts() == before
    _agrees(demo)
    for said in (first, second):
        assert "Traceback" not in said
        assert max(map(len, said.splitlines())) <= 120
    page = (demo.folder / ".horizon" / "demo.html").read_text()
    assert not re.search(
        r"""(?:src|href)=["']https?://""", page.replace("&#34;", '"').split("srcdoc")[0]
    )


def _skipped(demo: Demo) -> int:
    return int(demo.rows("SELECT count(*) FROM messages WHERE status = 'skipped'")[0][0])


def _agrees(demo: Demo) -> None:
    """The log's lines and the tables say the same."""
    lines = demo.log()
    totals: Counter[tuple[str, str]] = Counter()
    for line in lines:
        if (line["stage"], line["message"]) == ("email", "email"):
            for status in ("sent", "skipped", "failed"):
                totals[line["campaign_id"], status] += line[status]
    tables = dict.fromkeys(totals, 0) | {
        (campaign, status): count
        for campaign, status, count in demo.rows(
            "SELECT campaign, status, count(*) FROM messages GROUP BY 1, 2"
        )
    }
    assert totals == tables
    told = Counter(
        (line["campaign_id"], line["status"]) for line in lines if line["message"] == "message"
    )
    assert told == {key: count for key, count in tables.items() if count}
    created = sum(line["created"] for line in lines if line["message"] == "alert")
    assert created == sum(line["message"] == "alert_created" for line in lines)
    assert created == demo.rows("SELECT count(*) FROM alerts")[0][0]
    scores = [line for line in lines if line["message"] == "score" and line["users"] == 200]
    tiers = dict(demo.rows("SELECT tier, count(*) FROM current_scores GROUP BY 1"))
    assert {tier: scores[-1][tier] for tier in ("high", "medium", "low")} == tiers
    inserted = sum(line["inserted"] for line in lines if line.get("component") == "simulator")
    assert (
        inserted
        == demo.rows(
            "SELECT count(*) FROM events JOIN sources USING (source_id) WHERE sources.name = 'simulator'"
        )[0][0]
    )
    assert len({line["correlation_id"] for line in lines if line["message"] == "alert"}) == len(
        scores
    )


def _every_message_is_explained(demo: Demo) -> None:
    with Database(demo.dsn(None)).transaction(Role.OWNER) as tx:
        messages = [row.message_id for row in tx.execute("SELECT message_id FROM messages")]
        stories = follow_all(tx, messages)
    assert len(stories) > 150
    assert {story["campaign"]["campaign"] for story in stories} == {"miss_you", "good_activity"}
    assert any(
        one["name"] == "Unsubscribed" for story in stories for one in story["delivery"]["events"]
    )
    assert all("message" in {one["thing"] for one in story["sealed"]} for story in stories)
    longest = max(stories, key=lambda story: float(story["score"]["silent_s"]))
    assert "of silence" in demo("explain", "message", longest["message_id"])
    assert demo("audit", "verify").startswith("Nothing was changed.")


def test_the_demo(embedded: Demo) -> None:
    said = embedded("demo")
    assert "Traceback" not in said
    counts = embedded.counts()
    assert counts["mails"] == counts["messages"] - _skipped(embedded) > 100
    _agrees(embedded)
    _every_message_is_explained(embedded)
    shown = embedded(
        "psql", "-At", "-c", "SELECT user_id, score FROM current_scores ORDER BY score DESC LIMIT 5"
    )
    assert len(shown.splitlines()) == 5
    bought = embedded.rows("SELECT count(*), count(DISTINCT user_id) FROM events", "horizon_cdnow")
    assert bought == [(69_659, 23_570)]
    assert embedded.rows("SELECT count(*) FROM messages", "horizon_cdnow") == [(0,)]


def test_the_demo_leaves_other_people_alone(
    tmp_path: Path, settings: Settings, world: World
) -> None:
    world.person("gina", 13 * DAY)
    done = Command(tmp_path, settings)("demo")
    assert done.returncode == 2
    assert "source server" in done.stderr
    assert "HORIZON_HOME" in done.stderr
    assert world.rows("SELECT FROM messages") == []


@pytest.mark.slow
def test_the_demo_twice(embedded: Demo) -> None:
    _check_two_runs(embedded)


@pytest.mark.slow
def test_the_demo_on_debians_fifteen(on_fifteen: Demo) -> None:
    _check_two_runs(on_fifteen)
    _every_message_is_explained(on_fifteen)
    file = on_fifteen.folder / "kept"
    on_fifteen("backup", str(file))
    before = on_fifteen.counts()
    on_fifteen("restore", str(file))
    on_fifteen("demo")
    assert on_fifteen.counts()["mails"] == before["mails"]
    assert on_fifteen("audit", "verify").startswith("Nothing was changed.")


@pytest.mark.slow
def test_the_crash_demo_loses_and_doubles_nothing(embedded: Demo) -> None:
    started = time.monotonic()
    said = embedded("demo", "--crash")  # exit code 0: it found nothing lost and nothing doubled
    assert time.monotonic() - started < 120
    counted = dict(
        re.findall(
            r"^  (planned|received|twice|lost|unknown|  of these received) +([\d,]+)$",
            said,
            re.MULTILINE,
        )
    )
    assert (counted["planned"], counted["twice"], counted["lost"]) == ("2,000", "0", "0")
    assert said.count("kill -9") == 22
    assert 0 < int(counted["unknown"]) <= 22 * 4 * 3, "what four connections send in 10 ms, a kill"
    came = int(counted["  of these received"])
    assert int(counted["received"].replace(",", "")) == 2_000 - int(counted["unknown"]) + came
    assert said.count("--as sent") == min(came, 5)
    assert said.count("--as failed") == min(int(counted["unknown"]) - came, 5)


@pytest.mark.slow
def test_the_crash_demo_never_kills_somebody_else_s_database(on_fifteen: Demo) -> None:
    done = subprocess.run(
        [*HORIZON, "demo", "--crash"], cwd=on_fifteen.folder, env=on_fifteen.environment,
        text=True, capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert "PG_DSN" in done.stderr
