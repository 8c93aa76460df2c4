"""SMTP: one connection, pipelined (RFC 2920), verified TLS wherever a password travels.

DATA ends a group of commands and content may begin one, so a message's content travels together
with the next one's envelope: one round trip a message, and one content in flight.
"""

from __future__ import annotations

import re
import smtplib
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress

from horizon.delivery.channels.smtp.mime import wire_address
from horizon.delivery.channels.smtp.replies import Reply, ReplyReader
from horizon.delivery.ports import Parcel
from horizon.errors import TransportError
from horizon.settings import LOOPBACK, Settings

IMPLICIT_TLS_PORT = 465
# RFC 3463: the mailbox or its domain does not exist; RFC 7505: the domain takes no mail at all.
ADDRESS_INVALID = re.compile(r"^5\d\d[ -]5\.1\.(?:[1236]|10)\b")

_LEADING_DOT = re.compile(rb"(?m)^\.")


class SmtpTransport:
    """See delivery.ports.Transport."""

    def __init__(self, settings: Settings, mail_from: str) -> None:
        self._settings = settings
        self._host, self._port = settings.smtp_address
        self._mail_from = mail_from.encode()
        self._smtp: smtplib.SMTP | None = None
        self._socket: socket.socket | None = None
        self._offered: list[bytes] = []  # the next parcel's envelope, which is on its way already

    @property
    def connected(self) -> bool:
        return self._socket is not None

    def connect(self) -> None:
        self.close()
        try:
            smtp = self._open()
        except (OSError, smtplib.SMTPException) as exc:
            raise self._away(_said(exc)) from exc
        assert smtp.sock is not None
        self._smtp, self._socket = smtp, smtp.sock
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._replies = ReplyReader(self._socket, self._settings.SMTP_TIMEOUT_S)
        self._pipelining = smtp.has_extn("pipelining")
        self._offers_8bit = smtp.has_extn("8bitmime")
        self._offers_utf8 = smtp.has_extn("smtputf8")

    def _away(self, said: str) -> TransportError:
        what = "look at SMTP_HOST, SMTP_PORT, SMTP_USER, SMTP_PASSWORD and MAIL_FROM"
        if self._settings.SMTP_HOST is None:
            what = "`horizon up` starts the local catcher, and SMTP_HOST names another server"
        return TransportError(
            f"The mail server at {self._host}:{self._port} does not serve us ({said}): {what}.",
            away=True,
        )

    def _open(self) -> smtplib.SMTP:
        context = ssl.create_default_context()
        smtp = self._dial(context)
        try:
            smtp.ehlo_or_helo_if_needed()
            encrypted = isinstance(smtp, smtplib.SMTP_SSL)
            if not encrypted and smtp.has_extn("starttls"):
                smtp.starttls(context=context)
                smtp.ehlo()
                encrypted = True
            self._log_in(smtp, encrypted)
        except BaseException:
            smtp.close()
            raise
        return smtp

    def _dial(self, context: ssl.SSLContext) -> smtplib.SMTP:
        timeout = self._settings.SMTP_TIMEOUT_S
        name = socket.gethostname()  # smtplib's own choice asks the DNS, and may wait for it
        if self._port == IMPLICIT_TLS_PORT:
            return smtplib.SMTP_SSL(self._host, self._port, name, timeout=timeout, context=context)
        return smtplib.SMTP(self._host, self._port, name, timeout=timeout)

    def _log_in(self, smtp: smtplib.SMTP, encrypted: bool) -> None:
        user, password = self._settings.SMTP_USER, self._settings.SMTP_PASSWORD
        if not user or password is None:
            return
        if not encrypted and self._host not in LOOPBACK:
            raise smtplib.SMTPException("it offers no TLS, and a password never travels without")
        smtp.login(user, password)

    def send(self, parcels: Iterator[Parcel]) -> Iterator[str | TransportError]:
        current = next(parcels, None)
        self._offered = []
        while current is not None and self.connected:
            refused = self._envelope_answer(current)
            following = next(parcels, None) if self.connected else None
            yield self._content_answer(current, following) if refused is None else refused
            current = following

    def _envelope_answer(self, parcel: Parcel) -> TransportError | None:
        """None where the server waits for the content."""
        offered, self._offered = self._offered, []
        try:
            commands = offered or self._envelope(parcel)
            if not self._pipelining:
                return self._judge_envelope(self._converse(commands))
            if not offered:
                self._write(b"".join(commands))
            return self._judge_envelope([self._replies.read() for _ in commands])
        except TransportError as exc:
            return exc
        except OSError as exc:
            return self._broke(exc)

    def _envelope(self, parcel: Parcel) -> list[bytes]:
        address = wire_address(parcel.to_addr)
        options = b""
        if not address.isascii():
            if not self._offers_utf8:
                raise TransportError(
                    "the server takes no address outside ASCII (no SMTPUTF8)", permanent=True
                )
            options = b" SMTPUTF8"
        if self._offers_8bit and not parcel.content.isascii():
            options += b" BODY=8BITMIME"
        return [
            b"MAIL FROM:<%b>%b\r\n" % (self._mail_from, options),
            b"RCPT TO:<%b>\r\n" % address.encode(),
            b"DATA\r\n",
        ]

    def _converse(self, commands: list[bytes]) -> list[Reply]:
        """One command after the other, up to the first that is refused."""
        replies: list[Reply] = []
        for command in commands:
            self._write(command)
            replies.append(self._replies.read())
            if not _goes_on(replies[-1]):
                break
        return replies

    def _judge_envelope(self, replies: list[Reply]) -> TransportError | None:
        refused = next((place for place, reply in enumerate(replies) if not _goes_on(reply)), None)
        if refused is None:
            if replies[-1].code != 354:
                raise OSError(f"354 was expected and {replies[-1]} came")
            return None
        reply = replies[refused]
        left = any(one.code == 421 for one in replies)
        if left or not self._cleaned(replies):
            self._drop()
        if refused == 0 and reply.code // 100 == 5:
            # Refused before it heard for whom: that is about us and not about this message.
            return self._away(str(reply))
        return _refusal(reply)

    def _cleaned(self, replies: list[Reply]) -> bool:
        """Whether the connection serves the next message; who refuses and then leaves has refused
        all the same."""
        try:
            if len(replies) == 3 and replies[2].code == 354:
                # It waits for content though nobody is to get it (RFC 2920, 3.1): a lone dot ends
                # that.
                self._write(b".\r\n")
                self._replies.read()
            self._reset()
        except OSError:
            return False
        return True

    def _content_answer(self, parcel: Parcel, following: Parcel | None) -> str | TransportError:
        content = parcel.content
        if b"\r\n." in content or content.startswith(b"."):
            content = _LEADING_DOT.sub(b"..", content)
        parts = [content, b".\r\n" if content.endswith(b"\r\n") else b"\r\n.\r\n"]
        if following is not None and self._pipelining:
            with suppress(TransportError):  # its own turn will say so
                self._offered = self._envelope(following)
                parts += self._offered
        try:
            self._write(b"".join(parts))
            reply = self._replies.read()
        except OSError as exc:
            return self._broke(exc, content_begun=True)
        if reply.code == 421:
            self._drop()
        return str(reply) if reply.ok else _refusal(reply)

    def _write(self, data: bytes) -> None:
        assert self._socket is not None
        self._socket.settimeout(self._settings.SMTP_TIMEOUT_S)
        self._socket.sendall(data)

    def _reset(self) -> None:
        self._write(b"RSET\r\n")
        self._replies.read()

    def _broke(self, exc: OSError, *, content_begun: bool = False) -> TransportError:
        self._drop()
        return TransportError(_said(exc), content_begun=content_begun, broken=True)

    def close(self) -> None:
        smtp = self._smtp
        if smtp is None:
            return
        self._smtp = self._socket = None
        try:
            smtp.quit()
        except (OSError, smtplib.SMTPException):
            smtp.close()

    def _drop(self) -> None:
        smtp, self._smtp, self._socket = self._smtp, None, None
        if smtp is not None:
            smtp.close()


def _goes_on(reply: Reply) -> bool:
    return reply.ok or reply.code == 354


def _refusal(reply: Reply) -> TransportError:
    answer = str(reply)
    return TransportError(
        answer,
        permanent=reply.code // 100 == 5,
        address_invalid=bool(ADDRESS_INVALID.match(answer)),
    )


def _said(exc: Exception) -> str:
    if isinstance(exc, smtplib.SMTPResponseException):
        said = exc.smtp_error
        return (
            f"{exc.smtp_code} {said.decode(errors='replace') if isinstance(said, bytes) else said}"
        )
    return str(exc) or type(exc).__name__
