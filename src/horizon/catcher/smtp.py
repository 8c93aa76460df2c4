"""The SMTP side: every mail that is answered 250 is on disk."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging

from aiosmtpd.smtp import SMTP, Envelope, Session

from horizon.catcher.store import MailStore

SIZE_LIMIT_BYTES = 25 * 1024 * 1024
_IDLE_S = 300.0
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_log = logging.getLogger(__name__)


class Receiver:
    """aiosmtpd's handler: what to do with a mail that has arrived."""

    def __init__(self, store: MailStore) -> None:
        self._store = store
        self._closing = False
        self._writing = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def close(self, timeout_s: float) -> None:
        """Take no further mail, and wait until those being written are answered.

        A mail on disk whose sender hears nothing would be sent again, or stay unknown.
        """
        self._closing = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), timeout_s)
        await asyncio.sleep(0.05)  # the answers go out

    async def handle_DATA(  # noqa: N802 - aiosmtpd finds it by this name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        del server, session
        if self._closing:
            return "451 4.3.2 The mail catcher is stopping: try again later."
        content, mail_from = envelope.content, envelope.mail_from
        if not isinstance(content, bytes) or mail_from is None:
            return "451 4.3.0 The mail did not arrive whole: try again."
        self._writing += 1
        self._idle.clear()
        try:
            return await self._keep(content, mail_from, list(envelope.rcpt_tos))
        finally:
            self._writing -= 1
            if not self._writing:
                self._idle.set()

    async def _keep(self, content: bytes, mail_from: str, rcpt_to: list[str]) -> str:
        try:
            # In a thread: an fsync takes milliseconds, and other senders need not wait for it.
            mail_id = await asyncio.to_thread(self._store.add, content, mail_from, rcpt_to)
        except OSError as error:
            if error.errno in _FULL:
                return "452 4.3.1 No space left for mail: make room and try again."
            return f"451 4.3.0 The mail cannot be kept ({error.strerror}): try again."
        return f"250 2.0.0 Kept as {mail_id}"

    async def handle_exception(self, error: Exception) -> str:
        """Ours to mend, so the sender is told to try again and not that the mail is bad."""
        _log.error("mail catcher failed", exc_info=error)
        return "451 4.3.0 The mail catcher failed: try again."


async def listen(receiver: Receiver, host: str, port: int) -> asyncio.Server:
    """Serve SMTP with 8BITMIME and SMTPUTF8 on one port. Raises OSError."""
    # Its warnings quote what clients send, which is personal data.
    logging.getLogger("mail.log").setLevel(logging.CRITICAL)
    loop = asyncio.get_running_loop()

    def session() -> SMTP:
        return SMTP(
            receiver,
            loop=loop,
            hostname="horizon.localhost",  # unasked, aiosmtpd looks the name up, which can hang
            ident="Horizon mail catcher",
            data_size_limit=SIZE_LIMIT_BYTES,
            enable_SMTPUTF8=True,
            timeout=_IDLE_S,
        )

    return await loop.create_server(session, host, port)
