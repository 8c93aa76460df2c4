"""The collector as its senders see it: the unmodified client, good and bad requests."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from segment.analytics.client import Client

from horizon.edge.segment import BATCH_EVENTS, BODY_BYTES
from horizon.events.nodes import node_of
from horizon.events.sources import add_source
from horizon.keys import Keys
from horizon.postgres.database import Database, Role, closing_connection, row_dicts
from horizon.settings import Settings
from tests.servers.collector import Answer, Application, Collector

GOOD = {"type": "track", "userId": "u1", "event": "Viewed"}
ALL_GOOD = {"success": True, "rejected": []}


@pytest.fixture
def app(settings: Settings) -> Iterator[Application]:
    with Application(settings) as running:
        yield running


def rows(database: Database, query: str) -> list[dict[str, Any]]:
    with database.transaction(Role.OWNER) as tx:
        return row_dicts(tx.execute(query.encode()))


def count(database: Database, table: str = "events") -> int:
    return int(rows(database, f"SELECT count(*) AS n FROM {table}")[0]["n"])


def code(answer: Answer) -> tuple[int, str]:
    assert answer.json["message"]
    return answer.status, answer.json["code"]


def test_every_call_of_the_unmodified_client_is_read_back(
    collector: Collector, database: Database, key: str, keys: Keys
) -> None:
    errors: list[Any] = []
    client = Client(key, host=collector.url, on_error=lambda error, _: errors.append(error))
    happened = (datetime.now(UTC) - timedelta(days=2)).replace(microsecond=0)
    client.identify("u1", {"email": "Ann@Example.com", "plan": "pro", "age": 41})
    client.track("u1", "Order Completed", {"total": 12.5, "items": ["a", "ä€😀"]})
    client.page("u1", "Docs", "Start", {"url": "https://shop.example/"})
    client.screen("u1", "App", "Home", {"width": 320})
    client.group("u1", "g1", {"name": "Acme"})
    client.alias("a1", "u1")
    client.track(None, "Seen", anonymous_id=17, timestamp=happened, message_id="mine")
    client.flush()
    client.join()
    assert not errors
    found = {(row["type"], row["name"]): row for row in rows(database, "SELECT * FROM events")}

    identify = found["identify", None]
    assert (identify["user_id"], identify["email"]) == ("u1", "Ann@Example.com")
    assert json.loads(identify["traits"]) == {"email": "Ann@Example.com", "plan": "pro", "age": 41}
    assert identify["nodes"] == [
        node_of(keys.node, "user_id", "u1"), node_of(keys.node, "email", "ann@example.com"),
    ]  # fmt: skip
    track = found["track", "Order Completed"]
    assert json.loads(track["properties"]) == {"total": 12.5, "items": ["a", "ä€😀"]}
    assert json.loads(track["context"])["library"]["name"] == "analytics-python"
    page = found["page", "Start"]
    assert json.loads(page["properties"]) == {"url": "https://shop.example/", "category": "Docs"}
    screen = found["screen", "Home"]
    assert json.loads(screen["properties"]) == {"width": 320, "category": "App"}
    group = found["group", None]
    assert (group["group_id"], json.loads(group["traits"])) == ("g1", {"name": "Acme"})
    alias = found["alias", None]
    assert (alias["previous_id"], alias["user_id"]) == ("a1", "u1")
    seen = found["track", "Seen"]
    assert (seen["anonymous_id"], seen["user_id"], seen["message_id"]) == ("17", None, "mine")
    assert seen["original_timestamp"] == happened
    assert abs(seen["time"] - happened) < timedelta(seconds=30)

    assert len(found) == count(database) == 7
    for row in found.values():
        assert (row["trusted"], row["era"], row["time_flag"]) == (True, 1, None)
        assert row["activity"] is (row["type"] in ("track", "page", "screen"))
    assert key not in repr(found)


def test_the_client_with_gzip_and_one_with_the_key_in_the_body_alone(
    collector: Collector, database: Database, key: str
) -> None:
    client = Client(key, host=collector.url, gzip=True, sync_mode=True)
    client.track("u1", "Packed")
    old = {"batch": [GOOD], "writeKey": key, "sentAt": "2026-11-03T12:00:00.000Z"}
    assert collector.post("/v1/batch", old).json == ALL_GOOD
    bearer = collector.post("/v1/batch", old, Authorization="Bearer token")
    assert (bearer.status, bearer.json) == (200, ALL_GOOD)
    assert count(database) == 3


def test_single_calls_and_the_browsers_way(app: Application, database: Database, key: str) -> None:
    event = {"userId": "u1", "event": "Viewed", "writeKey": key, "sentAt": "2026-11-03T12:00:00Z"}
    answer = app.post("/v1/t", event, Content_Type="text/plain")
    assert (answer.status, answer.json) == (200, ALL_GOOD)
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-expose-headers"] == "Retry-After"
    for path in ("b", "import"):
        assert app.post(f"/v1/{path}", {"batch": []}, key).json == ALL_GOOD
    calls = ("track", "identify", "page", "screen", "group", "alias")
    for path in [*calls, *(call[0] for call in calls)]:
        event = {"type": "nonsense", "userId": 5, "event": "Viewed", "messageId": path}
        assert app.post(f"/v1/{path}", event, key).json == ALL_GOOD
    found = rows(database, "SELECT type, message_id FROM events WHERE user_id = '5'")
    assert {(row["message_id"], row["type"]) for row in found} == {
        (path, call) for call in calls for path in (call, call[0])
    }


def test_the_preflight_of_a_browser(app: Application) -> None:
    answer = app.ask("OPTIONS", "/v1/t")
    assert (answer.status, answer.body) == (204, b"")
    allowed = answer.headers["access-control-allow-headers"].split(", ")
    assert {"authorization", "content-type", "x-retry-count"} <= set(allowed)
    assert "POST" in answer.headers["access-control-allow-methods"]


def test_the_good_part_of_a_batch_is_kept_and_the_bad_part_with_its_reason(
    app: Application, database: Database, key: str
) -> None:
    no_one = {"type": "track", "event": "x", "context": {"ip": "203.0.113.77"}, "writeKey": key}
    big = {**GOOD, "properties": {"text": "x" * 33_000}}
    batch = [
        GOOD,
        no_one,
        5,
        {**GOOD, "properties": {"a": "\ud83d"}},
        big,
        {**GOOD, "event": "a\0"},
    ]
    answer = app.post("/v1/batch", {"batch": batch, "writeKey": key})
    assert answer.status == 200
    assert answer.json["success"] is True
    assert [(item["index"], item["code"]) for item in answer.json["rejected"]] == [
        (1, "no_user_anon_id"), (2, "invalid_event"), (4, "event_too_large"), (5, "invalid_name"),
    ]  # fmt: skip
    assert count(database) == 2
    kept = rows(database, "SELECT * FROM rejected_events ORDER BY position")
    assert [row["position"] for row in kept] == [1, 2, 4, 5]
    assert json.loads(kept[0]["body"]) == {
        "type": "track", "event": "x", "context": {"ip": "203.0.113.0"}, "writeKey": "[removed]",
    }  # fmt: skip
    assert [row["message"] for row in kept] == [item["message"] for item in answer.json["rejected"]]
    assert key not in repr(kept)


def test_a_batch_that_is_sent_again_counts_once(
    app: Application, database: Database, key: str
) -> None:
    batch = {"batch": [{**GOOD, "messageId": f"m{number}"} for number in range(100)]}
    for _ in range(3):
        assert app.post("/v1/batch", batch, key).json == ALL_GOOD
    assert count(database) == 100


def refusals(database: Database) -> list[tuple[str, int]]:
    with database.transaction(Role.OWNER) as tx:
        query = "SELECT code, position::int FROM rejected_events ORDER BY rejected_id"
        return [(row.code, row.position) for row in tx.execute(query)]


def test_of_a_batch_that_is_sent_again_what_is_refused_is_kept_once(
    app: Application, database: Database, key: str
) -> None:
    named = [{"type": "track", "userId": "u", "messageId": f"m{number}"} for number in range(3)]
    twice = {"type": "track", "messageId": "m3"}
    batch = {"batch": [GOOD, *named, twice, twice, {"type": "nothing", "messageId": "m4"}]}
    wanted = [("no_event_name", 1), ("no_event_name", 2), ("no_event_name", 3),
              ("no_user_anon_id", 4), ("invalid_type", 6)]  # fmt: skip
    first = app.post("/v1/batch", batch, key)
    assert refusals(database) == wanted
    again = app.post("/v1/batch", {**batch, "sentAt": "2026-11-03T10:00:00Z"}, key)
    assert again.json == first.json  # its sender is told as before
    assert refusals(database) == wanted
    # A browser's events have each their own time of sending.
    for second in (1, 2):
        event = {"userId": "u", "messageId": "m9", "sentAt": f"2026-11-03T10:00:0{second}Z"}
        assert app.post("/v1/t", event, key).json["rejected"]
    assert refusals(database) == [*wanted, ("no_event_name", 0)]


def test_what_has_no_id_may_come_twice(app: Application, database: Database, key: str) -> None:
    """As with events: the same words of two broken calls are two."""
    for _ in range(2):
        app.post("/v1/t", {"userId": "u"}, key)
    assert refusals(database) == [("no_event_name", 0)] * 2


def test_two_collectors_count_the_same_events_once(
    collector: Collector, settings: Settings, database: Database, key: str, free_port: Any
) -> None:
    with Collector(settings, free_port()) as other:
        bodies = [
            {"batch": [{**GOOD, "messageId": f"{number}-{part}"} for part in range(50)]}
            for number in range(20)
        ]
        with ThreadPoolExecutor(8) as threads:  # a body goes to both at the same moment
            answers = threads.map(
                lambda sent: sent[0].post("/v1/batch", sent[1], key),
                [(one, body) for body in bodies for one in (collector, other)],
            )
            assert {answer.status for answer in answers} == {200}
    assert count(database) == 1000


def test_a_request_is_refused_as_a_whole_only_for_what_is_wrong_with_the_whole(
    collector: Collector, database: Database, key: str
) -> None:
    packed = gzip.compress(json.dumps({"batch": [GOOD]}).encode())
    bomb = gzip.compress(b" " * 5_000_000)
    many = {"batch": [GOOD] * (BATCH_EVENTS + 1)}
    ask, post = collector.ask, collector.post
    assert code(post("/v1/batch", b"{", key)) == (400, "malformed_json")
    assert code(post("/v1/batch", b'{"batch":["\xff"]}x', key)) == (400, "malformed_json")
    assert code(post("/v1/batch", b"", key)) == (400, "malformed_json")
    assert code(post("/v1/batch", b'{"batch":[' + b"[" * 20_000, key)) == (400, "nested_too_deep")
    assert code(post("/v1/batch", {"batch": 5}, key)) == (400, "invalid_request")
    assert code(post("/v1/batch", [], key)) == (400, "invalid_request")
    assert code(post("/v1/batch", many, key)) == (400, "too_many_events")
    assert code(post("/v1/track", b" " * (BODY_BYTES + 1), key)) == (400, "request_too_large")
    gzipped = {"Content_Encoding": "gzip"}
    assert code(post("/v1/batch", packed[:-9], key, **gzipped)) == (400, "bad_gzip")
    assert code(post("/v1/batch", packed + b"x", key, **gzipped)) == (400, "bad_gzip")
    assert code(post("/v1/batch", b"{}", key, **gzipped)) == (400, "bad_gzip")
    assert code(post("/v1/batch", bomb, key, **gzipped)) == (400, "request_too_large")
    assert code(post("/v1/b", packed, key, Content_Encoding="br")) == (400, "unsupported_encoding")
    assert code(post("/v1/batch", {"batch": [GOOD]})) == (401, "missing_key")
    assert code(post("/v1/batch", {"batch": [GOOD], "writeKey": 5})) == (401, "missing_key")
    assert code(post("/v1/batch", {"batch": [GOOD]}, "nonsense")) == (401, "unknown_key")
    assert code(post("/v1/batch", {"batch": [GOOD]}, Authorization="Basic ?")) == (
        401,
        "missing_key",
    )
    assert code(ask("GET", "/v1/batch")) == (405, "wrong_method")
    assert code(ask("POST", "/v2/batch")) == (404, "not_found")
    assert count(database) == count(database, "rejected_events") == 0
    assert post("/v1/batch", packed, key, **gzipped).json == ALL_GOOD


def test_a_full_body_and_a_full_batch_fit(app: Application, database: Database, key: str) -> None:
    body = json.dumps({"batch": [GOOD] * BATCH_EVENTS}).encode()
    full = body + b" " * (BODY_BYTES - len(body))
    assert app.post("/v1/batch", full, key).json == ALL_GOOD
    assert count(database) == BATCH_EVENTS


def test_a_source_counts_from_the_moment_it_is_made(
    app: Application, database: Database, key: str
) -> None:
    assert app.post("/v1/track", GOOD, key).status == 200
    for name in ("second", "third"):
        with database.transaction(Role.WORKER) as tx:
            other = add_source(tx, name, "public")
        assert app.post("/v1/track", GOOD, other).status == 200


def test_the_order_of_a_request_is_kept(collector: Collector, key: str, database: Database) -> None:
    """SDKs count milliseconds: identify() and track() after one another have one timestamp."""
    when = "2026-11-03T10:00:00.000Z"
    batch = [
        {"type": "track", "userId": "ann", "event": f"e{number}", "timestamp": when}
        for number in range(50)
    ]
    assert collector.post("/v1/batch", {"batch": batch, "sentAt": when}, key).status == 200
    with database.transaction(Role.OWNER) as tx:
        found = tx.execute("SELECT name FROM events ORDER BY received_at").fetchall()
    assert [row.name for row in found] == [event["event"] for event in batch]


def test_it_is_not_ready_while_nothing_can_be_committed(
    collector: Collector, key: str, database: Database
) -> None:
    assert collector.ask("GET", "/readyz").status == 200
    with closing_connection(database.connect()) as holder, ThreadPoolExecutor(1) as thread:
        with holder:
            holder.execute("LOCK TABLE event_ids IN EXCLUSIVE MODE")
            waiting = thread.submit(collector.post, "/v1/t", GOOD, key)
            time.sleep(2.5)
            assert collector.ask("GET", "/readyz").status == 503
        assert waiting.result().status == 200
    assert collector.ask("GET", "/readyz").status == 200
