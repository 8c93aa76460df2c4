"""A mail's bytes: no value becomes a header or a second mail."""

from __future__ import annotations

import email
import email.policy
import re
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import parseaddr, parsedate_to_datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horizon.delivery.channels.smtp.mime import SmtpComposer, wire_address
from horizon.delivery.templating import RenderedMail, load_template
from horizon.errors import SettingsError
from tests.world import NOW

ID = UUID("00000000-0000-0000-0000-000000000001")
HEADERS = ["From", "To", "Subject", "Date", "Message-ID", "List-Unsubscribe",
           "List-Unsubscribe-Post", "MIME-Version", "Content-Type", "Feedback-ID"]  # fmt: skip


def _composed(
    subject: str = "s",
    html: str = "<p>h</p>",
    text: str = "t",
    to: str = "a@b.example",
    *,
    sender: str = "Shop <shop@shop.example>",
    smtp_host: str | None = None,
) -> bytes:
    mail = RenderedMail(subject, html, text)
    return SmtpComposer(sender, smtp_host).compose(
        ID, "miss_you", to, mail, "http://x.example/u/t", at=NOW
    )


def _parsed(content: bytes) -> EmailMessage:
    """As a provider parses it; raises what is not well-formed."""
    parsed: Any = email.message_from_bytes(content, policy=email.policy.SMTP)
    for part in parsed.walk():
        assert part.defects == []
        for name, value in part.items():
            assert value.defects == (), name
    return parsed  # type: ignore[no-any-return]


@given(st.text(max_size=300), st.text(max_size=300), st.text(max_size=300))
def test_whatever_a_mail_says_it_has_the_same_headers_and_whole_lines(
    subject: str, html: str, text: str
) -> None:
    for surrogate in range(0xD800, 0xE000):
        if chr(surrogate) in subject + html + text:
            return
    content = _composed(subject, html, text)
    assert b"\n" not in content.replace(b"\r\n", b"")
    assert b"\r" not in content.replace(b"\r\n", b"")
    assert max(map(len, content.split(b"\r\n"))) <= 998
    parsed = email.message_from_bytes(content, policy=email.policy.compat32)
    assert parsed.keys() == HEADERS
    assert len(parsed.get_payload()) == 2


@pytest.mark.parametrize("to", ["a@b.example\r\nBcc: c@d.example", "a@b.example\nX: y"])
def test_an_address_adds_no_header(to: str) -> None:
    assert email.message_from_bytes(_composed(to=to)).keys() == HEADERS


def test_feedback_id_names_campaign_and_sender() -> None:
    parsed = email.message_from_bytes(_composed())
    assert parsed["Feedback-ID"] == "miss_you:shop.example:campaign:horizon"


def test_a_sender_outside_ascii_is_refused_with_what_to_write() -> None:
    with pytest.raises(SettingsError, match="xn--"):
        SmtpComposer("Shop <hello@b\u00fccher.example>")


def test_a_mail_is_well_formed_and_dated() -> None:
    parsed = _parsed(_composed())
    assert parsedate_to_datetime(parsed["Date"]) == NOW
    assert parsed["MIME-Version"] == "1.0"
    assert [part.get_content_type() for part in parsed.iter_parts()] == ["text/plain", "text/html"]


def test_the_message_id_is_the_row_s_on_the_from_domain_and_always_the_same() -> None:
    first, second = _parsed(_composed()), _parsed(_composed(subject="another"))
    assert first["Message-ID"] == second["Message-ID"] == f"<{ID}@shop.example>"
    assert first["From"].addresses[0].domain == "shop.example"


def test_what_a_signature_has_to_cover_stands_on_one_line() -> None:
    url = f"https://links.shop.example/u/{'x' * 300}"
    mail = RenderedMail("s", "h", "t")
    content = SmtpComposer("shop@shop.example").compose(ID, "miss_you", "a@b.example", mail, url)
    assert f"\r\nList-Unsubscribe: <{url}>\r\n".encode() in content
    assert b"\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" in content
    assert b"\r\nFeedback-ID: miss_you:shop.example:campaign:horizon\r\n" in content


