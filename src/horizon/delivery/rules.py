"""What a refusal means for a message. Pure."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import msgspec

from horizon.errors import TransportError, UsageError
from horizon.outbound.answers import scrubbed as scrubbed

_RATE = re.compile(r"(\d+(?:\.\d+)?)/([smh])")
_SECONDS = {"s": 1, "m": 60, "h": 3600}

MOST_ATTEMPTS = 8
FIRST_WAIT_S = 60
LONGEST_WAIT_S = 300


class Verdict(msgspec.Struct, frozen=True):
    """``status`` planned means: again, at ``retry_at``."""

    status: str
    reason: str | None
    retry_at: datetime | None = None


def parse_rate(text: str) -> float:
    """``20/s``, ``100/m``, ``5000/h`` as messages a second. Raises UsageError."""
    found = _RATE.fullmatch(text.strip())
    if found is None or float(found[1]) <= 0:
        raise UsageError(f"--rate {text!r} is not a rate: write it like 20/s, 100/m or 5000/h.")
    return float(found[1]) / _SECONDS[found[2]]


def judge(exc: TransportError, attempts: int, now: datetime) -> Verdict:
    """What becomes of a message that was not taken, after ``attempts`` tries with this one.

    Where its content may have left, nobody can know, and it is never sent again by itself.
    """
    if exc.content_begun:
        return Verdict("unknown", "connection_broke")
    if exc.broken:
        # No word about this message: it waits a little and never fails of it.
        return Verdict("planned", None, now + timedelta(seconds=min(2**attempts, LONGEST_WAIT_S)))
    if exc.permanent:
        return (
            Verdict("bounced", "address_invalid")
            if exc.address_invalid
            else Verdict("failed", "refused")
        )
    if attempts >= MOST_ATTEMPTS:
        return Verdict("failed", "too_many_attempts")
    wait_s = max(FIRST_WAIT_S * 2 ** (attempts - 1), exc.retry_after_s or 0)
    return Verdict("planned", None, now + timedelta(seconds=wait_s))
