"""What may be kept of another server's answer, and how long it asks us to wait. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from horizon.personal import AT

LONGEST_PATIENCE_S = 86_400.0

# Servers like to repeat whom a mail was for; neither the log nor the message's row keeps that.
# Whatever has an @ goes, with what surrounds it: a quoted local part ("ann b"@example.com), one
# that a link encoded (ann%40example.com), a domain in brackets. The look back keeps a long word
# from being tried from each of its letters.
_ADDRESS = re.compile(
    r"""(?:"(?:[^"\\]|\\.)*"|\\"[^"]*\\"|(?<![^\s<>()\[\],;:"])[^\s<>()\[\],;:"]+)?"""
    rf"""{AT}(?:\[[^\]\s]*\]|[^\s<>()\[\],;:"]+)?""",
    re.IGNORECASE,
)
_AT = re.compile(AT, re.IGNORECASE)
_READ = (
    2_000  # characters: the pattern takes quadratic time, and no address kept in part is as long
)


def scrubbed(answer: str) -> str:
    """A provider's answer without addresses, on one line, at most 500 characters, none of which
    a table cannot hold (NUL) or a terminal would obey."""
    told = " ".join(answer.split())[:_READ]
    if not told.isprintable():
        told = "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in told)
    return (_ADDRESS.sub("(address)", told) if _AT.search(told) else told)[:500]


def read_patience(text: str | None, now: datetime) -> float | None:
    """Retry-After in seconds, which comes as seconds or as a date; None where it says nothing."""
    if text is None:
        return None
    try:
        wait_s = float(text) if text.isascii() and text.isdigit() else _until(text, now)
    except (ValueError, OverflowError):
        return None
    return min(max(wait_s, 0.0), LONGEST_PATIENCE_S)


def _until(text: str, now: datetime) -> float:
    then = parsedate_to_datetime(text)
    return ((then if then.tzinfo else then.replace(tzinfo=UTC)) - now).total_seconds()
