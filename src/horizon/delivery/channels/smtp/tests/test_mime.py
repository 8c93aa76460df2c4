"""A mail's bytes: no value becomes a header or a second mail."""

from __future__ import annotations

import email
import email.policy
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horizon.delivery.channels.smtp.mime import SmtpComposer
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
