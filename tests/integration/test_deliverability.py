"""What mailbox providers ask of a bulk sender: docs/delivery.md lists it, each line with its test."""

from __future__ import annotations

import email
import email.policy
import re
from base64 import b64decode
from email.message import EmailMessage
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner

from horizon.cli.main import app
from horizon.delivery.channels.smtp.advice import advice
from horizon.delivery.channels.smtp.transport import ADDRESS_INVALID
from horizon.pipeline import outgoing
from horizon.postgres.database import Role
from horizon.settings import Settings
from tests.link_pages import FORM, MULTIPART, ONE_CLICK
from tests.servers.collector import Application
from tests.servers.smtp_recorder import SmtpRecorder
from tests.world import DAY, World

# RFC 3463; what each says of the address. Only these mean that there is none.
INVALID = ["550 5.1.1 no such user", "550 5.1.2 bad destination system", "553 5.1.3 bad syntax",
           "551 5.1.6 moved", "550 5.1.10 null MX", "550-5.1.1 no such user"]  # fmt: skip
OF_US = ["550 5.7.1 you are listed", "550 5.7.26 not aligned", "550 5.7.515 access denied",
         "550 5.1.0 address rejected", "550 5.1.7 bad sender", "550 5.1.8 bad sender's system",
         "550 no such user", "554 5.7.1 see RFC 5.1.1", "550 5.1.11 who knows"]  # fmt: skip
OF_THE_MAILBOX = ["552 5.2.2 mailbox full", "550 5.2.1 disabled", "554 5.3.4 too big"]
OF_THE_MOMENT = ["452 4.2.2 mailbox full", "451 4.7.1 greylisted", "450 4.1.1 not yet known",
                 "421 4.7.0 too fast"]  # fmt: skip


@pytest.mark.parametrize("answer", INVALID)
def test_an_address_that_is_none(answer: str) -> None:
    assert ADDRESS_INVALID.match(answer)


@pytest.mark.parametrize("answer", [*OF_US, *OF_THE_MAILBOX, *OF_THE_MOMENT])
def test_whatever_else_a_server_says_is_not_about_the_address(answer: str) -> None:
    assert not ADDRESS_INVALID.match(answer)


@pytest.mark.parametrize("at", ["rcpt", "content"])
def test_only_an_address_that_is_none_is_suppressed_at_first_sight(
    world: World, tmp_path: Path, at: str
) -> None:
    said = [answer for answer in (*INVALID, *OF_US, *OF_THE_MAILBOX, *OF_THE_MOMENT)
            if not answer.startswith(("550-", "421"))]  # fmt: skip
    script = [
        {"at": at, "match": f"u{number}@", "answer": answer} for number, answer in enumerate(said)
    ]
    with SmtpRecorder(tmp_path, script) as recorder:
        world = world.sending(recorder.port)
        world.planned(*(f"u{number}" for number in range(len(said))), "zed")
        outgoing.send(world.horizon)
    states = world.states()
    assert states.pop("zed") == "sent"
    for number, answer in enumerate(said):
        expected = "bounced" if answer in INVALID else "failed" if answer[0] == "5" else "planned"
        assert states[f"u{number}"] == expected, answer
    rows = world.rows(
        "SELECT m.answer, s.reason, s.purpose FROM suppressions s JOIN messages m USING (message_id)"
    )
    assert sorted(row.answer for row in rows) == sorted(set(said) & set(INVALID))
    assert {(row.reason, row.purpose) for row in rows} == {("hard_bounce", "*")}


def test_a_server_s_word_of_a_null_mx_ends_the_mails_to_that_address(
    world: World, tmp_path: Path
) -> None:
    rule = {"at": "rcpt", "match": "ann", "answer": "550 5.1.10 the domain has a null MX"}
    with SmtpRecorder(tmp_path, [rule]) as recorder:
        world = world.sending(recorder.port)
        world.planned("ann")
        outgoing.send(world.horizon)
        world.now += 30 * DAY
        world.put(world.track("ann", 13 * DAY))
        world.score()
        world.alert()
        assert world.plan().figures["reasons"] == {"hard_bounce": 1}


