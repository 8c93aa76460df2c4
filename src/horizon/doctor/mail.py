"""The mail server: reached, trusted, signed in, and what it offers. Nothing is sent."""

from __future__ import annotations

import contextlib
import smtplib
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from horizon.delivery.channels.smtp.transport import IMPLICIT_TLS_PORT
from horizon.doctor.finding import Case, Finding, ok, problem, warning
from horizon.settings import LOOPBACK, Settings

PART: Final = "mail server"
ANSWER_S: Final = 8.0
WARNING_DAYS: Final = 21
GOOD: Final = {
    "pipelining": "each message then costs one round trip more",
    "8bitmime": "mails then have to be encoded longer",
    "smtputf8": "addresses outside ASCII are then refused",
    "size": "a mail that is too large is then known only when it was sent",
}


def check_mail_server(case: Case) -> Iterator[Finding]:
    settings = case.settings
    host, port = settings.smtp_address
    try:
        smtp = _dial(settings)
    except (OSError, smtplib.SMTPException) as exc:
        yield _unreached(settings, exc)
        return
    with contextlib.closing(smtp):
        try:
            yield from _session(smtp, case)
        except (OSError, smtplib.SMTPException) as exc:
            yield problem(PART, f"{host}:{port} broke off ({said(exc)})", "Look at its log.")


def _dial(settings: Settings) -> smtplib.SMTP:
    """Raises OSError, SMTPException."""
    host, port = settings.smtp_address
    limit_s, name = min(ANSWER_S, settings.SMTP_TIMEOUT_S), socket.gethostname()
    if port == IMPLICIT_TLS_PORT:
        context = ssl.create_default_context()
        return smtplib.SMTP_SSL(host, port, name, timeout=limit_s, context=context)
    return smtplib.SMTP(host, port, name, timeout=limit_s)


def _unreached(settings: Settings, exc: Exception) -> Finding:
    host, port = settings.smtp_address
    if settings.SMTP_HOST is None:
        return ok(PART, "none is set; `horizon up` starts the local catcher")
    if isinstance(exc, ssl.SSLError):
        return _untrusted(settings, exc)
    if isinstance(exc, socket.gaierror):
        todo = "Look at SMTP_HOST's spelling, and at this machine's name server."
    elif "timed out" in said(exc):  # smtplib makes an error of its own of it
        todo = "Many networks close port 25 and 587: ask whose network this is, or set SMTP_PORT."
    else:
        todo = "Look at SMTP_HOST and SMTP_PORT, and whether that server runs."
    return problem(PART, f"{host}:{port} does not answer ({said(exc)})", todo)


def _untrusted(settings: Settings, exc: ssl.SSLError) -> Finding:
    host, port = settings.smtp_address
    why = getattr(exc, "verify_message", "") or exc.reason or "no TLS"
    todo = "Set SMTP_HOST to the name in its certificate, or have its administrator renew it."
    return problem(PART, f"{host}:{port} has a certificate that proves nothing ({why})", todo)


def _session(smtp: smtplib.SMTP, case: Case) -> Iterator[Finding]:
    settings = case.settings
    smtp.ehlo_or_helo_if_needed()
    encrypted = isinstance(smtp, smtplib.SMTP_SSL)
    if not encrypted and smtp.has_extn("starttls"):
        try:
            smtp.starttls(context=ssl.create_default_context())
        except ssl.SSLError as exc:
            yield _untrusted(settings, exc)
            return
        smtp.ehlo()
        encrypted = True
    if encrypted:
        yield from _certificate(smtp, case.clock)
    elif settings.mails_leave:
        yield warning(
            PART, "it offers no TLS, so mails travel in the clear",
            "Ask its administrator for STARTTLS, or set SMTP_PORT=465.",
        )  # fmt: skip
    yield from _sign_in(smtp, settings, encrypted=encrypted)
    yield from _offers(smtp, settings)
    smtp.quit()


def _sign_in(smtp: smtplib.SMTP, settings: Settings, *, encrypted: bool) -> Iterator[Finding]:
    host, port = settings.smtp_address
    user, password = settings.SMTP_USER, settings.SMTP_PASSWORD
    if not user or password is None:
        smtp.noop()
        yield ok(PART, f"{host}:{port} answers; nobody signs in")
        return
    if not encrypted and host not in LOOPBACK:
        yield problem(
            PART, "it offers no TLS, and a password never travels without",
            "Ask its administrator for STARTTLS, or set SMTP_PORT=465.",
        )  # fmt: skip
        return
    try:
        smtp.login(user, password)
    except smtplib.SMTPException as exc:
        yield problem(
            PART, f"{host}:{port} does not let {user} in ({said(exc).replace(password, '***')})",
            "Set SMTP_USER and SMTP_PASSWORD to what your provider shows.",
        )  # fmt: skip
        return
    smtp.noop()
    yield ok(PART, f"{host}:{port} answers and lets {user} in")


def _certificate(smtp: smtplib.SMTP, clock: datetime) -> Iterator[Finding]:
    if not isinstance(smtp.sock, ssl.SSLSocket):
        return
    ends = (smtp.sock.getpeercert() or {}).get("notAfter")
    if not isinstance(ends, str):
        return
    left = datetime.fromtimestamp(ssl.cert_time_to_seconds(ends), UTC) - clock
    if left < timedelta(days=WARNING_DAYS):
        yield warning(
            PART, f"its certificate ends in {left.days} days; from then on no mail leaves",
            "Have its administrator renew it.",
        )  # fmt: skip


def _offers(smtp: smtplib.SMTP, settings: Settings) -> Iterator[Finding]:
    missing = [name for name in GOOD if not smtp.has_extn(name)]
    if missing and settings.mails_leave:
        told = "; ".join(f"{name.upper()}: {GOOD[name]}" for name in missing)
        yield warning(
            PART, f"it does not offer {told}", "Ask its administrator, or choose another provider."
        )


def said(exc: Exception) -> str:
    if isinstance(exc, smtplib.SMTPResponseException):
        text = exc.smtp_error
        return (
            f"{exc.smtp_code} {text.decode(errors='replace') if isinstance(text, bytes) else text}"
        )
    return getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
