"""Opens and clicks, as people, scanners and forgers ask for them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from horizon import links
from horizon.edge import responses
from horizon.events.nodes import node_of
from horizon.keys import Keys
from horizon.postgres.database import Database, Role
from horizon.settings import Settings
from tests import link_pages
from tests.link_pages import rows
from tests.servers.collector import Answer, Application, Collector

BROWSER = {
    "User-Agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/131.0.0.0 Safari/537.36"
}
SHOP = "https://shop.example/a?b=1&c=%20#d"


@pytest.fixture
def collector(settings: Settings) -> Iterator[Application]:
    with Application(settings) as running:
        yield running


class Mail:
    """A mail that was sent to Ann, with a link to the shop."""

    def __init__(self, database: Database, keys: Keys, **changes: Any) -> None:
        self.database = database
        self.keys = keys
        self.node = node_of(keys.node, "user_id", "ann")
        self.address = node_of(keys.node, "email", "ann@example.com")
        changes = {"node": self.node, "address_hash": self.address, **changes}
        self.message_id, _ = link_pages.mail(database, keys, **changes)
        self.target_id = self.target(SHOP)
        self.token = links.sign(keys.link, self.message_id, "track")
        self.pixel = f"/o/{self.token}"
        self.link = self.link_to(self.target_id)

    def target(self, url: str) -> int:
        with self.database.transaction(Role.WORKER) as tx:
            row = tx.execute(
                "INSERT INTO click_targets (url) VALUES (%s) ON CONFLICT DO NOTHING "
                "RETURNING target_id", [url]
            ).fetchone()  # fmt: skip
            row = (
                row
                or tx.execute(
                    "SELECT target_id FROM click_targets WHERE url = %s", [url]
                ).fetchone()
            )
        assert row is not None
        return int(row.target_id)

    def link_to(self, target_id: int | str) -> str:
        return f"/c/{self.token}/{target_id}"

    def consent(
        self, granted: bool = True, ago: timedelta = timedelta(days=1), **changes: Any
    ) -> None:
        values = {
            "node": self.node, "address_hash": self.address, "purpose": "tracking",
            "time": datetime.now(UTC) - ago, **changes,
        }  # fmt: skip
        link_pages.say(self.database, self.keys, granted=granted, **values)


def written(database: Database, count: int) -> list[dict[str, Any]]:
    """The responses, once there are so many; they are written behind the answer."""
    deadline = time.monotonic() + 10
    while len(found := rows(database, "responses ORDER BY 1")) < count:
        assert time.monotonic() < deadline, f"{len(found)} of {count} responses"
        time.sleep(0.02)
    return found


def assert_redirects(answer: Answer, to: str = SHOP) -> None:
    assert (answer.status, answer.headers["location"], answer.body) == (302, to, b"")
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    assert "set-cookie" not in answer.headers


def test_a_click_goes_on_and_is_an_event_that_is_no_activity(
    settings: Settings, database: Database, keys: Keys
) -> None:
    mail = Mail(database, keys)
    mail.consent()
    with Collector(settings) as collector:
        assert_redirects(collector.ask("GET", mail.link, headers=BROWSER))
        (response,) = written(database, 1)
    (event,) = rows(database, "events")
    assert (event["type"], event["name"], event["activity"]) == ("track", "Message Clicked", False)
    assert (event["nodes"], event["trusted"], event["era"]) == ([mail.node], True, 1)
    assert json.loads(event["properties"]) == {
        "message_id": str(mail.message_id), "campaign_id": "miss_you", "url": SHOP,
        "machine": None,
    }  # fmt: skip
    assert (response["message_id"], response["campaign"], response["kind"]) == (
        mail.message_id, "miss_you", "click",
    )  # fmt: skip
    assert (response["target_id"], response["machine"]) == (mail.target_id, None)
    assert (response["event_id"], response["time"]) == (event["event_id"], event["time"])
    # Remembered with the ids of its day, which go one day; what has no time is kept for ever.
    assert event["original_timestamp"] == event["time"]
    (known,) = rows(database, "event_ids")
    assert known["hour"] == event["time"].replace(minute=0, second=0, microsecond=0)


def test_an_open_is_a_picture_of_one_point(
    collector: Application, database: Database, keys: Keys
) -> None:
    mail = Mail(database, keys)
    mail.consent()
    answer = collector.ask("GET", mail.pixel, headers=BROWSER)
    assert (answer.status, answer.headers["content-type"]) == (200, "image/gif")
    assert answer.body[:6] == b"GIF89a"
    assert answer.body[6:10] == b"\x01\0\x01\0"
    assert answer.headers["cache-control"] == "no-store"
    assert "set-cookie" not in answer.headers
    (response,) = written(database, 1)
    assert (response["kind"], response["target_id"], response["machine"]) == ("open", None, None)
    (event,) = rows(database, "events")
    assert (event["name"], event["activity"]) == ("Message Opened", False)
    assert json.loads(event["properties"]) == {
        "message_id": str(mail.message_id), "campaign_id": "miss_you", "machine": None,
    }  # fmt: skip


def test_head_over_http_has_the_headers_and_no_body(
    settings: Settings, database: Database, keys: Keys
) -> None:
    mail = Mail(database, keys)
    with Collector(settings) as collector:
        assert_redirects(collector.ask("HEAD", mail.link, headers=BROWSER))
        pixel = collector.ask("HEAD", mail.pixel, headers=BROWSER)
    assert (pixel.status, pixel.headers["content-type"], pixel.body) == (200, "image/gif", b"")


def test_where_somebody_asks_from_and_with_what_is_kept_nowhere(
    settings: Settings, database: Database, keys: Keys
) -> None:
    mail = Mail(database, keys)
    mail.consent()
    headers = {**BROWSER, "X-Forwarded-For": "203.0.113.77", "Referer": "https://mail.example/x"}
    with Collector(settings) as collector:
        assert collector.ask("GET", mail.link, headers=headers).status == 302
        written(database, 1)
    kept = repr(rows(database, "events")) + repr(rows(database, "responses"))
    for trace in ("203.0.113.77", "127.0.0.1", "mail.example", "Chrome"):
        assert trace not in kept


YESTERDAY, LONG_AGO = timedelta(days=1), timedelta(days=9)
COUNTED = [
    ("agreed", [{}], True),
    ("never asked", [], False),
    ("agreed to mails alone", [{"purpose": "marketing"}], False),
    ("agreed for another channel", [{"channel": "sms"}], False),
    ("agreed and withdrew", [{"ago": LONG_AGO}, {"granted": False}], False),
    ("withdrew and agreed again", [{"ago": LONG_AGO, "granted": False}, {}], True),
    # The strictest of node and address, as for sending.
    ("the address said no", [{"node": UUID(int=5), "granted": False}], False),
    ("a yes of the address alone", [{"node": UUID(int=5)}], True),
    ("a yes that is not yet given", [{"ago": -YESTERDAY}], False),
    ("a no from a clock that is ahead", [{}, {"ago": -YESTERDAY, "granted": False}], False),
]


@pytest.mark.parametrize(("case", "said", "counted"), COUNTED, ids=[case[0] for case in COUNTED])
def test_only_who_agrees_at_the_time_of_the_fetch_is_counted(
    collector: Application, database: Database, keys: Keys,
    case: str, said: list[dict[str, Any]], counted: bool,
) -> None:  # fmt: skip
    mail, witness = Mail(database, keys), Mail(database, keys, node=UUID(int=9), address_hash=None)
    for change in said:
        mail.consent(**change)
    witness.consent(node=UUID(int=9), address_hash=None)
    with database.transaction(Role.OWNER) as tx:  # the witness is a profile of its own
        tx.execute(
            "INSERT INTO profiles (created_at) VALUES (now()), (now());"
            "UPDATE messages SET profile_id = 2 WHERE address_hash IS NULL"
        )
        for node, profile in ((mail.node, 1), (UUID(int=9), 2)):
            tx.execute(
                "INSERT INTO nodes (node, kind, value, profile_id, first_seen)"
                " VALUES (%s, 'user_id', %s, %s, now())",
                [node, str(node), profile],
            )
    assert_redirects(collector.ask("GET", mail.link, headers=BROWSER))
    assert collector.ask("GET", mail.pixel, headers=BROWSER).status == 200
    assert_redirects(collector.ask("GET", witness.link, headers=BROWSER))  # written last
    found = written(database, 3 if counted else 1)
    assert [one["kind"] for one in found if one["message_id"] == mail.message_id] == (
        ["click", "open"] if counted else []
    )
    assert len(rows(database, "events")) == len(found)


def test_withdrawing_between_two_clicks_ends_the_counting(
    collector: Application, database: Database, keys: Keys
) -> None:
    mail = Mail(database, keys)
    mail.consent()
    collector.ask("GET", mail.link, headers=BROWSER)
    written(database, 1)
    mail.consent(granted=False, ago=timedelta())
    for path in (mail.link, mail.pixel):
        assert collector.ask("GET", path, headers=BROWSER).status in (302, 200)
    other = Mail(database, keys, node=UUID(int=9), address_hash=UUID(int=10))
    other.consent(node=UUID(int=9), address_hash=UUID(int=10))
    collector.ask("GET", other.link, headers=BROWSER)
    assert [one["message_id"] for one in written(database, 2)] == [
        mail.message_id, other.message_id,
    ]  # fmt: skip


def test_to_hear_less_often_is_no_answer_to_tracking_and_a_complaint_is(
    collector: Application, database: Database, keys: Keys
) -> None:
    mail = Mail(database, keys)
    mail.consent()
    with database.transaction(Role.WORKER) as tx:
        tx.execute(
            "INSERT INTO preferences (address_hash, channel, every_days, paused_until, time, way) "
            "VALUES (%s, 'email', 30, now() + interval '30 days', now(), 'page')", [mail.address]
        )  # fmt: skip
    collector.ask("GET", mail.link, headers=BROWSER)
    written(database, 1)
    with database.transaction(Role.WORKER) as tx:
        tx.execute("INSERT INTO suppressions VALUES (%s, '*', 'complaint', now())", [mail.address])
    assert_redirects(collector.ask("GET", mail.link, headers=BROWSER))
    other = Mail(database, keys, node=UUID(int=9), address_hash=UUID(int=10))
    other.consent(node=UUID(int=9), address_hash=UUID(int=10))
    collector.ask("GET", other.link, headers=BROWSER)
    assert written(database, 2)[-1]["message_id"] == other.message_id


def test_what_is_not_ours_leads_nowhere(
    collector: Application, database: Database, keys: Keys
) -> None:
    mail = Mail(database, keys)
    mail.consent()
    forged = links.sign(bytes(32), mail.message_id, "track")
    other_purpose = links.sign(keys.link, mail.message_id, "unsubscribe")
    bad = [
        f"/c/{forged}/{mail.target_id}", f"/c/{other_purpose}/{mail.target_id}",
        f"/o/{forged}", f"/o/{other_purpose}", "/o/", "/c/", f"/c/{mail.token}", mail.pixel + "x",
        *(mail.link_to(text) for text in (
            "", "0", "999", f"0{mail.target_id}", f"+{mail.target_id}", f"{mail.target_id}/",
            "-1", "9223372036854775808", "9" * 19, "9" * 400, "²", "https://evil.example/",
            "//evil.example",
        )),
    ]  # fmt: skip
    for path in bad:
        answer = collector.ask("GET", path, headers=BROWSER)
        assert (answer.status, answer.headers.get("location")) == (404, None), path
        assert b"This link does not work" in answer.body
    for path in (mail.link, mail.pixel):
        refused = collector.ask("POST", path, b"x")
        assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD")
    collector.ask("GET", mail.pixel, headers=BROWSER)
    assert len(written(database, 1)) == 1


def test_a_target_cannot_write_headers_or_leave_http(database: Database, keys: Keys) -> None:
    mail = Mail(database, keys)
    for url in (
        "javascript:alert(1)",
        "//evil.example",
        "ftp://x.example",
        "https://" + "x" * 2000,
    ):
        with pytest.raises(psycopg.errors.CheckViolation):
            mail.target(url)


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("https://shop.example/a\r\nSet-Cookie: x=1", "https://shop.example/a%0D%0ASet-Cookie:%20x=1"),
        ("https://shop.example/grüße?q=ä", "https://shop.example/gr%C3%BC%C3%9Fe?q=%C3%A4"),
        ("HTTPS://shop.example/%7Ea;b=(c)*!'~[1]@,$+", "HTTPS://shop.example/%7Ea;b=(c)*!'~[1]@,$+"),
    ],
)  # fmt: skip
def test_a_target_s_address_is_one_header(
    settings: Settings, database: Database, keys: Keys, url: str, location: str
) -> None:
    mail = Mail(database, keys)
    with Application(settings) as collector:
        assert_redirects(collector.ask("GET", mail.link_to(mail.target(url))), location)


def test_machines_are_told_apart(collector: Application, database: Database, keys: Keys) -> None:
    mail = Mail(database, keys)
    mail.consent()
    head = collector.ask("HEAD", mail.link, headers=BROWSER)
    assert_redirects(head)
    pixel = collector.ask("HEAD", mail.pixel, headers=BROWSER)
    assert (pixel.status, pixel.headers["content-type"], pixel.body) == (200, "image/gif", b"")
    others: list[dict[str, str]] = [
        {"User-Agent": "Mozilla/5.0"}, {"User-Agent": "Barracuda Sentinel (EE)"}, {},
        {**BROWSER, "Sec-Purpose": "prefetch"}, BROWSER,
    ]  # fmt: skip
    for number, headers in enumerate(others):
        written(database, 2 + number)  # of the same fetch in one group the first would count
        collector.ask("GET", mail.link, headers=headers)
    found = written(database, 7)
    assert [(one["kind"], one["machine"]) for one in found] == [
        ("click", "head"), ("open", "head"), ("click", "agent"), ("click", "agent"),
        ("click", "agent"), ("click", "prefetch"), ("click", None),
    ]  # fmt: skip


def test_a_double_click_is_one_click(
    collector: Application, database: Database, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(responses, "GROUP_S", 1.0)  # on a machine with much else to do
    mail = Mail(database, keys)
    mail.consent()
    for _ in range(5):
        assert_redirects(collector.ask("GET", mail.link, headers=BROWSER))
    collector.ask("GET", mail.pixel, headers=BROWSER)
    assert {one["kind"] for one in written(database, 2)} == {"click", "open"}
    assert len(rows(database, "events")) == len(rows(database, "responses")) == 2


def test_a_message_is_counted_a_thousand_times_at_most(
    collector: Application, database: Database, keys: Keys
) -> None:
    mail = Mail(database, keys)
    mail.consent()
    with database.transaction(Role.OWNER) as tx:
        tx.execute(
            "INSERT INTO responses (message_id, campaign, kind, time, event_id) "
            "SELECT %s, 'miss_you', 'open', now(), gen_random_uuid() FROM generate_series(1, 999)",
            [mail.message_id],
        )
    collector.ask("GET", mail.link, headers=BROWSER)
    written(database, 1000)
    assert_redirects(collector.ask("GET", mail.link, headers=BROWSER))
    other = Mail(database, keys)
    collector.ask("GET", other.link, headers=BROWSER)
    assert written(database, 1001)[-1]["message_id"] == other.message_id


def test_without_the_database_a_click_still_goes_on_and_is_written_later(
    settings: Settings, database: Database, keys: Keys
) -> None:
    mail = Mail(database, keys)
    mail.consent()
    with Application(settings) as collector:
        # Asked after the targets were: the one that comes now is not among those it knows.
        assert collector.ask("GET", "/readyz").status == 200
        unseen = Mail(database, keys).target("https://shop.example/new")
        assert_redirects(collector.ask("GET", mail.link, headers=BROWSER))
        written(database, 1)
        with database.named("postgres").connect(autocommit=True) as admin:
            name = database.name.encode()
            admin.execute(b"ALTER DATABASE " + name + b" ALLOW_CONNECTIONS false")
            database.disconnect(admin)
            began_s = time.monotonic()
            assert_redirects(collector.ask("GET", mail.link, headers=BROWSER))
            assert collector.ask("GET", mail.pixel, headers=BROWSER).status == 200
            assert time.monotonic() - began_s < 0.5
            later = collector.ask("GET", mail.link_to(unseen), headers=BROWSER)
            assert (later.status, later.headers["retry-after"]) == (503, "30")
            time.sleep(0.5)
            admin.execute(b"ALTER DATABASE " + name + b" ALLOW_CONNECTIONS true")
        found = written(database, 3)
        assert_redirects(collector.ask("GET", mail.link_to(unseen)), to="https://shop.example/new")
    assert [one["kind"] for one in found] == ["click", "click", "open"]


def test_a_collector_that_starts_knows_the_targets_before_the_first_click(
    settings: Settings, database: Database, keys: Keys
) -> None:
    mail = Mail(database, keys)
    with Application(settings) as collector:
        assert collector.ask("GET", "/readyz").status == 200  # asked after the targets were
        with database.named("postgres").connect(autocommit=True) as admin:
            name = database.name.encode()
            admin.execute(b"ALTER DATABASE " + name + b" ALLOW_CONNECTIONS false")
            database.disconnect(admin)
            assert_redirects(collector.ask("GET", mail.link, headers=BROWSER))
            admin.execute(b"ALTER DATABASE " + name + b" ALLOW_CONNECTIONS true")


def test_what_waits_is_written_when_the_collector_is_told_to_stop(
    settings: Settings, database: Database, keys: Keys
) -> None:
    mail = Mail(database, keys)
    mail.consent()
    with Application(settings) as collector:
        collector.ask("GET", mail.pixel, headers=BROWSER)
    assert len(rows(database, "responses")) == 1


def lost(settings: Settings) -> list[tuple[int, str | None]]:
    lines = [json.loads(line) for line in settings.log_path.read_text().splitlines()]
    return [(one["count"], one["error"]) for one in lines if one["message"] == "responses_lost"]


def test_what_cannot_be_written_is_counted_as_lost_and_the_next_is_written(
    settings: Settings, database: Database, keys: Keys
) -> None:
    mail = Mail(database, keys)
    mail.consent()
    with Application(settings) as collector:
        with database.transaction(Role.OWNER) as tx:
            tx.execute("ALTER TABLE responses RENAME COLUMN machine TO device")
        assert_redirects(collector.ask("GET", mail.link, headers=BROWSER))
        deadline = time.monotonic() + 10
        while not settings.log_path.exists() or not lost(settings):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        with database.transaction(Role.OWNER) as tx:
            tx.execute("ALTER TABLE responses RENAME COLUMN device TO machine")
        assert rows(database, "events") == []  # both or neither
        assert_redirects(collector.ask("GET", mail.link, headers=BROWSER))
        written(database, 1)
    assert lost(settings) == [(1, "UndefinedColumn")]


def test_no_more_waits_than_may(
    settings: Settings, database: Database, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    mail = Mail(database, keys)
    mail.consent()
    monkeypatch.setattr(responses, "CAPACITY_FETCHES", 2)
    monkeypatch.setattr(responses, "GROUP_S", 1.0)
    with Application(settings) as collector:
        for headers in (BROWSER, {}, {**BROWSER, "X-Moz": "prefetch"}):
            assert_redirects(collector.ask("GET", mail.link, headers=headers))
    assert [one["machine"] for one in rows(database, "responses")] == [None, "agent"]
    assert lost(settings) == [(1, None)]
