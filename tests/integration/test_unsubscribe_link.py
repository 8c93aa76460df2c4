"""The unsubscribe link of a mail, as a mail provider and a person use it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from uuid import uuid4

import pytest

from horizon import links
from horizon.events.nodes import node_of
from horizon.keys import Keys
from horizon.postgres.database import Database, Role
from horizon.settings import Settings
from tests.link_pages import FORM, MULTIPART, ONE_CLICK, assert_page, mail, rows
from tests.servers.collector import Application, Collector


@pytest.fixture
def collector(settings: Settings) -> Iterator[Application]:
    with Application(settings.changed(BRAND="Fish & <Chips>")) as running:
        yield running


def test_one_click_unsubscribes_once_however_often_it_is_sent(
    collector: Application, database: Database, keys: Keys
) -> None:
    message_id, path = mail(database, keys)
    for _ in range(3):
        assert_page(collector.ask("POST", path, ONE_CLICK, FORM), 200, "You are unsubscribed")

    (event,) = rows(database, "events")
    (consent,) = rows(database, "consents")
    (suppression,) = rows(database, "suppressions")
    node = node_of(keys.node, "user_id", "u1")
    address = node_of(keys.node, "email", "ann@example.com")
    assert (event["type"], event["name"], event["activity"]) == ("track", "Unsubscribed", False)
    assert (event["nodes"], event["trusted"], event["era"]) == ([node], True, 1)
    assert json.loads(event["properties"]) == {
        "message_id": str(message_id), "campaign": "miss_you", "purpose": "marketing",
        "channel": "email", "way": "one_click",
    }  # fmt: skip
    assert (consent["node"], consent["address_hash"], consent["event_id"]) == (
        node, address, event["event_id"],
    )  # fmt: skip
    assert (consent["purpose"], consent["channel"], consent["granted"], consent["way"]) == (
        "marketing", "email", False, "one_click",
    )  # fmt: skip
    assert (suppression["address_hash"], suppression["purpose"], suppression["reason"]) == (
        address, "marketing", "unsubscribed",
    )  # fmt: skip
    assert suppression["message_id"] == message_id


def test_the_link_over_http(settings: Settings, database: Database, keys: Keys) -> None:
    _, path = mail(database, keys)
    with Collector(settings) as collector:
        page, head = collector.ask("GET", path), collector.ask("HEAD", path)
        assert (page.status, head.status, head.body) == (200, 200, b"")
        assert rows(database, "consents") == []
        assert collector.ask("POST", path, ONE_CLICK, FORM).status == 200
    assert len(rows(database, "consents")) == len(rows(database, "suppressions")) == 1


def test_a_multipart_one_click_is_one(
    collector: Application, database: Database, keys: Keys
) -> None:
    _, path = mail(database, keys)
    multipart = {"Content-Type": "multipart/form-data; boundary=x"}
    assert collector.ask("POST", path, MULTIPART, multipart).status == 200
    assert rows(database, "consents")[0]["way"] == "one_click"


def test_looking_changes_nothing_and_the_button_unsubscribes(
    collector: Application, database: Database, keys: Keys
) -> None:
    _, path = mail(database, keys)
    page = collector.ask("GET", path)
    assert_page(page, 200, "Stop these emails?")
    assert b'<form method="post">' in page.body
    head = collector.ask("HEAD", path)
    assert (head.status, head.body) == (200, b"")
    assert rows(database, "consents") == rows(database, "events") == []
    assert_page(collector.ask("POST", path, b"", FORM), 200, "You are unsubscribed")
    assert rows(database, "consents")[0]["way"] == "page"


def test_fewer_mails_are_offered_instead(
    collector: Application, database: Database, keys: Keys
) -> None:
    _, path = mail(database, keys)
    href = f'href="../p/{path[3:]}"'
    for answer in (collector.ask("GET", path), collector.ask("POST", path, b"", FORM)):
        assert href in answer.body.decode()


def test_the_pages_speak_german(collector: Application, database: Database, keys: Keys) -> None:
    _, path = mail(database, keys)
    german = {"Accept-Language": "de-CH, en;q=0.5", **FORM}
    page = collector.ask("GET", path, b"", german)
    assert_page(page, 200, "Diese E-Mails abbestellen?", "de")
    assert 'href="?lang=en"' in page.body.decode()
    assert_page(collector.ask("GET", path + "?lang=de"), 200, "Diese E-Mails abbestellen?", "de")
    assert_page(collector.ask("GET", path + "?lang=en", b"", german), 200, "Stop these emails?")
    assert_page(collector.ask("GET", path + "?lang=xx%ff&lang"), 200, "Stop these emails?")
    assert_page(collector.ask("POST", path, b"", german), 200, "Sie sind abgemeldet", "de")
    assert_page(
        collector.ask("GET", "/u/x", b"", german), 404, "Dieser Link funktioniert nicht", "de"
    )


def test_an_old_link_works_again_after_a_new_consent(
    collector: Application, database: Database, keys: Keys
) -> None:
    _, path = mail(database, keys)
    assert collector.ask("POST", path, ONE_CLICK, FORM).status == 200
    with database.transaction(Role.OWNER) as tx:
        tx.execute("DELETE FROM suppressions")
    assert collector.ask("POST", path, ONE_CLICK, FORM).status == 200
    assert len(rows(database, "suppressions")) == 1


def test_two_mails_to_one_person_are_two_events_and_one_suppression(
    collector: Application, database: Database, keys: Keys
) -> None:
    for _ in range(2):
        _, path = mail(database, keys)
        assert collector.ask("POST", path, ONE_CLICK, FORM).status == 200
    assert len(rows(database, "consents")) == len(rows(database, "events")) == 2
    assert len(rows(database, "suppressions")) == 1


def test_a_mail_about_nobody_is_an_unknown_link(
    collector: Application, database: Database, keys: Keys
) -> None:
    _, path = mail(database, keys, node=None, address_hash=None)
    assert collector.ask("POST", path, ONE_CLICK, FORM).status == 404


def test_a_mail_without_its_person_refuses_for_the_address(
    collector: Application, database: Database, keys: Keys
) -> None:
    _, path = mail(database, keys, node=None)
    assert collector.ask("POST", path, ONE_CLICK, FORM).status == 200
    assert rows(database, "consents")[0]["node"] == node_of(keys.node, "email", "ann@example.com")


def test_a_link_that_is_not_ours_is_not_found(
    collector: Application, database: Database, keys: Keys
) -> None:
    _, path = mail(database, keys)
    forged = "/u/" + links.sign(bytes(32), uuid4(), "unsubscribe")
    unsent = "/u/" + links.sign(keys.link, uuid4(), "unsubscribe")
    for bad in ("/u/", "/u/x", path[:-1], path + "x", path + "/x", forged):
        for method in ("GET", "POST"):
            assert_page(collector.ask(method, bad), 404, "This link does not work")
    assert_page(collector.ask("POST", unsent, ONE_CLICK, FORM), 404, "This link does not work")
    assert rows(database, "consents") == []
    put = collector.ask("PUT", path)
    assert (put.status, put.headers["allow"]) == (405, "GET, HEAD, POST")
    assert collector.ask("POST", path, b"x" * 70_000, FORM).status == 400


def test_without_the_database_the_page_asks_to_try_again(
    collector: Application, database: Database, keys: Keys
) -> None:
    _, path = mail(database, keys)
    with database.named("postgres").connect(autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {database.name} ALLOW_CONNECTIONS false".encode())
        database.disconnect(admin)
        answer = collector.ask("POST", path, ONE_CLICK, FORM)
    assert_page(answer, 503, "That did not work just now")
    assert b'<button type="submit">Unsubscribe</button>' in answer.body
    assert int(answer.headers["retry-after"]) > 0
