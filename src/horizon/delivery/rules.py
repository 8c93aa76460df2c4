"""What a refusal means for a message. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from horizon.errors import TransportError

# Servers like to repeat whom a mail was for; neither the log nor the message's row keeps that.
_ADDRESS = re.compile(r"[^\s<>()\[\],;:\"']+@[^\s<>()\[\],;:\"']+")

MOST_ATTEMPTS = 8
FIRST_WAIT_S = 60
LONGEST_WAIT_S = 300


@dataclass(frozen=True)
class Verdict:
    """``status`` planned means: again, at ``retry_at``."""

    status: str
    reason: str | None
    retry_at: datetime | None = None


def scrubbed(answer: str) -> str:
    """A provider's answer without addresses, on one line, at most 500 characters."""
    return _ADDRESS.sub("(address)", " ".join(answer.split()))[:500]


def judge(exc: TransportError, attempts: int, now: datetime) -> Verdict:
    """What becomes of a message that was not taken, after ``attempts`` tries with this one.

    Where its content may have left, nobody can know, and it is never sent again by itself.
    """
    if exc.content_begun:
        return Verdict("unknown", "connection_broke")
    if exc.broken:
        # No word about this message: it waits a little and never fails of it.
        wait_s = min(2**attempts, LONGEST_WAIT_S)
        return Verdict("planned", None, now + timedelta(seconds=wait_s))
    if exc.permanent:
        return (
            Verdict("bounced", "address_invalid")
            if exc.address_invalid
            else Verdict("failed", "refused")
        )
    if attempts >= MOST_ATTEMPTS:
        return Verdict("failed", "too_many_attempts")
    return Verdict("planned", None, now + timedelta(seconds=FIRST_WAIT_S * 2 ** (attempts - 1)))
