"""What is wrong gets an answer that says so, and harms nothing beside it.

Each case goes to a real collector, in the middle between two good events.
"""

from __future__ import annotations

import gzip
import itertools
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from horizon import keys
from horizon.edge.segment import BATCH_EVENTS, BODY_BYTES
from horizon.events.sources import add_source
from horizon.postgres.database import Database, Role
from horizon.settings import Settings
from tests.servers.collector import Answer, Collector
from tests.servers.wire import Closed, Wire, request

GOOD: dict[str, Any] = {"type": "track", "userId": "u1", "event": "Viewed"}
DEEP = b"[" * 10_000 + b"]" * 10_000


@dataclass
class Place:
    collector: Collector
    database: Database
    key: str
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def good(self) -> tuple[str, bytes]:
        """A new good event's id and request."""
        message_id = f"good-{next(self.numbers)}"
        return message_id, request({**GOOD, "messageId": message_id}, self.key, "/v1/track")

    def rows(self, query: str, *values: object) -> list[Any]:
        with self.database.transaction(Role.OWNER) as tx:
            return tx.execute(query.encode(), values or None).fetchall()

    def stored(self, message_id: str) -> list[Any]:
        return self.rows("SELECT * FROM events WHERE message_id = %s", message_id)


@pytest.fixture(scope="module")
def place(module_database: Database, free_port: Callable[[], int]) -> Iterator[Place]:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        keys.make(home)
        settings = Settings(
            PG_DSN=module_database.dsn, HORIZON_HOME=folder, LOG_PATH=str(home / "log"),
            COLLECTOR_PORT=free_port(), API_PORT=free_port(),
            METRICS_PORT=free_port(),
        )  # fmt: skip
        with module_database.transaction(Role.WORKER) as tx:
            key = add_source(tx, "shop", "server")
        with Collector(settings) as collector:
            yield Place(collector, module_database, key)


def code(answer: Answer) -> tuple[int, str]:
    """And whether the message is a sentence that says what to do: what is wrong, then that."""
    said = answer.json["message"]
    assert answer.headers["content-type"] == "application/json"
    assert ":" in said or said.startswith(("Send", "Open")), said
    assert said.endswith("."), said
    return answer.status, answer.json["code"]


def track(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in {**GOOD, **changes}.items() if value is not ...}


def with_part(field_: str, raw: bytes) -> bytes:
    """The good event with this JSON as the field's value."""
    return json.dumps({**GOOD, field_: "PART"}).encode().replace(b'"PART"', raw)


def nested(levels: int) -> list[Any]:
    return [nested(levels - 1)] if levels else []


PACKED = gzip.compress(json.dumps({"batch": [GOOD]}).encode())
BOMB = gzip.compress(b" " * 50_000_000)
GZIP = {"Content-Encoding": "gzip"}
FORM = {"Content-Type": "multipart/form-data; boundary=x"}