def _received(recorder: SmtpRecorder) -> list[EmailMessage]:
    return [
        email.message_from_bytes(b64decode(one["content"]), policy=email.policy.SMTP)  # type: ignore[misc]
        for one in recorder.messages()
    ]


def _texts(mail: EmailMessage) -> tuple[str, str]:
    plain, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert plain is not None
    assert html is not None
    return plain.get_content(), html.get_content()


@pytest.fixture
def mails(world: World, tmp_path: Path) -> list[EmailMessage]:
    """Two mails as they left: Ann's, who agreed to be counted, and Bob's, who did not."""
    with SmtpRecorder(tmp_path, keep_content=True) as recorder:
        world = world.sending(recorder.port, TRACKING_URL="https://links.shop.example")
        world.person("ann", 13 * DAY)
        yes = {"context": {"consent": {"categoryPreferences": {"tracking.email": True}}}}
        world.put({**world.identify("ann", 2 * DAY), **yes})
        world.planned("bob")
        outgoing.send(world.horizon)
        envelopes = [one["mail_from"] for one in recorder.messages()]
        received = _received(recorder)
    assert set(envelopes) == {"hello@horizon.example"}
    return sorted(received, key=lambda mail: str(mail["To"]))


def test_one_domain_stands_in_from_envelope_message_id_and_feedback_id(
    mails: list[EmailMessage],
) -> None:
    for mail in mails:
        assert mail["From"].addresses[0].domain == "horizon.example"
        assert mail["Message-ID"].endswith("@horizon.example>")
        assert str(mail["Feedback-ID"]).split(":")[1:] == ["horizon.example", "campaign", "horizon"]


def test_no_header_stands_twice_and_every_part_is_well_formed(mails: list[EmailMessage]) -> None:
    for mail in mails:
        names = [name.lower() for name in mail]
        assert len(names) == len(set(names))
        for part in mail.walk():
            assert part.defects == []
            assert all(value.defects == () for value in part.values())


def test_text_and_html_say_the_same_and_lead_to_the_same_places(mails: list[EmailMessage]) -> None:
    text, html = _texts(mails[1])
    links = set(re.findall(r'href="(https?://[^"]+)"', html))
    assert {unescape(link) for link in links} == set(re.findall(r"https?://[^\s<>]+", text))
    body = re.sub(
        r"<style.*?</style>|<head.*?</head>|<!--.*?-->|<[^>]+>", " ", html, flags=re.DOTALL
    )
    preview = {"Here", "is", "a", "direct", "way", "back"}
    assert set(re.findall(r"\w+", unescape(body))) - preview <= set(re.findall(r"\w+", text))


def test_without_consent_to_be_counted_links_are_plain_and_there_is_no_picture(
    mails: list[EmailMessage],
) -> None:
    counted, plain = (_texts(mail)[1] for mail in mails)
    assert "https://links.shop.example/c/" in counted
    assert "https://links.shop.example/o/" in counted
    assert not re.search(r"links\.shop\.example/[co]/|<img", plain)
    assert 'href="https://shop.horizon.example/"' in plain


@pytest.mark.parametrize(
    ("body", "headers"),
    [(ONE_CLICK, FORM), (MULTIPART, {"Content-Type": "multipart/form-data; boundary=x"})],
)
def test_the_mail_s_own_links_work_as_its_provider_uses_them(
    world: World, tmp_path: Path, body: bytes, headers: dict[str, str]
) -> None:
    with SmtpRecorder(tmp_path, keep_content=True) as recorder:
        world = world.sending(recorder.port, TRACKING_URL="https://links.shop.example")
        world.planned("ann")
        outgoing.send(world.horizon)
        (mail,) = _received(recorder)
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    link = str(mail["List-Unsubscribe"])
    assert re.fullmatch(r"<https://links\.shop\.example/u/[\w-]+>", link)
    text, _ = _texts(mail)
    assert link.strip("<>") in text
    (preferences,) = re.findall(r"https://links\.shop\.example(/p/[\w-]+)", text)
    with Application(world.horizon.settings) as collector:
        assert collector.ask("GET", preferences).status == 200
        assert world.rows("SELECT FROM suppressions") == []
        answer = collector.ask("POST", urlsplit(link.strip("<>")).path, body, headers)
        assert answer.status == 200  # RFC 8058, 3.1: no redirect, and it needs no cookie
        assert "location" not in answer.headers
    (row,) = world.rows("SELECT reason FROM suppressions")
    assert row.reason == "unsubscribed"


