"""The log in a real OpenSearch and a real Elasticsearch."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from horizon.log import LineFile, Logger, log_to
from horizon.observe.shipper import bulk, run
from horizon.observe.shipper.run import Shipped, Shipper
from horizon.observe.shipper.state import lag
from horizon.settings import Settings
from tests.search_server import SearchServer

pytestmark = pytest.mark.slow


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "cdp_events.log"


def settings_for(log: Path, server: SearchServer, **more: object) -> Settings:
    return Settings(
        HORIZON_HOME=str(log.parents[1] / "home"), LOG_PATH=str(log), ES_URL=server.url
    ).changed(**more)


def ship(settings: Settings) -> Shipped:
    return Shipper(settings, once=True, stop=threading.Event()).run()


def logger(log: Path) -> Logger:
    bound: Logger = log_to(LineFile(log)).bind(
        stage="score", component="scorer", correlation_id="c-1"
    )
    return bound


def until(what: Callable[[], Any], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.1)


def found(server: SearchServer, **term: object) -> int:
    server.ask("POST", "/cdp_events/_refresh")
    return int(server.search("cdp_events", {"query": {"term": term}})["hits"]["total"]["value"])


def test_the_fields_are_there_by_the_seed_s_names_and_by_ecs(
    search_server: SearchServer, log: Path
) -> None:
    say = logger(log)
    say.info("score", users=202, high=14, medium=0, low=188, window_days=14)
    say.info("score_detail", histogram=[1, 2, 3], top=[
        {"user_id": "ann@example.com", "score": 0.9, "segment": "high"}, {"user_id": "bob@example.com", "score": 0.2, "segment": "low"},
    ])  # fmt: skip
    say.error(
        "email",
        status="failed",
        error="the mail server is away",
        user_id="ann@example.com",
        reasons={"capped": 3},
    )
    with log.open("a") as file:
        odd = {
            "message": "odd",
            "service": "taken",
            "user": {"id": 7},
            "log": [1],
            "brand_new": {"deep": 1},
        }
        file.write(json.dumps({"ts": "2026-05-05T01:02:03Z", "component": "scorer", "correlation_id": "c-1",
                               "stage": "score", "score": "no number", **odd}) + "\n")  # fmt: skip
    assert ship(settings_for(log, search_server)).indexed == 4
    for name, value, many in (
        ("stage", "score", 4), ("service.name", "scorer", 4), ("event.action", "score", 4), ("trace.id", "c-1", 4),
        ("log.level", "ERROR", 1), ("user.id", "ann@example.com", 1), ("users", 202, 1), ("status", "failed", 1),
        ("brand_new.deep", 1, 0),
    ):  # fmt: skip
        assert found(search_server, **{name: value}) == many, name
    assert (
        search_server.search("cdp_events", {"query": {"match": {"error.message": "server"}}})[
            "hits"
        ]["total"]["value"]
        == 1
    )
    nested = {"nested": {"path": "top", "query": {"bool": {"filter": [
        {"term": {"top.user_id": "ann@example.com"}}, {"range": {"top.score": {"lt": 0.5}}}]}}}}  # fmt: skip
    assert search_server.search("cdp_events", {"query": nested})["hits"]["total"]["value"] == 0
    by_day = {
        "size": 0,
        "aggs": {
            "d": {
                "date_histogram": {"field": "@timestamp", "fixed_interval": "1d"},
                "aggs": {"u": {"sum": {"field": "users"}}},
            }
        },
    }
    assert (
        sum(
            day["u"]["value"]
            for day in search_server.search("cdp_events", by_day)["aggregations"]["d"]["buckets"]
        )
        == 202
    )
    (odd,) = [one for one in search_server.documents().values() if one["message"] == "odd"]
    assert odd["other"] == {"service": "taken", "user": {"id": 7}, "log": [1]}
    assert odd["brand_new"] == {"deep": 1}


def test_a_refused_type_is_a_dead_letter_and_the_rest_arrives(
    search_server: SearchServer, log: Path
) -> None:
    say = logger(log)
    for n in range(20):
        say.info("line", count=n, top="no list" if n == 7 else [])
    settings = settings_for(log, search_server)
    done = ship(settings)
    assert (done.indexed, done.refused) == (19, 1)
    (letter,) = map(
        json.loads, (settings.home / "shipper" / "dead-letters.jsonl").read_text().splitlines()
    )
    assert "[top]" in letter["reason"]
    assert json.loads(letter["line"])["count"] == 7
    assert letter["id"] not in search_server.documents()


def test_a_line_of_10_mb_arrives(search_server: SearchServer, log: Path) -> None:
    logger(log).info("long", answer="x" * 10_000_000)
    logger(log).info("short")
    assert ship(settings_for(log, search_server)).indexed == 2
    assert found(search_server, message="long") == 1


def test_read_only_by_a_full_disk_is_waited_out(search_server: SearchServer, log: Path) -> None:
    logger(log).info("before")
    settings = settings_for(log, search_server)
    ship(settings)
    search_server.ask("PUT", "/cdp_events/_settings", {"index.blocks.read_only_allow_delete": True})
    logger(log).info("after")
    stop = threading.Event()
    thread = threading.Thread(target=Shipper(settings, once=False, stop=stop).run)
    thread.start()
    try:
        until(lambda: (seen := lag(settings)).status is not None and seen.status.server == "away")
        status = lag(settings).status
        assert status is not None
        assert "read-only" in status.said
        assert lag(settings).lines == 1
        search_server.ask(
            "PUT", "/cdp_events/_settings", {"index.blocks.read_only_allow_delete": None}
        )
        until(lambda: lag(settings).lines == 0)
    finally:
        stop.set()
        thread.join(30)
    assert found(search_server, message="after") == 1
    assert not (settings.home / "shipper" / "dead-letters.jsonl").exists()


def test_an_index_with_another_schema_is_said_and_used(
    search_server: SearchServer, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    search_server.ask(
        "PUT", "/cdp_events", {"mappings": {"properties": {"stage": {"type": "text"}}}}
    )
    logger(log).info("line")
    assert ship(settings_for(log, search_server)).indexed == 1
    assert "has another schema" in capsys.readouterr().err


def test_an_index_that_refuses_all_lines_for_its_schema_holds_them_back(
    search_server: SearchServer, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody made it before: no line is to blame, and each arrives once it is mended."""
    monkeypatch.setattr(run, "ATTEMPTS_ONCE", 2)
    wrong = {"properties": {"stage": {"type": "long", "ignore_malformed": False}}}
    search_server.ask("PUT", "/cdp_events", {"mappings": wrong})
    for _ in range(5):
        logger(log).info("line")
    settings = settings_for(log, search_server)
    with pytest.raises(bulk.GaveUpError, match="another schema than Horizon's and refuses lines"):
        ship(settings)
    assert not (settings.home / "shipper" / "dead-letters.jsonl").exists()
    search_server.ask("DELETE", "/cdp_events")
    assert ship(settings).indexed == 5


