"""A mail's bytes. The parts that are the same for every message of a sender are built once."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.header import Header
from email.utils import format_datetime, formataddr, parseaddr
from functools import lru_cache
from typing import Final
from uuid import UUID

import idna

from horizon import clock
from horizon.delivery import quoted
from horizon.delivery.templating import RenderedMail
from horizon.errors import SettingsError

# Quoted-printable never has "=_" in it, so no value can end a part.
_BOUNDARY: Final = "=_horizon"
_PLAIN_SUBJECT: Final = re.compile(r"[ -~]{1,70}")
_PART: Final = (
    f"--{_BOUNDARY}\r\nContent-Type: {{}}; charset=utf-8\r\n"
    "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
)
_TEXT_PART: Final = _PART.format("text/plain")
_HTML_PART: Final = "\r\n" + _PART.format("text/html")
# After an empty line: where the HTML ends in a soft break, its last line is ended by it.
_END: Final = f"\r\n\r\n--{_BOUNDARY}--\r\n"


# Mailgun rewrites links and counts openings by itself unless told not to, whatever the person
# agreed to; and it signs each mail, so that List-Unsubscribe is covered.
_MAILGUN_HEADERS: Final = (
    "X-Mailgun-Track: no\r\nX-Mailgun-Track-Clicks: no\r\nX-Mailgun-Track-Opens: no\r\n"
    "X-Mailgun-Dkim: yes\r\n"
)


class SmtpComposer:
    """Mails from one sender, as RFC 5322 has them, with RFC 8058's one-click unsubscribe."""

    def __init__(self, mail_from: str, smtp_host: str | None = None) -> None:
        name, self.address = parseaddr(mail_from)
        if "@" not in self.address or any(character < " " for character in mail_from):
            raise SettingsError(
                f"MAIL_FROM is {mail_from!r}: it should look like Shop <hello@shop.example>."
            )
        if not self.address.isascii():
            raise SettingsError(
                f"MAIL_FROM is {mail_from!r}: write its domain in ASCII (xn--...), since not every "
                "server takes another."
            )
        self._domain = self.address.rpartition("@")[2]
        self._from = f"From: {_sender(name, self.address)}\r\n"
        self._middle = (
            "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
            "MIME-Version: 1.0\r\n"
            f'Content-Type: multipart/alternative; boundary="{_BOUNDARY}"\r\n'
        ) + _provider_headers(smtp_host)

    def message_id(self, message_id: UUID) -> str:
        """Stable, known before sending, on the From domain."""
        return f"<{message_id}@{self._domain}>"

    def compose(
        self,
        message_id: UUID,
        campaign: str,
        to_addr: str,
        mail: RenderedMail,
        unsubscribe_url: str,
        at: datetime | None = None,
    ) -> bytes:
        text, html = mail.text, mail.html
        if not mail.encoded:
            text, html = quoted.encode(text), quoted.encode(html)
        return (
            f"{self._from}To: {_address(to_addr)}\r\n"
            f"Subject: {_words(mail.subject)}\r\n"
            f"Date: {_date(int((at or clock.now()).timestamp()))}\r\n"
            f"Message-ID: {self.message_id(message_id)}\r\n"
            f"List-Unsubscribe: <{unsubscribe_url}>\r\n{self._middle}"
            f"Feedback-ID: {campaign}:{self._domain}:campaign:horizon\r\n\r\n"
            f"{_TEXT_PART}{text}{_HTML_PART}{html}{_END}"
        ).encode()


@lru_cache(maxsize=4)
def _date(at_s: int) -> str:
    return format_datetime(datetime.fromtimestamp(at_s, UTC))


def _provider_headers(smtp_host: str | None) -> str:
    host = (smtp_host or "").lower().rstrip(".")
    return _MAILGUN_HEADERS if host.endswith(".mailgun.org") else ""


def _sender(name: str, address: str) -> str:
    if name.isascii():
        return formataddr((name, address))
    # formataddr writes one encoded word, however long it is.
    return f"{_encoded_words(name, 'From')} <{address}>"


def _words(text: str) -> str:
    # "=?" begins an encoded word: a name that holds one would be read as what it encodes.
    if _PLAIN_SUBJECT.fullmatch(text) and "=?" not in text:
        return text
    return _encoded_words(" ".join(text.split()), "Subject")


def _encoded_words(text: str, header: str) -> str:
    # RFC 2047, 2: a word has 75 characters at most, its line 76.
    return Header(text, "utf-8", maxlinelen=74, header_name=header).encode(linesep="\r\n")


def _address(to_addr: str) -> str:
    # The domain in ASCII as on the wire: only an address that needs SMTPUTF8 may bring a byte
    # above 127 into a header. Planning refuses what is not printable; a header is not the place
    # to trust that.
    address = wire_address(to_addr)
    return address if address.isprintable() else "".join(filter(str.isprintable, address))


def wire_address(to_addr: str) -> str:
    """The address with its domain in ASCII, as every server takes it (RFC 5891)."""
    local, _, domain = to_addr.rpartition("@")
    return to_addr if domain.isascii() else f"{local}@{wire_domain(domain)}"


def wire_domain(domain: str) -> str:
    try:
        return domain if domain.isascii() else idna.encode(domain, uts46=True).decode()
    except idna.IDNAError:
        return domain