# name: body, headers, status, code. Each is a POST to /v1/batch with the key.
WHOLE: dict[str, tuple[object, dict[str, str | bytes], int, str]] = {
    "cut JSON": (b'{"batch":[', {}, 400, "malformed_json"),
    "no body": (b"", {}, 400, "malformed_json"),
    "JSON and more": (b'{"batch":[]}x', {}, 400, "malformed_json"),
    "not UTF-8": (b'{"batch":[],"sentAt":"\xff"}', {}, 400, "malformed_json"),
    "a form": (b"--x\r\nContent-Disposition: form-data\r\n", FORM, 400, "not_json"),
    "a list": ([GOOD], {}, 400, "invalid_request"),
    "no batch": ({"events": [GOOD]}, {}, 400, "invalid_request"),
    "a batch of text": ({"batch": "text"}, {}, 400, "invalid_request"),
    "a batch of nothing": ({"batch": None}, {}, 400, "invalid_request"),
    "too many events": ({"batch": [GOOD] * (BATCH_EVENTS + 1)}, {}, 400, "too_many_events"),
    "a context for many": (
        {"batch": [GOOD] * 1_000, "context": {"a": "x" * 20_000}}, {}, 400, "context_too_large",
    ),
    "a large context": (
        {"batch": [GOOD], "context": {"a": "x" * 33_000}}, {}, 400, "context_too_large",
    ),
    "a deep context": (b'{"batch":[],"context":{"a":%b}}' % DEEP, {}, 400, "nested_too_deep"),
    "deep all through": (b'{"batch":[' + b"[" * 20_000, {}, 400, "nested_too_deep"),
    "a byte too much": (b" " * (BODY_BYTES + 1), {}, 400, "request_too_large"),
    "megabytes": (b" " * 6_000_000, {}, 400, "request_too_large"),
    "a gzip bomb": (BOMB, GZIP, 400, "request_too_large"),
    "half a gzip": (PACKED[:-9], GZIP, 400, "bad_gzip"),
    "gzip and more": (PACKED + b"x", GZIP, 400, "bad_gzip"),
    "no gzip": (b'{"batch":[]}', GZIP, 400, "bad_gzip"),
    "nothing as gzip": (b"", GZIP, 400, "bad_gzip"),
    "gzip unsaid": (PACKED, {}, 400, "malformed_json"),
    "another packing": (PACKED, {"Content-Encoding": "br"}, 400, "unsupported_encoding"),
    "a packing of bytes": (PACKED, {"Content-Encoding": b"\xff"}, 400, "unsupported_encoding"),
    "no key": ({"batch": [GOOD]}, {"Authorization": ""}, 401, "missing_key"),
    "a key of bytes": ({"batch": []}, {"Authorization": b"Basic \xff"}, 401, "missing_key"),
    "a key that is no text": (
        {"batch": [GOOD], "writeKey": {"a": 1}}, {"Authorization": ""}, 401, "missing_key",
    ),
    "an unknown key": (
        {"batch": [GOOD], "writeKey": "nobody's"}, {"Authorization": ""}, 401, "unknown_key",
    ),
}  # fmt: skip

# name: one event of a batch as JSON, and the code it is refused with.
EVENTS: dict[str, tuple[object, str]] = {
    "a number": (5, "invalid_event"),
    "a list": ([GOOD], "invalid_event"),
    "null": (None, "invalid_event"),
    "not UTF-8": (with_part("event", b'"\xff"'), "invalid_event"),
    "a number as type": (track(type=5), "invalid_event"),
    "another type": (track(type="buy"), "invalid_type"),
    "no type": (track(type=...), "invalid_type"),
    "a user id of true": (track(userId=True), "invalid_event"),
    "a user id of a list": (track(userId=["u1"]), "invalid_event"),
    "an event of an object": (track(event={}), "invalid_event"),
    "no event name": (track(event=...), "no_event_name"),
    "a message id of a number": (track(messageId=5), "invalid_event"),
    "a long message id": (track(messageId="x" * 101), "invalid_message_id"),
    "properties of a list": (track(properties=["a"]), "invalid_event"),
    "traits of text": (track(type="identify", traits="blue"), "invalid_event"),
    "context of a number": (track(context=3), "invalid_event"),
    "nobody": (track(userId=...), "no_user_anon_id"),
    "nobody but spaces": (track(userId=" ", anonymousId=""), "no_user_anon_id"),
    "a blocked id": (track(userId="null"), "blocked_id"),
    "a blocked advertising id": (track(userId=0, anonymousId="0000-0000"), "blocked_id"),
    "a long user id": (track(userId="x" * 513), "invalid_id"),
    "an endless number as id": (with_part("userId", b"1e999"), "invalid_event"),
    "a number of 5,000 digits as id": (with_part("userId", b"9" * 5_000), "invalid_event"),
    "NUL in an id": (track(userId="a\0b"), "invalid_id"),
    "NUL in the previous id": (track(type="alias", previousId="\0"), "invalid_id"),
    "NUL in the message id": (track(messageId="a\0"), "invalid_message_id"),
    "NUL in the name": (track(event="a\0"), "invalid_name"),
    "too large": (track(properties={"a": "x" * 33_000}), "event_too_large"),
    "deep properties": (with_part("properties", b'{"a":%b}' % DEEP), "nested_too_deep"),
    "deep and nothing else": (DEEP, "invalid_event"),
    "deep traits": (track(type="identify", traits={"a": nested(70)}), "nested_too_deep"),
}  # fmt: skip


