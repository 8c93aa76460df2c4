"""A mail's bytes: no value becomes a header or a second mail."""

from __future__ import annotations

import email
import email.policy
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horizon.delivery.channels.smtp.mime import SmtpComposer, wire_address
from horizon.delivery.templating import RenderedMail
from horizon.errors import SettingsError
from tests.world import NOW

ID = UUID("00000000-0000-0000-0000-000000000001")
HEADERS = ["From", "To", "Subject", "Date", "Message-ID", "List-Unsubscribe",
           "List-Unsubscribe-Post", "MIME-Version", "Content-Type", "Feedback-ID"]  # fmt: skip


def _composed(
    subject: str = "s", html: str = "<p>h</p>", text: str = "t", to: str = "a@b.example"
) -> bytes:
    composer = SmtpComposer("Shop <shop@shop.example>")
    mail = RenderedMail(subject, html, text)
    return composer.compose(ID, "miss_you", to, mail, "http://x.example/u/t", at=NOW)


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


@given(st.text(min_size=1), st.text(min_size=1))
def test_no_address_is_too_odd_to_be_looked_at(local: str, domain: str) -> None:
    kept, _, wire = wire_address(f"{local}@{domain}").rpartition("@")
    assert kept == f"{local}@{domain}".rpartition("@")[0]
    assert wire.isascii() or wire == domain.rpartition("@")[2]


def test_a_domain_is_in_ascii_where_no_smtputf8_is_needed() -> None:
    assert b"\r\nTo: ann@xn--bcher-kva.example\r\n" in _composed(to="ann@b\u00fccher.example")


def test_a_subject_that_looks_encoded_is_read_as_it_is() -> None:
    content = _composed(subject="=?utf-8?q?=0D=0ABcc:_x?= hello")
    parsed = email.message_from_bytes(content, policy=email.policy.SMTP)
    assert parsed["Subject"] == "=?utf-8?q?=0D=0ABcc:_x?= hello"


def test_no_line_of_a_long_subject_is_longer_than_encoded_words_may_be() -> None:
    head = _composed(subject="\u05e9\u05dc\u05d5\u05dd " * 40).partition(b"\r\nDate: ")[0]
    lines = head.partition(b"Subject: ")
    assert max(map(len, (lines[1] + lines[2]).split(b"\r\n"))) <= 76
