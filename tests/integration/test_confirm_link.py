"""The link that confirms an opt-in, as a person and a mail scanner use it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from horizon import clock, links
from horizon.events.nodes import node_of
from horizon.keys import Keys
from horizon.postgres.database import Database, Role
from tests.link_pages import assert_page, rows
from tests.servers.collector import Application, Collector
from tests.world import DAY, World

WORDING = "I agree to <receive> news."


@pytest.fixture
def collector(world: World) -> Iterator[Application]:
    with Application(world.horizon.settings.changed(BRAND="Fish & <Chips>")) as running:
        yield running


def asked(database: Database, keys: Keys, **changes: Any) -> tuple[UUID, str]:
    """Ann's opt-in; its id and its link's path."""
    address = node_of(keys.node, "email", "ann@example.com")
    values = {
        "opt_in_id": uuid4(), "node": address, "address_hash": address, "purpose": "marketing",
        "language": "en", "asked_at": clock.now() - timedelta(hours=1), **changes,
    }  # fmt: skip
    with database.transaction(Role.WORKER) as tx:
        tx.execute(
            "INSERT INTO opt_ins (opt_in_id, node, address_hash, to_addr, purpose, channel, wording,"
            " language, asked_at) VALUES (%(opt_in_id)s, %(node)s, %(address_hash)s,"
            " 'ann@example.com', %(purpose)s, 'email', 'I agree to <receive> news.', %(language)s,"
            " %(asked_at)s)",
            values,
        )
    return values["opt_in_id"], "/y/" + links.sign(keys.link, values["opt_in_id"], "confirm")


def suppress(database: Database, *rows: tuple[UUID, str, str]) -> None:
    with database.transaction(Role.WORKER) as tx:
        tx.cursor().executemany(
            "INSERT INTO suppressions VALUES (%s, %s, %s, '2026-01-01')", list(rows)
        )


def test_the_button_confirms_once_however_often_it_is_pressed(
    collector: Application, database: Database, keys: Keys
) -> None:
    _, path = asked(database, keys)
    page = collector.ask("GET", path)
    assert_page(page, 200, "Do you want these emails?")
    assert b'<form method="post">' in page.body
    assert b"I agree to &lt;receive&gt; news." in page.body
    assert b"Fish &amp; &lt;Chips&gt;" in page.body
    assert_page(collector.ask("POST", path), 200, "Thank you, it is confirmed")
    for method in ("POST", "GET", "POST"):
        assert_page(collector.ask(method, path), 200, "This is confirmed already")

    address = node_of(keys.node, "email", "ann@example.com")
    (consent,) = rows(database, "consents")
    (event,) = rows(database, "events")
    (opt_in,) = rows(database, "opt_ins")
    assert (consent["node"], consent["address_hash"]) == (address, address)
    assert (consent["purpose"], consent["channel"], consent["granted"]) == (
        "marketing",
        "email",
        True,
    )
    assert (consent["way"], consent["wording"], consent["actor"]) == ("opt_in", WORDING, "person")
    assert consent["event_id"] == event["event_id"]
    assert opt_in["confirmed_at"] == consent["time"] == event["time"]
    assert (event["type"], event["name"], event["activity"]) == (
        "track",
        "Consent Confirmed",
        False,
    )
    assert (event["nodes"], event["trusted"]) == ([address], True)
    assert json.loads(event["properties"]) == {
        "purpose": "marketing", "channel": "email", "way": "opt_in",
    }  # fmt: skip


def test_looking_and_scanning_change_nothing(
    collector: Application, database: Database, keys: Keys
) -> None:
    _, path = asked(database, keys)
    head = collector.ask("HEAD", path)
    assert (head.status, head.body) == (200, b"")
    for _ in range(3):
        assert collector.ask("GET", path).status == 200
    assert rows(database, "consents") == rows(database, "events") == []
    put = collector.ask("PUT", path)
    assert (put.status, put.headers["allow"]) == (405, "GET, HEAD, POST")
    assert collector.ask("POST", path, b"x" * 70_000).status == 400
    assert rows(database, "opt_ins")[0]["confirmed_at"] is None


def test_the_link_over_http(world: World, database: Database, keys: Keys) -> None:
    _, path = asked(database, keys)
    with Collector(world.horizon.settings) as collector:
        assert collector.ask("HEAD", path).body == b""
        assert rows(database, "consents") == []
        assert collector.ask("POST", path).status == 200
    assert len(rows(database, "consents")) == 1


@pytest.mark.parametrize(
    ("state", "titles"),
    [
        ({}, ("Möchten Sie diese E-Mails?", "Danke, das ist bestätigt")),
        ({"asked_at": clock.now() - 31 * DAY}, ("Dieser Link ist zu alt", "Dieser Link ist zu alt")),
    ],
)  # fmt: skip
def test_the_page_speaks_the_wish_s_language(
    state: dict[str, Any], titles: tuple[str, str], collector: Application, database: Database,
    keys: Keys,
) -> None:  # fmt: skip
    _, path = asked(database, keys, language="de", **state)
    status = 410 if state else 200
    assert_page(collector.ask("GET", path), status, titles[0], "de")
    assert_page(collector.ask("POST", path), status, titles[1], "de")
    assert len(rows(database, "consents")) == (0 if state else 1)


def test_a_link_works_for_thirty_days(
    collector: Application, database: Database, keys: Keys
) -> None:
    minute = timedelta(minutes=1)
    _, old = asked(database, keys, asked_at=clock.now() - 30 * DAY - minute)
    _, young = asked(database, keys, asked_at=clock.now() - 30 * DAY + minute)
    assert_page(collector.ask("POST", old), 410, "This link is too old")
    assert rows(database, "consents") == rows(database, "events") == []
    assert_page(collector.ask("POST", young), 200, "Thank you, it is confirmed")


def test_a_link_that_is_not_ours_is_not_found(
    collector: Application, database: Database, keys: Keys
) -> None:
    opt_in_id, path = asked(database, keys)
    others = [
        "/y/" + links.sign(bytes(32), opt_in_id, "confirm"),
        "/y/" + links.sign(keys.link, uuid4(), "confirm"),
        "/y/" + links.sign(keys.link, opt_in_id, "unsubscribe"),
        "/y/", "/y/x", path[:-1], path + "x", path + "/x",
    ]  # fmt: skip
    for bad in others:
        for method in ("GET", "POST"):
            assert_page(collector.ask(method, bad), 404, "This link does not work")
    # A token for one thing opens no other.
    crossed = "/u/" + links.sign(keys.link, opt_in_id, "confirm")
    assert collector.ask("POST", crossed).status == 404
    assert rows(database, "consents") == rows(database, "suppressions") == []


def test_it_lifts_that_purpose_s_unsubscription_and_nothing_else(
    collector: Application, database: Database, keys: Keys
) -> None:
    address = node_of(keys.node, "email", "ann@example.com")
    other = node_of(keys.node, "email", "bob@example.com")
    stays = [
        (address, "tracking", "unsubscribed"), (address, "*", "unsubscribed"),
        (other, "marketing", "unsubscribed"),
    ]  # fmt: skip
    suppress(database, (address, "marketing", "unsubscribed"), *stays)
    _, path = asked(database, keys)
    assert collector.ask("POST", path).status == 200
    left = [
        (row["address_hash"], row["purpose"], row["reason"])
        for row in rows(database, "suppressions")
    ]
    assert sorted(left) == sorted(stays)


@pytest.mark.parametrize("reason", ["manual", "complaint", "hard_bounce"])
def test_it_lifts_no_bounce_complaint_or_operator_s_word(
    reason: str, collector: Application, database: Database, keys: Keys
) -> None:
    suppress(database, (node_of(keys.node, "email", "ann@example.com"), "marketing", reason))
    _, path = asked(database, keys)
    assert collector.ask("POST", path).status == 200
    assert len(rows(database, "suppressions")) == 1


def test_two_browsers_at_once_are_one_record(world: World, database: Database, keys: Keys) -> None:
    _, path = asked(database, keys)
    with Application(world.horizon.settings) as one, Application(world.horizon.settings) as other:
        threads = [
            threading.Thread(target=running.ask, args=("POST", path))
            for running in (one, other) * 3
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(rows(database, "consents")) == len(rows(database, "events")) == 1


def test_without_the_database_the_page_asks_to_try_again(
    collector: Application, database: Database, keys: Keys
) -> None:
    _, path = asked(database, keys)
    with database.named("postgres").connect(autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {database.name} ALLOW_CONNECTIONS false".encode())
        database.disconnect(admin)
        answer = collector.ask("POST", path)
    assert_page(answer, 503, "That did not work just now")
    assert int(answer.headers["retry-after"]) > 0


def wish(world: World, user: str, address: str) -> dict[str, Any]:
    return {
        "type": "identify", "userId": user, "traits": {"email": address},
        "context": {"consent": {"categoryPreferences": {"marketing.email": True}}},
    }  # fmt: skip


def confirm_all(world: World, collector: Application) -> None:
    for row in world.rows("SELECT opt_in_id FROM opt_ins WHERE confirmed_at IS NULL"):
        path = "/y/" + links.sign(world.horizon.keys.link, row.opt_in_id, "confirm")
        assert collector.ask("POST", path).status == 200


def planned(world: World) -> dict[str, str | None]:
    world.now = clock.now()
    world.score()
    world.alert()
    world.plan()
    found = world.rows(
        "SELECT to_addr, reason FROM messages WHERE campaign = 'miss_you' ORDER BY planned_at"
    )
    return {row.to_addr: row.reason for row in found}


def test_who_unsubscribed_and_asks_again_gets_mail_again(
    world: World, collector: Application
) -> None:
    """The form knows a visitor alone; the confirmed address is the customer's, so it counts for
    the customer, whose own node had refused."""
    world.now = clock.now()
    world.person("ann", 13 * DAY)
    world.put(world.identify("ann", 2 * DAY, email="ann@example.com", consent=False))
    world.identify_all()
    suppress(world.horizon.database,
             (node_of(world.horizon.keys.node, "email", "ann@example.com"), "marketing", "unsubscribed"))  # fmt: skip
    anonymous = wish(world, "x", "ANN@example.com") | {"userId": None, "anonymousId": "browser-1"}
    world.put(anonymous, kind="public")
    world.identify_all()
    confirm_all(world, collector)
    assert planned(world) == {"ann@example.com": None}
    (row,) = world.rows("SELECT node FROM consents WHERE way = 'opt_in'")
    assert row.node == node_of(world.horizon.keys.node, "user_id", "ann")


def test_nobody_can_agree_for_another_by_naming_him(world: World, collector: Application) -> None:
    """Mallory types Ann's user id beside an address of his own, and confirms there."""
    world.now = clock.now()
    world.person("ann", 13 * DAY, consent=None)
    world.put(wish(world, "ann", "mallory@example.com"), kind="public")
    world.identify_all()
    confirm_all(world, collector)
    assert planned(world) == {"ann@example.com": "no_consent"}
