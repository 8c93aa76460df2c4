"""The preference page behind a mail's link: what it shows, and what a save writes."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from horizon import links
from horizon.events.nodes import node_of
from horizon.keys import Keys
from horizon.postgres.database import Database, Role
from horizon.settings import Settings
from tests.link_pages import (
    FORM,
    MULTIPART,
    ONE_CLICK,
    anns_page,
    assert_page,
    changed,
    consents,
    fields_in,
    holds,
    mail,
    post,
    rows,
    say,
    suppress,
    suppressed,
)
from tests.servers.collector import Application, Collector

UNKNOWN = "This link does not work"
NEWS = "News and offers: I would like to get emails with news and offers from Fish & <Chips>."
OPENS = "Opens and clicks: Fish & <Chips> may record which of its emails I open and which of their links I follow."
NEWS_IN_GERMAN = "Neuigkeiten und Angebote: Ich möchte E-Mails mit Neuigkeiten und Angeboten von Fish & <Chips> bekommen."


@pytest.fixture
def collector(settings: Settings) -> Iterator[Application]:
    with Application(settings.changed(BRAND="Fish & <Chips>")) as running:
        yield running


@pytest.fixture
def path(database: Database, keys: Keys) -> str:
    return anns_page(database, keys)


def test_looking_shows_what_holds_and_changes_nothing(
    collector: Application, database: Database, path: str
) -> None:
    page = collector.ask("GET", path)
    assert_page(page, 200, "Your emails")
    text = page.body.decode()
    assert "may send to a***@e***.com" in text
    assert "example" not in text
    assert path[3:] not in text
    assert page.headers["x-robots-tag"] == "noindex, nofollow"
    assert fields_in(page) == [
        ("horizon", "preferences"), ("lang", "en"), ("listed", "marketing"),
        ("granted", "marketing"), ("purpose", "marketing"), ("listed", "tracking"),
        ("every_shown", "always"), ("every", "always"),
    ]  # fmt: skip
    head = collector.ask("HEAD", path)
    assert (head.status, head.body) == (200, b"")
    assert rows(database, "events") == rows(database, "preferences") == []
    assert len(rows(database, "consents")) == 1


def test_a_save_writes_each_change_once(
    collector: Application, database: Database, keys: Keys, path: str
) -> None:
    body = changed(
        fields_in(collector.ask("GET", path)),
        untick=[("purpose", "marketing"), ("every", "always")],
        tick=[("purpose", "tracking"), ("every", "week"), ("pause", "1")],
    )
    began = datetime.now(UTC)
    page = post(collector, path, body)
    assert_page(page, 200, "Saved")
    until = (began + timedelta(days=30)).strftime("%-d %B %Y")
    assert holds(page) == {
        "News and offers": "No", "Opens and clicks": "Yes", "How often": "At most one a week",
        "Pause": f"Until {until}",
    }  # fmt: skip
    assert sorted(consents(database)) == [("marketing", False, NEWS), ("tracking", True, OPENS)]
    node, address = (
        node_of(keys.node, "user_id", "u1"),
        node_of(keys.node, "email", "ann@example.com"),
    )
    (event,) = rows(database, "events")
    (wish,) = rows(database, "preferences")
    message_id = rows(database, "messages")[0]["message_id"]
    assert (event["name"], event["nodes"], event["activity"]) == (
        "Preferences Changed", [node], False,
    )  # fmt: skip
    told = json.loads(event["properties"])
    assert told.pop("paused_until") == wish["paused_until"].astimezone(UTC).isoformat()
    assert told == {
        "message_id": str(message_id), "campaign": "miss_you", "channel": "email",
        "way": "preferences", "granted": ["tracking"], "refused": ["marketing"], "every_days": 7.0,
    }  # fmt: skip
    assert (wish["address_hash"], wish["channel"], wish["every_days"], wish["message_id"]) == (
        address, "email", 7.0, message_id,
    )  # fmt: skip
    assert timedelta(days=30) <= wish["paused_until"] - began < timedelta(days=30, minutes=1)
    written = [row for row in rows(database, "consents") if row["way"] == "preferences"]
    assert {(row["node"], row["address_hash"], row["event_id"]) for row in written} == {
        (node, address, event["event_id"])
    }
    assert suppressed(database) == {("marketing", "unsubscribed")}
    again = post(collector, path, body)
    assert holds(again) == holds(page)
    assert b"Nothing to change" in again.body
    assert len(rows(database, "events")) == len(rows(database, "preferences")) == 1
    assert len(consents(database)) == 2
    reopened = fields_in(collector.ask("GET", path))
    assert ("purpose", "tracking") in reopened
    assert ("purpose", "marketing") not in reopened
    assert ("every", "week") in reopened


def test_a_yes_takes_the_owners_own_no_back_and_no_other(
    collector: Application, database: Database, keys: Keys, path: str
) -> None:
    assert collector.ask("POST", "/u/" + path[3:], ONE_CLICK, FORM).status == 200
    suppress(database, keys, "tracking", "manual")
    assert suppressed(database) == {("marketing", "unsubscribed"), ("tracking", "manual")}
    fields = fields_in(collector.ask("GET", path))
    assert ("purpose", "marketing") not in fields
    both = [("purpose", "marketing"), ("purpose", "tracking")]
    page = post(collector, path, changed(fields, tick=both))
    assert suppressed(database) == {("tracking", "manual")}
    assert holds(page)["News and offers"] == "Yes"
    assert holds(page)["Opens and clicks"] == "No"
    assert b"Nothing is sent to this address" in page.body


def test_everything_is_refused_at_once_and_nothing_global(
    collector: Application, database: Database, path: str
) -> None:
    fields = fields_in(collector.ask("GET", path))
    body = changed(fields, tick=[("everything", "1"), ("every", "month"), ("purpose", "tracking")])
    for _ in range(2):
        page = post(collector, path, body)
        assert {holds(page)[title] for title in ("News and offers", "Opens and clicks")} == {"No"}
        assert {name: yes for name, yes, _ in consents(database)} == dict.fromkeys(
            ("marketing", "tracking"), False
        )
        assert len(consents(database)) == 2
        assert suppressed(database) == {
            ("marketing", "unsubscribed"), ("tracking", "unsubscribed"),
        }  # fmt: skip
    assert rows(database, "preferences") == []
    assert len(rows(database, "events")) == 1


def test_everything_suppresses_what_was_refused_elsewhere_too(
    collector: Application, database: Database, keys: Keys, path: str
) -> None:
    for purpose in ("marketing", "tracking"):
        say(database, keys, granted=False, purpose=purpose, time=datetime(2026, 2, 1, tzinfo=UTC))
    post(collector, path, b"horizon=1&everything=1")
    assert consents(database) == []
    assert {purpose for purpose, _ in suppressed(database)} == {"marketing", "tracking"}


def test_what_stops_an_address_is_told_of_and_its_owners_own_no_is_not_that(
    collector: Application, database: Database, keys: Keys, path: str
) -> None:
    told = b"Nothing is sent to this address"
    assert collector.ask("POST", "/u/" + path[3:], ONE_CLICK, FORM).status == 200
    assert told not in collector.ask("GET", path).body
    with database.transaction(Role.OWNER) as tx:
        tx.execute("UPDATE messages SET domain = 'example.com'")
        tx.execute("INSERT INTO suppressed_domains VALUES ('example.com', 'null_mx', now())")
    assert told in collector.ask("GET", path).body
    with database.transaction(Role.WORKER) as tx:
        tx.execute("DELETE FROM suppressed_domains")
    suppress(database, keys, "*", "hard_bounce")
    assert told in collector.ask("GET", path).body


def test_a_pause_is_shown_and_ended(collector: Application, database: Database, path: str) -> None:
    fields = fields_in(collector.ask("GET", path))
    assert holds(post(collector, path, changed(fields, tick=[("pause", "1")])))["Pause"] != "None"
    page = collector.ask("GET", path)
    assert b"Paused until" in page.body
    assert b'name="resume"' in page.body
    body = changed(fields_in(page), tick=[("resume", "1")])
    assert holds(post(collector, path, body))["Pause"] == "None"
    assert [row["paused_until"] for row in rows(database, "preferences ORDER BY preference_id")][
        1:
    ] == [None]


def test_two_tabs_do_not_undo_each_other(
    collector: Application, database: Database, path: str
) -> None:
    one = two = fields_in(collector.ask("GET", path))
    post(collector, path, changed(one, untick=[("purpose", "marketing")]))
    page = post(collector, path, changed(two, tick=[("purpose", "tracking"), ("every", "month")]))
    assert holds(page)["News and offers"] == "No"
    assert holds(page)["Opens and clicks"] == "Yes"
    assert holds(page)["How often"] == "At most one a month"


@pytest.mark.parametrize(("days", "said"), [(-1, "Yes"), (1, "No")])
def test_a_yes_is_about_the_whole_person_and_a_record_that_still_says_no_is_told_of(
    collector: Application, database: Database, keys: Keys, path: str, days: int, said: str
) -> None:
    """Also of another node of theirs; but a no of a clock that is ahead holds."""
    mine, other = node_of(keys.node, "user_id", "u1"), node_of(keys.node, "anonymous_id", "a1")
    with database.transaction(Role.WORKER) as tx:
        tx.execute(
            "INSERT INTO profiles (profile_id, created_at) OVERRIDING SYSTEM VALUE VALUES (1, now())"
        )
        for node, kind in ((mine, "user_id"), (other, "anonymous_id")):
            tx.execute(
                "INSERT INTO nodes (node, kind, value, profile_id, first_seen)"
                " VALUES (%s, %s, 'x', 1, now())", [node, kind],
            )  # fmt: skip
    time = datetime.now(UTC) + timedelta(days=days)
    say(database, keys, granted=False, node=other, address_hash=None, time=time)
    fields = fields_in(collector.ask("GET", path))
    assert ("purpose", "marketing") not in fields
    page = post(collector, path, changed(fields, tick=[("purpose", "marketing")]))
    assert holds(page)["News and offers"] == said
    told = "another record of you still says no" in page.body.decode()
    assert told == (said == "No")


def test_it_speaks_german_and_keeps_the_german_sentence(
    collector: Application, database: Database, path: str
) -> None:
    german = {"Accept-Language": "de"}
    page = collector.ask("GET", path, b"", german)
    assert_page(page, 200, "Ihre E-Mails", "de")
    # The form tells what it was shown in, whatever the browser asks for when it posts.
    saved = post(collector, path, changed(fields_in(page), untick=[("purpose", "marketing")]))
    assert_page(saved, 200, "Gespeichert", "de")
    assert consents(database) == [("marketing", False, NEWS_IN_GERMAN)]


def test_the_operators_purposes_are_on_the_page(
    collector: Application, database: Database, path: str
) -> None:
    with database.transaction(Role.WORKER) as tx:
        tx.execute(
            "INSERT INTO purposes VALUES ('events', %s, 0), ('plain', '{}', 9)",
            ['{"en": "Events <now>", "de": "Feste"}'],
        )
    text = collector.ask("GET", path).body.decode()
    titles = re.findall(r'<label for="purpose-\w+">([^<]*)</label>', text)
    assert titles == ["Events &lt;now&gt;", "News and offers", "Opens and clicks", "Plain"]
    assert ">Feste<" in collector.ask("GET", path + "?lang=de").body.decode()


@pytest.mark.parametrize(
    "body", [b"", ONE_CLICK, MULTIPART, b"\xff\x00", b"horizon=%ff", b"horizon=1" + b"&a=1" * 600]
)
def test_what_cannot_be_read_changes_nothing(
    body: bytes, collector: Application, database: Database, path: str
) -> None:
    page = post(collector, path, body)
    assert_page(page, 400, "Not saved")
    assert b'role="alert"' in page.body
    assert ("purpose", "marketing") in fields_in(page)
    assert rows(database, "events") == rows(database, "preferences") == []


def test_made_up_fields_change_nothing(
    collector: Application, database: Database, path: str
) -> None:
    made_up = [("listed", "operator"), ("purpose", "operator"), ("every", "0.01"), ("lang", "xx")]
    page = post(collector, path, changed(fields_in(collector.ask("GET", path)), tick=made_up))
    assert_page(page, 200, "Saved")
    assert b"Nothing to change" in page.body
    assert rows(database, "events") == rows(database, "preferences") == []
    assert post(collector, path, b"horizon=1&x=" + b"x" * 70_000).status == 400


def test_a_link_that_is_not_ours_and_a_mail_about_nobody(
    collector: Application, database: Database, keys: Keys, path: str
) -> None:
    _, nobody = mail(database, keys, node=None, address_hash=None)
    _, demo = mail(database, keys, node=None)
    wrong_purpose = links.sign(keys.link, uuid4(), "track")
    unsent = links.sign(keys.link, uuid4(), "unsubscribe")
    for token in ("", "x", path[3:-1], path[3:] + "x", wrong_purpose, unsent, nobody[3:], demo[3:]):
        assert_page(collector.ask("GET", "/p/" + token), 404, UNKNOWN)
        assert_page(post(collector, "/p/" + token, b"horizon=1&everything=1"), 404, UNKNOWN)
    assert rows(database, "events") == rows(database, "suppressions") == []
    assert collector.ask("DELETE", path).status == 405


def test_an_erased_address_is_not_named(
    collector: Application, database: Database, path: str
) -> None:
    with database.transaction(Role.OWNER) as tx:
        tx.execute("UPDATE messages SET to_addr = NULL")
    assert b"may send to your address" in collector.ask("GET", path).body


def test_the_same_form_from_many_at_once_is_saved_once(
    settings: Settings, database: Database, path: str
) -> None:
    with Application(settings) as one, Application(settings) as other:
        fields = fields_in(one.ask("GET", path))
        body = changed(fields, untick=[("purpose", "marketing")], tick=[("pause", "1")])
        with ThreadPoolExecutor(8) as pool:
            saves = [pool.submit(post, (one, other)[n % 2], path, body) for n in range(8)]
            assert {save.result().status for save in saves} == {200}
    assert len(rows(database, "events")) == len(rows(database, "preferences")) == 1
    assert len(consents(database)) == 1


def test_without_the_database_the_page_asks_to_try_again(
    collector: Application, database: Database, path: str
) -> None:
    with database.named("postgres").connect(autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {database.name} ALLOW_CONNECTIONS false".encode())
        database.disconnect(admin)
        answers = [collector.ask("GET", path), post(collector, path, b"horizon=1&everything=1")]
    for answer in answers:
        assert_page(answer, 503, "That did not work just now")
        assert int(answer.headers["retry-after"]) > 0


def test_over_http_and_nothing_is_logged(settings: Settings, database: Database, path: str) -> None:
    with Collector(settings) as running:
        page = running.ask("GET", path + "?lang=de")
        assert page.headers["content-language"] == "de"
        assert running.ask("HEAD", path).body == b""
        assert post(running, path, b"horizon=1&everything=1").status == 200
        code, out, err = running.end(signal.SIGTERM)
    assert code == 0
    log = settings.log_path.read_text() if settings.log_path.exists() else ""
    assert path[3:] not in out + err + log
    assert len(consents(database)) == 2
