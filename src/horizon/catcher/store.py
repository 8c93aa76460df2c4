"""Received mails as files: one .eml each, on disk before the sender hears 250."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path

from horizon.catcher import message
from horizon.errors import HorizonError

# Nanoseconds of arrival, twenty digits so that names sort, and a random tail so that two
# catchers on one folder cannot write the same name.
_ID = re.compile(r"[0-9]{20}-[0-9a-f]{8}")
_SUMMARY_BYTES = 256 * 1024  # no header block worth showing is longer
_LEFTOVER_AGE_S = 3600.0


class NoSuchMailError(KeyError):
    """There is no mail with this id, or it is no id at all."""


@dataclass(frozen=True)
class MailSummary:
    """A mail as a list shows it. ``sender`` is the From header, ``to`` the envelope's."""

    id: str
    subject: str
    sender: str
    to: tuple[str, ...]
    received: datetime
    message_id: str
    size_bytes: int
    damaged: bool = False


class MailStore:
    """A folder of mails. Safe for use by many threads; a mail's file never changes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._summaries: dict[str, MailSummary] = {}
        self._last_ns = 0
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._remove_leftovers()
        except OSError as exc:
            raise HorizonError(
                f"the mail folder {folder} cannot be used ({exc.strerror}): "
                "make it a folder that you may write to."
            ) from exc

    def add(self, content: bytes, mail_from: str, rcpt_to: Sequence[str]) -> str:
        """Keep one mail and return its id. When this returns the mail outlives a power cut.

        Raises OSError, and then nothing is kept.
        """
        mail_id = self._next_id()
        part, final = self.folder / f".{mail_id}.part", self._path(mail_id)
        head = message.envelope_head(mail_from, rcpt_to, arrival(mail_id))
        try:
            _write_synced(part, (head, content))
            part.rename(final)
            _sync_folder(self.folder)
        except OSError:
            for path in (part, final):
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
            raise
        return mail_id

    def read(self, mail_id: str) -> EmailMessage:
        """The mail, parsed; its first headers are the envelope's. Raises NoSuchMailError."""
        return message.parse(self.raw(mail_id))

    def raw(self, mail_id: str) -> bytes:
        """The mail byte for byte, after the added headers. Raises NoSuchMailError."""
        try:
            return self._path(mail_id).read_bytes()
        except OSError as exc:
            raise NoSuchMailError(mail_id) from exc

    def count(self) -> int:
        return len(self._ids())

    def list(
        self, *, search: str = "", before: str = "", limit: int | None = None
    ) -> Sequence[MailSummary]:
        """Newest first; ``before`` an id, ``search`` in subject, From and recipients."""
        found: list[MailSummary] = []
        for mail_id in sorted(self._ids(), reverse=True):
            if before and mail_id >= before:
                continue
            if limit is not None and len(found) >= limit:
                break
            summary = self.summary(mail_id)
            if search.casefold() in _searchable(summary):
                found.append(summary)
        return found

    def summary(self, mail_id: str) -> MailSummary:
        """What the list shows of one mail; a damaged file gets a summary that says so."""
        known = self._summaries.get(mail_id)
        if known is None:
            known = self._summaries[mail_id] = _summarize(mail_id, self._path(mail_id))
        return known

    def _path(self, mail_id: str) -> Path:
        if not _ID.fullmatch(mail_id):
            raise NoSuchMailError(mail_id)
        return self.folder / f"{mail_id}.eml"

    def _ids(self) -> Sequence[str]:
        with os.scandir(self.folder) as entries:
            names = [entry.name[:-4] for entry in entries if entry.name.endswith(".eml")]
        return [name for name in names if _ID.fullmatch(name)]

    def _next_id(self) -> str:
        with self._lock:
            # Strictly rising, also when the clock is set back or two mails share a tick.
            self._last_ns = max(time.time_ns(), self._last_ns + 1)
            return f"{self._last_ns:020d}-{secrets.token_hex(4)}"

    def _remove_leftovers(self) -> None:
        """Files that a killed catcher had begun; nobody was told that they are kept."""
        for path in self.folder.glob(".*.part"):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > _LEFTOVER_AGE_S:
                    path.unlink()


def arrival(mail_id: str) -> datetime:
    seconds, nanoseconds = divmod(int(mail_id.partition("-")[0]), 1_000_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=nanoseconds // 1000)


def _write_synced(path: Path, pieces: Iterable[bytes]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.writelines(pieces)
        file.flush()
        os.fsync(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _searchable(summary: MailSummary) -> str:
    return "\n".join((summary.subject, summary.sender, *summary.to)).casefold()


def _summarize(mail_id: str, path: Path) -> MailSummary:
    received, size_bytes = arrival(mail_id), 0
    try:
        size_bytes = path.stat().st_size
        with path.open("rb") as file:
            head = message.Head.of(file.read(_SUMMARY_BYTES))
    except OSError:
        head = None
    if head is None:
        return MailSummary(mail_id, "", "", (), received, "", size_bytes, damaged=True)
    return MailSummary(
        id=mail_id,
        subject=head["Subject"],
        sender=head["From"] or head.mail_from,
        to=head.rcpt_to,
        received=received,
        message_id=head["Message-ID"],
        size_bytes=size_bytes,
    )