def batch_of(*items: object) -> bytes:
    parts = [item if isinstance(item, bytes) else json.dumps(item).encode() for item in items]
    return b'{"batch":[%b]}' % b",".join(parts)


@pytest.mark.parametrize("name", WHOLE)
def test_a_bad_request_is_refused_beside_good_ones(place: Place, name: str) -> None:
    body, headers, status, expected = WHOLE[name]
    before, first = place.good()
    after, last = place.good()
    with Wire(place.collector.port) as wire, Wire(place.collector.port) as other:
        assert other.ask(first).status == 200
        assert code(wire.ask(request(body, place.key, headers=headers))) == (status, expected)
        assert other.ask(last).status == 200
    assert len(place.stored(before)) == len(place.stored(after)) == 1


@pytest.mark.parametrize("name", EVENTS)
def test_a_bad_event_is_refused_between_good_ones_of_its_batch(place: Place, name: str) -> None:
    event, expected = EVENTS[name]
    ids = [f"{name} {number}" for number in range(2)]
    first, last = ({**GOOD, "messageId": message_id} for message_id in ids)
    with Wire(place.collector.port) as wire:
        answer = wire.ask(request(batch_of(first, event, last), place.key))
    assert (answer.status, answer.json["success"]) == (200, True)
    ((refused),) = answer.json["rejected"]
    assert (refused["index"], refused["code"]) == (1, expected)
    assert (
        ":" in refused["message"] or "must" in refused["message"] or "needs" in refused["message"]
    )
    assert [len(place.stored(message_id)) for message_id in ids] == [1, 1]
    (kept,) = place.rows("SELECT * FROM rejected_events ORDER BY rejected_id DESC LIMIT 1")
    assert (kept.code, kept.position) == (expected, 1)
    assert kept.body