def test_an_index_of_an_older_version_learns_new_fields(
    search_server: SearchServer, log: Path
) -> None:
    search_server.ask(
        "PUT",
        "/cdp_events",
        {
            "mappings": {
                "dynamic": False,
                "properties": {"stage": {"type": "keyword", "ignore_above": 8191}},
            }
        },
    )
    logger(log).info("line")
    ship(settings_for(log, search_server))
    assert found(search_server, **{"service.name": "scorer"}) == 1


def test_a_data_stream_takes_each_line_once(search_server: SearchServer, log: Path) -> None:
    name = f"cdp_stream_{search_server.name}"  # this Elasticsearch cannot drop it
    for n in range(50):
        logger(log).info("line", count=n)
    settings = settings_for(log, search_server, ES_DATA_STREAM="on", ES_INDEX=name)
    assert ship(settings).indexed == 50
    (settings.home / "shipper" / "position.json").unlink()
    assert ship(settings).there == 50
    assert len(search_server.documents(name)) == 50


def test_a_data_stream_that_rolled_over_doubles_nothing(
    opensearch: SearchServer, log: Path
) -> None:
    """A stream's new part takes an id that an older part has: so what is doubtful is asked first."""
    settings = settings_for(log, opensearch, ES_DATA_STREAM="on")
    for n in range(50):
        logger(log).info("line", count=n)
    ship(settings)
    opensearch.ask("POST", "/cdp_events/_rollover")
    for n in range(50, 60):
        logger(log).info("line", count=n)
    (settings.home / "shipper" / "position.json").unlink()
    done = ship(settings)
    assert (done.there, done.indexed) == (50, 10)
    assert len(opensearch.documents()) == 60


def test_an_index_that_is_dropped_while_it_follows_comes_back(
    opensearch: SearchServer, log: Path
) -> None:
    settings = settings_for(log, opensearch)
    stop = threading.Event()
    thread = threading.Thread(target=Shipper(settings, once=False, stop=stop).run)
    thread.start()
    try:
        logger(log).info("first")
        until(lambda: len(opensearch.documents()) == 1)
        opensearch.ask("DELETE", "/cdp_events")
        logger(log).info("second")
        until(lambda: len(opensearch.documents()) == 1)
    finally:
        stop.set()
        thread.join(30)
    assert found(opensearch, stage="score") == 1, "the template made its fields"
