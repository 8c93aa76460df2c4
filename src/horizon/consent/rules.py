"""What the words of other systems' exports mean. Pure."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from horizon.events.message import email_in
from horizon.events.times import read_time

EVERY_PURPOSE = "*"
PURPOSE = re.compile(r"[a-z][a-z0-9_]{0,62}")
CHANNEL = re.compile(r"[a-z][a-z0-9_-]{0,63}")
WORDING_LENGTH = 2_000

_YES = frozenset({"yes", "true", "1"})
_NO = frozenset({"no", "false", "0"})
# Go's time.String(): 2020-02-10 23:07:16.199433 +0100 CET
_GO_TIME = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d+)?) ([+-]\d\d)(\d\d)\b.*")
# RFC 3463 5.1.1 mailbox, 5.1.2 system, 5.1.3 syntax, 5.1.6 moved without a new address; RFC 7505
# 5.1.10 null MX. 5.1.7 and 5.1.8 speak of the sender, 5.2.x, 5.4.x and 5.7.x of another trouble.
_ENHANCED = re.compile(r"\b5\.\d{1,3}\.\d{1,3}\b")
_INVALID = frozenset({"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10"})
_INVALID_WORDS = re.compile(
    r"(no such|unknown|invalid|nonexist\w*|non-exist\w*) (local )?(user|mailbox|recipient|address)"
    r"|(user|mailbox|recipient|account|address)( is)? (unknown|invalid|not found)"
    r"|does ?n[o']t exist|does not have an account",
    re.IGNORECASE,
)
_SENDER = re.compile(r"\bsender\b|\bfrom address\b", re.IGNORECASE)
_UNREADABLE = re.compile("[\ud800-\udfff\ufffd]")
_AHEAD = timedelta(hours=24)


class BadLineError(Exception):
    """A line that says nothing usable; the text says what to mend, without what stands in it."""


class Consent(NamedTuple):
    """A yes or no; ``time`` None where the export does not say when."""

    address: str
    purpose: str
    channel: str
    granted: bool
    time: datetime | None
    wording: str | None


class Suppression(NamedTuple):
    address: str
    purpose: str
    reason: str
    time: datetime | None


class Left(NamedTuple):
    """A line that is understood and changes nothing, and why."""

    why: str


Found = Consent | Suppression | Left


def address_of(text: str) -> str:
    """The address of a cell. Raises BadLineError."""
    address = email_in({"email": text})
    if _UNREADABLE.search(text):
        raise BadLineError("it is not in the file's encoding: name that with --encoding")
    if address is None:
        raise BadLineError("there is no e-mail address in it")
    return address


def granted_of(text: str) -> bool:
    word = text.strip().lower()
    if word in _YES:
        return True
    if word in _NO:
        return False
    raise BadLineError("granted should be yes, no, true, false, 1 or 0")


def time_of(text: str, now: datetime) -> datetime | None:
    """ISO 8601, RFC 2822 or Go's form; None for an empty cell. Raises BadLineError."""
    text = text.strip()
    if not text:
        return None
    found = read_time(_GO_TIME.sub(r"\1T\2\3:\4", text)) or _mail_time(text)
    if found is None:
        raise BadLineError("the time should look like 2026-06-15T12:00:00Z")
    if found - now > _AHEAD:
        raise BadLineError("the time lies in the future")
    return found


def _mail_time(text: str) -> datetime | None:
    try:
        return read_time(parsedate_to_datetime(text).isoformat())
    except (ValueError, OverflowError, IndexError, TypeError):  # what odd texts make of it
        return None


def address_is_invalid(code: str, error: str) -> bool:
    """Whether a bounce says that nobody has the address; full or angry mailboxes do not count.

    An enhanced status decides alone; without one, words beside a permanent code of the mailbox.
    """
    if enhanced := _ENHANCED.search(f"{code} {error}"):
        return enhanced[0] in _INVALID
    if code.strip() not in ("550", "551", "553", "554") or _SENDER.search(error):
        return False
    return _INVALID_WORDS.search(error) is not None