# name: what is odd in the good event, and what its row has in the end.
TAKEN: dict[str, tuple[bytes, dict[str, Any]]] = {
    "NUL in properties": (
        with_part("properties", rb'{"a":"b\u0000"}'), {"properties": r'{"a":"b\u0000"}'},
    ),
    "half a pair in properties": (
        with_part("properties", rb'{"a":"\ud83d"}'), {"properties": r'{"a":"\ufffd"}'},
    ),
    "half a pair in the name": (with_part("event", rb'"a\udc00"'), {"name": "a\ufffd"}),
    "half a pair in an id": (with_part("userId", rb'"a\ud83d"'), {"user_id": "a\ufffd"}),
    "numbers beyond 64 bits": (
        with_part("properties", b'{"a":123456789012345678901234567890,"b":1e999}'),
        {"properties": '{"a":123456789012345678901234567890,"b":1e999}'},
    ),
    "a number beyond 64 bits as id": (
        with_part("userId", b"123456789012345678901234567891"),
        {"user_id": "123456789012345678901234567891"},
    ),
    "numbers beyond 64 bits in traits": (
        with_part("traits", b'{"a":123456789012345678901234567890,"b":1e999}').replace(
            b'"track"', b'"identify"'),
        {"traits": '{"a":123456789012345678901234567890,"b":null}'},
    ),
    "what Python writes for no number": (
        with_part("properties", b'{"NaN":NaN,"b":[-Infinity,Infinity],"c":"-NaN \\"NaN"}'),
        {"properties": '{"NaN":null,"b":[null,null],"c":"-NaN \\"NaN"}'},
    ),
    "the same key twice": (
        b'{"userId":"first","type":"track","event":"a","event":"b","userId":"last"}',
        {"user_id": "last", "name": "b"},
    ),
    "the same trait twice": (
        b'{"userId":"u1","type":"identify","traits":{"a":1,"a":2}}', {"traits": '{"a":2}'},
    ),
    "keys nobody knows": (with_part("nonsense", b"[{}]"), {"name": "Viewed"}),
    "year 1": (with_part("timestamp", b'"0001-01-01T00:00:00Z"'), {"time_flag": "unreadable"}),
    "year 9999": (with_part("timestamp", b'"9999-12-31T23:59:59Z"'), {"time_flag": "far_ahead"}),
    "after year 9999": (
        with_part("timestamp", b'"9999-12-31T23:59:59-12:00"'), {"time_flag": "unreadable"},
    ),
    "yesterday": (with_part("timestamp", b'"yesterday"'), {"time_flag": "unreadable"}),
    "a time of a list": (with_part("timestamp", b"[[]]"), {"time_flag": "unreadable"}),
    "a blocked id beside an own": (
        with_part("userId", b'"undefined"').replace(b"{", b'{"anonymousId":"a1",', 1),
        {"user_id": "undefined", "anonymous_id": "a1"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TAKEN)
def test_what_is_odd_is_taken_as_the_documentation_says(place: Place, name: str) -> None:
    event, expected = TAKEN[name]
    assert event.startswith(b"{")
    named = b'{"messageId":"%b",' % name.encode() + event[1:]
    with Wire(place.collector.port) as wire:
        answer = wire.ask(request(batch_of(named), place.key))
    assert answer.json == {"success": True, "rejected": []}
    (row,) = place.stored(name)
    assert {column: getattr(row, column) for column in expected} == expected
    if row.time_flag:
        assert row.time == row.received_at
    assert len(row.nodes) == 1


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "nonsense", b"\xff", ""]
)
def test_json_is_json_whatever_its_type_is_said_to_be(place: Place, content_type: str) -> None:
    message_id = f"type {content_type!r}"
    body = {"batch": [{**GOOD, "messageId": message_id}]}
    with Wire(place.collector.port) as wire:
        sent = request(body, place.key, headers={"Content-Type": content_type})
        assert wire.ask(sent).status == 200
    assert len(place.stored(message_id)) == 1


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "TRACE", "CONNECT", "post", "BREW"])
def test_a_wrong_method_is_told_the_right_one(place: Place, method: str) -> None:
    with Wire(place.collector.port) as wire:
        answer = wire.ask(request(b"", place.key, method=method))
    assert code(answer) == (405, "wrong_method")
    assert answer.headers["allow"] == "POST, OPTIONS"


def test_an_address_that_is_none_names_one_that_is(place: Place) -> None:
    for path in ("/", "/v1", "/v1/tracks", "/v2/batch", "/v1/%ff%fe", "/v1/../../etc/passwd"):
        with Wire(place.collector.port) as wire:
            assert code(wire.ask(request(b"{}", place.key, path))) == (404, "not_found")


def test_pipelined_requests_are_answered_in_their_order(place: Place) -> None:
    (one, first), (two, second) = place.good(), place.good()
    bad = request(b"{", place.key)
    packed = request(PACKED, place.key, headers=GZIP)
    with Wire(place.collector.port) as wire:
        wire.send(first + bad + second + request(b"", path="/nowhere") + packed)
        answers = [wire.answer().status for _ in range(5)]
    assert answers == [200, 400, 200, 404, 200]
    assert len(place.stored(one)) == len(place.stored(two)) == 1