def test_the_message_id_is_in_the_database_before_the_mail_leaves(
    world: World, tmp_path: Path
) -> None:
    with SmtpRecorder(tmp_path, keep_content=True) as recorder:
        world = world.sending(recorder.port)
        world.planned("ann")
        (row,) = world.rows("SELECT message_id FROM messages WHERE status = 'planned'")
        outgoing.send(world.horizon)
        (mail,) = _received(recorder)
    assert mail["Message-ID"] == f"<{row.message_id}@horizon.example>"


def test_neither_log_nor_answers_name_an_address(world: World, tmp_path: Path) -> None:
    script = [
        {"at": "rcpt", "match": "ann", "answer": "550 5.1.1 <ann@example.com>: no such user"},
        {"at": "content", "match": "bob", "answer": "451 4.2.0 bob@example.com has no room"},
    ]
    with SmtpRecorder(tmp_path, script) as recorder:
        world = world.sending(recorder.port)
        world.planned("ann", "bob", "zed")
        outgoing.send(world.horizon)
    log = Path(world.horizon.settings.LOG_PATH).read_text()
    assert "(address)" in log
    answers = [row.answer for row in world.rows("SELECT answer FROM notifications_log")]
    assert len(answers) == 3
    assert "@" not in log + "".join(answers)


OWN = {
    "SMTP_HOST": "smtp.shop.example", "MAIL_FROM": "Shop <hello@shop.example>", "BRAND": "Shop",
    "POSTAL_ADDRESS": "1 Harbour Street, 1010 Vienna", "SHOP_URL": "https://shop.example/",
    "TRACKING_URL": "https://links.shop.example",
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, []),
        ({"SMTP_HOST": "127.0.0.1", "TRACKING_URL": "", "BRAND": "Horizon Outfitters"}, []),
        ({"TRACKING_URL": "http://links.shop.example"}, [r"http://links.*TRACKING_URL"]),
        ({"TRACKING_URL": ""}, [r"http://127\.0\.0\.1:8100.*https"]),
        ({"TRACKING_URL": "", "PUBLIC_URL": "https://cdp.shop.example"}, []),
        ({"POSTAL_ADDRESS": " "}, ["set POSTAL_ADDRESS to"]),
        (dict.fromkeys(["MAIL_FROM", "BRAND", "POSTAL_ADDRESS", "SHOP_URL"]),
         ["MAIL_FROM, BRAND, POSTAL_ADDRESS, SHOP_URL"]),
    ],
)  # fmt: skip
def test_settings_that_spoil_delivery_are_told_before_the_first_mail(
    changes: dict[str, Any], said: list[str]
) -> None:
    values = {name: value for name, value in {**OWN, **changes}.items() if value is not None}
    told = advice(Settings().changed(**values))
    assert len(told) == len(said)
    for sentence, pattern in zip(told, said, strict=True):
        assert re.search(pattern, sentence)


def test_campaign_run_and_send_tell_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    given = world.horizon.settings
    for name in ("PG_DSN", "HORIZON_HOME", "LOG_PATH"):
        monkeypatch.setenv(name, getattr(given, name))
    monkeypatch.setenv("SMTP_HOST", "smtp.shop.example")
    monkeypatch.setenv("DNS_LOOKUPS", "off")
    with world.horizon.database.transaction(Role.OWNER) as tx:
        tx.execute("DELETE FROM messages")  # nobody to write to: nothing is sent anywhere
    for command in (["campaign", "run", "miss_you"], ["send"]):
        told = CliRunner().invoke(app, command)
        assert told.exit_code == 0, told.output
        assert "set TRACKING_URL or PUBLIC_URL to an https:// address" in told.stderr
        assert "example shop" in told.stderr
        assert "https" not in told.stdout
