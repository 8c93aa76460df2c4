"""A mail's bytes. The parts that are the same for every message of a sender are built once."""

from __future__ import annotations

import binascii
from datetime import datetime
from email.header import Header
from email.utils import format_datetime, formataddr, parseaddr
from uuid import UUID

from horizon import clock
from horizon.delivery.templating import RenderedMail
from horizon.errors import SettingsError


class SmtpComposer:
    """Mails from one sender, as RFC 5322 has them, with RFC 8058's one-click unsubscribe."""

    def __init__(self, mail_from: str) -> None:
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
        self._from = formataddr((name, self.address))

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
        boundary = f"=_{message_id.hex}"
        head = (
            f"From: {self._from}\r\n"
            f"To: {_address(to_addr)}\r\n"
            f"Subject: {_words(mail.subject)}\r\n"
            f"Date: {format_datetime(at or clock.now())}\r\n"
            f"Message-ID: {self.message_id(message_id)}\r\n"
            f"List-Unsubscribe: <{unsubscribe_url}>\r\n"
            "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
            f"Feedback-ID: {campaign}:{self._domain}:campaign:horizon\r\n"
            "MIME-Version: 1.0\r\n"
            f'Content-Type: multipart/alternative; boundary="{boundary}"\r\n\r\n'
        ).encode()
        return b"".join((
            head,
            _part(boundary, "text/plain", mail.text),
            _part(boundary, "text/html", mail.html),
            f"--{boundary}--\r\n".encode(),
        ))  # fmt: skip


def _part(boundary: str, kind: str, text: str) -> bytes:
    head = (
        f"--{boundary}\r\nContent-Type: {kind}; charset=utf-8\r\n"
        "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
    )
    # One kind of line end, so that no bare CR or LF can smuggle a second mail: b2a_qp breaks long
    # lines with what it met first, and with LF where it met nothing.
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    encoded = binascii.b2a_qp(lines.encode(), istext=True).replace(b"\n", b"\r\n")
    return head.encode() + encoded + b"\r\n"


def _words(text: str) -> str:
    plain = " ".join(text.split())
    return (
        plain
        if plain.isascii() and len(plain) < 70
        else Header(plain, "utf-8").encode(linesep="\r\n")
    )


def _address(to_addr: str) -> str:
    # Planning refuses such an address; a header is not the place to trust that.
    return "".join(character for character in to_addr if character >= " ")
