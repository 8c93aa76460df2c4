"""SMTP: one connection, one message at a time, verified TLS wherever a password travels."""

from __future__ import annotations

import re
import smtplib
import socket
import ssl
from collections.abc import Callable

from horizon.errors import TransportError
from horizon.settings import Settings

LOOPBACK = {"127.0.0.1", "::1", "localhost"}
IMPLICIT_TLS_PORT = 465
ADDRESS_INVALID = re.compile(r"^5\d\d[ -]5\.1\.[1236]\b")  # RFC 3463: the mailbox does not exist

_LEADING_DOT = re.compile(rb"(?m)^\.")


class SmtpTransport:
    """See delivery.ports.Transport."""

    def __init__(self, settings: Settings, mail_from: str) -> None:
        self._settings = settings
        self._host, self._port = settings.smtp_address
        self._mail_from = mail_from
        self._smtp: smtplib.SMTP | None = None

    def connect(self) -> None:
        self.close()
        try:
            self._smtp = self._open()
        except (OSError, smtplib.SMTPException) as exc:
            raise self._away(_said(exc)) from exc

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

    def offer(self, to_addr: str) -> None:
        options = [] if to_addr.isascii() else self._utf8_options()
        try:
            self._ask(lambda smtp: smtp.mail(self._mail_from, options))
        except TransportError as exc:
            if exc.permanent:
                # Refused before it heard for whom: that is about us and not about this message.
                raise self._away(str(exc)) from exc
            raise
        self._ask(lambda smtp: smtp.rcpt(to_addr))

    def _utf8_options(self) -> list[str]:
        if self._smtp is not None and self._smtp.has_extn("smtputf8"):
            self._smtp.command_encoding = "utf-8"
            return ["SMTPUTF8"]
        raise TransportError(
            "the server takes no address outside ASCII (no SMTPUTF8)", permanent=True
        )

    def withdraw(self) -> None:
        self._ask(lambda smtp: smtp.rset())

    def deliver(self, content: bytes) -> str:
        self._ask(lambda smtp: smtp.docmd("DATA"), wanted=354)
        stuffed = _LEADING_DOT.sub(b"..", content)
        return self._ask(lambda smtp: _content(smtp, stuffed), content_begun=True)

    def close(self) -> None:
        smtp, self._smtp = self._smtp, None
        if smtp is not None:
            try:
                smtp.quit()
            except (OSError, smtplib.SMTPException):
                smtp.close()

    def _ask(
        self,
        command: Callable[[smtplib.SMTP], tuple[int, bytes]],
        *,
        wanted: int = 250,
        content_begun: bool = False,
    ) -> str:
        """Give a command and want its answer; a broken connection is closed and named."""
        if self._smtp is None:
            raise TransportError("the connection is closed")
        try:
            code, said = command(self._smtp)
        except (OSError, smtplib.SMTPException) as exc:
            self._drop()
            raise TransportError(_said(exc), content_begun=content_begun, broken=True) from exc
        answer = f"{code} {said.decode(errors='replace')}".replace("\n", " ")
        if code // 100 != wanted // 100:
            self._recover(code)
            raise TransportError(
                answer,
                permanent=code // 100 == 5,
                address_invalid=bool(ADDRESS_INVALID.match(answer)),
            )
        return answer

    def _recover(self, code: int) -> None:
        """After a refusal the connection serves the next message, unless the server left."""
        if code in (421, -1):
            self._drop()
            return
        try:
            if self._smtp is not None:
                self._smtp.rset()
        except (OSError, smtplib.SMTPException):
            self._drop()

    def _drop(self) -> None:
        if self._smtp is not None:
            self._smtp.close()
            self._smtp = None

    @property
    def connected(self) -> bool:
        return self._smtp is not None


def _content(smtp: smtplib.SMTP, stuffed: bytes) -> tuple[int, bytes]:
    smtp.send(stuffed + b".\r\n")
    return smtp.getreply()


def _said(exc: Exception) -> str:
    if isinstance(exc, smtplib.SMTPResponseException):
        said = exc.smtp_error
        return (
            f"{exc.smtp_code} {said.decode(errors='replace') if isinstance(said, bytes) else said}"
        )
    return str(exc) or type(exc).__name__