@pytest.mark.parametrize("host", ["smtp.mailgun.org", "smtp.eu.mailgun.org", "SMTP.Mailgun.Org."])
def test_mailgun_is_told_to_count_nothing_and_to_sign(host: str) -> None:
    parsed = _parsed(_composed(smtp_host=host))
    assert {name: parsed[name] for name in parsed if name.startswith("X-Mailgun")} == {
        "X-Mailgun-Track": "no", "X-Mailgun-Track-Clicks": "no", "X-Mailgun-Track-Opens": "no",
        "X-Mailgun-Dkim": "yes",
    }  # fmt: skip


@pytest.mark.parametrize("host", [None, "smtp.shop.example", "notmailgun.org", "127.0.0.1"])
def test_no_other_server_is_told_of_mailgun(host: str | None) -> None:
    assert b"mailgun" not in _composed(smtp_host=host).lower()


@pytest.mark.parametrize("name", ["Käthe & Söhne", "ü" * 80, "Müller, Köche", "日本の店" * 12])
def test_a_long_name_of_the_sender_is_cut_into_words_that_every_parser_takes(name: str) -> None:
    content = _composed(sender=f'"{name}" <shop@shop.example>')
    words = re.findall(rb"=\?utf-8\?[bq]\?[^?]*\?=", content.partition(b"To: ")[0])
    assert max(map(len, words)) <= 75
    # By RFC 2047's own decoder: the parser of addresses leaves blanks between words (3.11).
    said, address = parseaddr(email.message_from_bytes(content)["From"])
    assert str(make_header(decode_header(said))) == name
    assert address == "shop@shop.example"


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=200))
def test_no_line_of_a_subject_is_longer_than_it_may_be(subject: str) -> None:
    head = _composed(subject=subject).partition(b"\r\n\r\n")[0]
    subject_lines = head.partition(b"Subject: ")[2].partition(b"Date: ")[0].split(b"\r\n")
    assert len(b"Subject: " + subject_lines[0]) <= 76
    assert all(len(line) <= 76 for line in subject_lines[1:])


def test_a_domain_outside_ascii_is_written_as_every_server_reads_it() -> None:
    assert b"To: ann@xn--bcher-kva.example\r\n" in _composed(to="ann@bücher.example")
    assert "To: zoë@xn--bcher-kva.example\r\n".encode() in _composed(to="zoë@bücher.example")


@pytest.mark.parametrize("name", ["miss_you", "good_activity", "demo_alert", "demo_digest"])
def test_a_shipped_mail_is_encoded_to_its_last_line(name: str) -> None:
    alert = {
        "user_id": "u1",
        "profile": "p1",
        "score": 0.9,
        "tier": "high",
        "days_silent": 13,
        "created": "x",
    }
    mail = load_template(name).encode({
        "brand": "Shop", "postal_address": "1 Street, City", "shop_url": "https://shop.example/",
        "unsubscribe_url": "https://x.example/u/t", "preferences_url": "https://x.example/p/t",
        "first_name": "Zoë", "tier": "high", "activity_count": 1, "days_silent": 13,
        "last_seen": "2026-06-02", "score_percent": 93, "alerts": [alert], "count": 1,
    })  # fmt: skip
    content = SmtpComposer("shop@shop.example").compose(
        ID, name, "a@b.example", mail, "https://x.example/u/t"
    )
    # RFC 2045, 6.7: "=" cannot be the last character of what is encoded.
    for part in content.split(b"--=_horizon")[1:-1]:
        assert not part.removesuffix(b"\r\n").endswith((b"=", b"=\r\n"))
    assert max(map(len, content.split(b"\r\n"))) <= 98
    parsed = _parsed(content)
    for kind in ("plain", "html"):
        body = parsed.get_body((kind,))
        assert body is not None
        text = body.get_content()
        assert "1 Street, City" in text
        assert "https://x.example/u/t" in text


@given(st.text(min_size=1), st.text(min_size=1))
def test_no_address_is_too_odd_to_be_looked_at(local: str, domain: str) -> None:
    kept, _, wire = wire_address(f"{local}@{domain}").rpartition("@")
    assert kept == f"{local}@{domain}".rpartition("@")[0]
    assert wire.isascii() or wire == domain.rpartition("@")[2]


def test_a_subject_that_looks_encoded_is_read_as_it_is() -> None:
    content = _composed(subject="=?utf-8?q?=0D=0ABcc:_x?= hello")
    parsed = email.message_from_bytes(content, policy=email.policy.SMTP)
    assert parsed["Subject"] == "=?utf-8?q?=0D=0ABcc:_x?= hello"
