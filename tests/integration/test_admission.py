"""Who may send: keys, origins and rates of sources, as a collector applies them."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from horizon import clock
from horizon.edge import group_commit
from horizon.edge.segment import _user_of
from horizon.events.sources import add_source, key_digest
from horizon.postgres.database import Database, Role, closing_connection
from horizon.serving import key_use, known_keys
from horizon.settings import Settings
from horizon.sources import registry
from tests.servers.collector import Answer, Application, Collector

GOOD = {"type": "track", "userId": "u1", "event": "Viewed"}
PAGE = "https://shop.example"


@pytest.fixture(autouse=True)
def _read_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_keys, "FRESH_S", 0.0)
    monkeypatch.setattr(known_keys, "_APART_S", 0.0)
    monkeypatch.setattr(key_use, "NOTED_AFTER_S", 0.02)


@pytest.fixture
def app(settings: Settings) -> Iterator[Application]:
    with Application(settings) as running:
        yield running


@pytest.fixture
def key(database: Database) -> str:
    return made(database, "shop")


def made(database: Database, name: str, **limits: object) -> str:
    with database.transaction(Role.WORKER) as tx:
        return add_source(tx, name, "public", **limits)  # type: ignore[arg-type]


def rotated(database: Database, name: str, old_for: timedelta) -> str:
    now = clock.now()
    with database.transaction(Role.WORKER) as tx:
        return registry.rotate(tx, name, now=now, old_until=now + old_for)


def the(database: Database, name: str) -> dict[str, object]:
    with database.transaction(Role.WORKER) as tx:
        return registry.sources(tx, name)[0]


def code(answer: Answer) -> tuple[int, str]:
    assert answer.headers["access-control-allow-origin"] == "*"  # else the page cannot read it
    return answer.status, answer.json["code"]


def test_each_refusal_says_what_to_do(app: Application, database: Database, key: str) -> None:
    assert app.post("/v1/t", GOOD, key).status == 200
    unknown = app.post("/v1/t", GOOD, "x" * 32)
    assert code(unknown) == (401, "unknown_key")
    assert "`horizon source add NAME`" in unknown.json["message"]
    with database.transaction(Role.WORKER) as tx:
        registry.enable(tx, "shop", enabled=False)
    disabled = app.post("/v1/t", GOOD, key)
    assert code(disabled) == (403, "source_disabled")
    assert "`horizon source enable shop`" in disabled.json["message"]
    with database.transaction(Role.WORKER) as tx:
        registry.enable(tx, "shop", enabled=True)
    assert app.post("/v1/t", GOOD, key).status == 200


def test_a_page_of_another_origin_is_refused_so_that_it_can_read_why(
    app: Application, database: Database
) -> None:
    key = made(database, "shop", origins=[PAGE, "https://*.shop.example"])
    for origin in (PAGE, "https://www.shop.example"):
        assert app.post("/v1/t", GOOD, key, Origin=origin).status == 200
    assert app.post("/v1/t", GOOD, key).status == 200  # no browser
    for origin in ("https://evil.example", "http://shop.example", "null", "\xe9"):
        refused = app.post("/v1/t", GOOD, key, Origin=origin)
        assert code(refused) == (403, "origin_not_allowed")
        assert "`horizon source set shop --origin ORIGIN`" in refused.json["message"]
    preflight = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    assert app.ask("OPTIONS", "/v1/t", b"", preflight).status == 204  # it cannot carry the key
    with database.transaction(Role.WORKER) as tx:
        registry.change(tx, "shop", origins=[])
    assert app.post("/v1/t", GOOD, key, Origin="https://evil.example").status == 200


def test_a_limit_is_one_source_s_alone(
    settings: Settings, database: Database, free_port: Callable[[], int]
) -> None:
    slow = made(database, "slow", rate=5.0, burst=10.0)
    quick = made(database, "quick")
    batch = {"batch": [GOOD] * 5}
    answers: dict[str, list[Answer]] = {slow: [], quick: []}
    with Collector(settings, free_port()) as collector:

        def send(key: str) -> None:
            until_s = time.monotonic() + 2
            while time.monotonic() < until_s:
                answers[key].append(collector.post("/v1/batch", batch, key))

        senders = [threading.Thread(target=send, args=[key]) for key in answers]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
    assert {answer.status for answer in answers[quick]} == {200}
    taken = [answer for answer in answers[slow] if answer.status == 200]
    assert 2 <= len(taken) <= 5  # of 10 at once, 5 a second for 2 s, and one batch in debt
    refused = [answer for answer in answers[slow] if answer.status != 200]
    assert {code(answer) for answer in refused} == {(429, "source_limited")}
    assert {answer.headers["retry-after"] for answer in refused} <= {"1", "2"}
    assert "`horizon source set slow --rate N`" in refused[0].json["message"]
    with database.transaction(Role.OWNER) as tx:
        query = "SELECT sources.name, count(*)::int AS n FROM events JOIN sources USING (source_id) GROUP BY 1"
        found = {row.name: row.n for row in tx.execute(query)}  # type: ignore[arg-type]
    assert found == {"slow": 5 * len(taken), "quick": 5 * len(answers[quick])}


def test_the_two_collectors_of_a_home_share_a_limit(
    settings: Settings, database: Database, free_port: Callable[[], int]
) -> None:
    key = made(database, "slow", rate=0.1, burst=4.0)
    with Collector(settings, free_port()) as one, Collector(settings, free_port()) as other:
        answers = [where.post("/v1/t", GOOD, key).status for where in (one, other) * 4]
    assert answers == [200] * 4 + [429] * 4


def test_what_could_not_be_taken_is_not_charged(
    app: Application, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "WAIT_S", 0.1)
    monkeypatch.setattr(group_commit, "_LOOK_S", 0.05)
    key = made(database, "slow", rate=0.01, burst=2.0)
    with closing_connection(database.connect()) as holder, holder:
        holder.execute("LOCK TABLE event_ids IN EXCLUSIVE MODE")
        refused = [app.post("/v1/t", {**GOOD, "messageId": "m"}, key).status for _ in range(4)]
    assert refused == [503] * 4
    assert app.post("/v1/t", {**GOOD, "messageId": "m"}, key).status == 200


def test_a_key_that_none_can_have_is_not_remembered(app: Application, database: Database) -> None:
    made(database, "shop")
    app.post("/v1/t", GOOD)  # the header that is not there is remembered
    before = (key_digest.cache_info().currsize, _user_of.cache_info().currsize)
    for number in range(5):
        long = f"{number}" + "x" * 100_000
        assert code(app.post("/v1/t", {**GOOD, "writeKey": long})) == (401, "unknown_key")
        answer = app.post("/v1/t", GOOD, Authorization=f"Basic {long}")
        assert code(answer) == (401, "missing_key")
    assert (key_digest.cache_info().currsize, _user_of.cache_info().currsize) == before


def test_a_raised_limit_counts_at_once(app: Application, database: Database) -> None:
    key = made(database, "slow", rate=0.01)
    assert app.post("/v1/t", GOOD, key).status == 200
    assert app.post("/v1/t", GOOD, key).status == 429
    assert app.post("/v1/batch", {"batch": []}, key).status == 200
    with database.transaction(Role.WORKER) as tx:
        assert registry.change(tx, "slow", rate=0.0)["rate"] is None
    assert app.post("/v1/t", GOOD, key).status == 200


def test_no_event_is_refused_while_a_key_is_changed(
    settings: Settings, database: Database, key: str
) -> None:
    """Load on both keys, while the new one is made, taken up, and the old one ended."""
    statuses: list[int] = []
    current = [key]
    done = threading.Event()

    def send() -> None:
        while not done.is_set():
            statuses.append(collector.post("/v1/t", GOOD, current[0]).status)

    with Collector(settings) as collector:
        senders = [threading.Thread(target=send) for _ in range(3)]
        for sender in senders:
            sender.start()
        time.sleep(0.3)
        new = rotated(database, "shop", timedelta(days=7))
        old = current[0]
        assert collector.post("/v1/t", GOOD, new).status == 200
        assert collector.post("/v1/t", GOOD, old).status == 200
        current[0] = new
        time.sleep(0.3)
        with database.transaction(Role.WORKER) as tx:
            registry.finish_rotation(tx, "shop", now=clock.now(), force=True)
        time.sleep(3.2)  # what the collector remembered of the old key
        done.set()
        for sender in senders:
            sender.join()
        assert code(collector.post("/v1/t", GOOD, old)) == (401, "expired_key")
    assert set(statuses) == {200}
    assert len(statuses) > 100


def test_an_old_key_ends_by_itself(app: Application, database: Database, key: str) -> None:
    new = rotated(database, "shop", timedelta(seconds=0.5))
    assert app.post("/v1/t", GOOD, key).status == 200
    time.sleep(0.6)
    ended = app.post("/v1/t", GOOD, key)
    assert code(ended) == (401, "expired_key")
    assert "send with the new one" in ended.json["message"]
    assert app.post("/v1/t", GOOD, new).status == 200
    third = rotated(database, "shop", timedelta(days=1))  # the ended one makes room
    assert [app.post("/v1/t", GOOD, one).status for one in (key, new, third)] == [401, 200, 200]


def test_it_is_noted_which_key_was_used_last(
    app: Application, database: Database, key: str
) -> None:
    new = rotated(database, "shop", timedelta(days=1))
    row = the(database, "shop")
    assert (row["key"], row["old_key"]) == (new[:6], key[:6])
    assert (row["last_used"], row["old_last_used"]) == (None, None)
    before = clock.now()
    app.post("/v1/t", GOOD, key)
    _until(lambda: the(database, "shop")["old_last_used"] is not None)
    row = the(database, "shop")
    assert before <= row["old_last_used"] <= clock.now()  # type: ignore[operator]
    assert row["last_used"] is None
    app.post("/v1/t", GOOD, new)
    _until(lambda: the(database, "shop")["last_used"] is not None)
    assert json.dumps(row, default=str).count(key) == 0


def test_what_was_used_last_is_noted_when_the_collector_stops(
    settings: Settings, database: Database, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_use, "NOTED_AFTER_S", 60.0)
    with Application(settings) as app:
        app.post("/v1/t", GOOD, key)
        _until(lambda: the(database, "shop")["last_used"] is not None)  # the first time at once
        first = the(database, "shop")["last_used"]
        app.post("/v1/t", GOOD, key)
        time.sleep(0.2)
        assert the(database, "shop")["last_used"] == first
    assert the(database, "shop")["last_used"] > first  # type: ignore[operator]


def _until(seen: Callable[[], bool]) -> None:
    until_s = time.monotonic() + 10
    while not seen():
        assert time.monotonic() < until_s
        time.sleep(0.02)