NO_HTTP = {
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 50 + b"\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no method": b"\r\n\r\n\x00\x00 / HTTP/1.1\r\n\r\n",
    "a negative length": request(b"", headers={"Content-Length": "-5"}),
    "two lengths": request(b"{}", headers={"X": "1\r\nContent-Length: 9"}),
    "bytes as address": b"POST /v1/\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    "a long address": request(b"", path="/" + "a" * 70_000),
    "a long header": request(b"", headers={"X": "a" * 1_000_000}),
    "many headers": request(b"", headers={f"X{number}": "1" for number in range(200)}),
    "both lengths": request(b"{}", headers={"Transfer-Encoding": "chunked"}),
    "a bad chunk": request(b"zz\r\n{}", headers={"Transfer-Encoding": "chunked"}),
}


@pytest.mark.parametrize("name", NO_HTTP)
def test_what_is_not_even_http_ends_its_own_connection_alone(place: Place, name: str) -> None:
    message_id, good = place.good()
    with Wire(place.collector.port) as other:
        try:
            with Wire(place.collector.port) as wire:
                assert 400 <= wire.ask(NO_HTTP[name]).status < 500
                with pytest.raises(Closed):
                    wire.answer()
        except (Closed, ConnectionError):
            pass  # without a word
        assert other.ask(good).status == 200
    assert len(place.stored(message_id)) == 1


def test_a_client_that_closes_half_way_leaves_nothing_behind(place: Place) -> None:
    (count,) = place.rows("SELECT count(*)::int AS n FROM events")[0]
    body = request({"batch": [GOOD] * 10}, place.key)
    files = Path(f"/proc/{place.collector.process.pid}/fd")
    before = len(list(files.iterdir()))
    for end in (10, 100, len(body) - 1):
        for _ in range(20):
            with Wire(place.collector.port) as wire:
                wire.send(body[:end])
    _, good = place.good()
    with Wire(place.collector.port) as wire:
        assert wire.ask(good).status == 200
    assert place.rows("SELECT count(*)::int AS n FROM events")[0].n == count + 1
    deadline = time.monotonic() + 10
    while len(list(files.iterdir())) > before + 2:
        assert time.monotonic() < deadline, "connections stay open"
        time.sleep(0.05)


def test_a_client_that_leaves_before_its_answer_harms_nobody(place: Place) -> None:
    sent = [place.good() for _ in range(30)]
    for _, data in sent:
        with Wire(place.collector.port) as wire:
            wire.send(data)
    last, data = place.good()
    with Wire(place.collector.port) as wire:
        assert wire.ask(data).status == 200
    assert len(place.stored(last)) == 1
    assert all(len(place.stored(message_id)) <= 1 for message_id, _ in sent)


@pytest.mark.parametrize(
    ("change", "headers", "expected"),
    [
        ("UPDATE sources SET enabled = false", {}, (403, "source_disabled")),
        ("UPDATE sources SET origins = '{https://shop.example}'",
         {"Origin": "https://evil.example"}, (403, "origin_not_allowed")),
        ("UPDATE sources SET rate = 0.001, burst = 1", {}, (429, "source_limited")),
    ],
)  # fmt: skip
def test_a_source_that_may_not_send_harms_no_other(
    place: Place, change: str, headers: dict[str, str | bytes], expected: tuple[int, str]
) -> None:
    name = expected[1]
    with place.database.transaction(Role.WORKER) as tx:
        key = add_source(tx, name, "server")
        tx.execute(f"{change} WHERE name = %s".encode(), [name])
    message_id, good = place.good()
    with Wire(place.collector.port) as wire:
        if expected[0] == 429:
            assert wire.ask(request({"batch": [GOOD]}, key)).status == 200
        answer = wire.ask(request({"batch": [GOOD]}, key, headers=headers))
        assert code(answer) == expected
        assert (expected[0] != 429) or int(answer.headers["retry-after"]) > 0
        assert wire.ask(good).status == 200
    assert len(place.stored(message_id)) == 1


def test_none_of_it_was_an_error_of_ours(place: Place) -> None:
    log = Path(place.collector.settings.LOG_PATH)
    assert place.collector.process.poll() is None
    assert not log.exists() or "ERROR" not in log.read_text()
