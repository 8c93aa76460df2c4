"""How the summary and the page say things: numbers, times, and why nobody was written to."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

MINUTE_S, HOUR_S, DAY_S = 60, 3_600, 86_400

CAMPAIGNS = {
    "miss_you": "for those at risk, one an alert",
    "good_activity": "for those who are active, one in 30 days",
    "demo": "to the operator's own address",
}

# By status and reason. Where a reason is missing here, its own name is shown.
OUTCOMES = {
    ("skipped", "refused"): "said no to e-mail",
    ("skipped", "no_consent"): "never said yes to e-mail",
    ("skipped", "no_address"): "no e-mail address is known",
    ("skipped", "invalid_address"): "the address cannot be written to",
    ("skipped", "same_address"): "another profile with this address gets the mail",
    ("skipped", "already_reached"): "the person or the address has had this mail already",
    ("skipped", "unsubscribed"): "unsubscribed",
    ("skipped", "hard_bounce"): "an earlier mail could not be delivered",
    ("skipped", "complaint"): "complained about an earlier mail",
    ("skipped", "manual"): "taken off the list by hand",
    ("skipped", "restored"): "a backup was restored: what was sent since is not known",
    ("failed", "refused"): "the mail server refused the mail",
    ("failed", "template"): "the template could not be filled in",
    ("failed", "too_many_attempts"): "the mail server put it off too often",
    ("bounced", "address_invalid"): "the mail server does not know the address",
    ("unknown", "sender_stopped"): "the sender stopped before the answer came",
    ("unknown", "connection_broke"): "the connection broke before the answer came",
}

# By the reason of a suppression.
CAME_BACK = {
    "unsubscribed": "unsubscribed",
    "hard_bounce": "bounced",
    "complaint": "complained",
    "manual": "taken off by hand",
}

WAYS = {
    "identify": "in an identify call",
    "one_click": "with one click in a mail",
    "page": "on the unsubscribe page",
}


def outcome(status: str, reason: str | None) -> str:
    return OUTCOMES.get((status, reason or ""), (reason or status).replace("_", " "))


def number(value: int) -> str:
    return f"{value:,}"


def counted(value: int, one: str, many: str = "") -> str:
    """``1 mail``, ``1,200 mails``."""
    return f"{value:,} {one if value == 1 else many or one + 's'}"


def duration(seconds: float) -> str:
    """The two largest units: ``13 days and 6 hours``, ``1 hour and 20 minutes``."""
    left = max(0, int(seconds))
    parts = []
    for unit_s, unit in ((DAY_S, "day"), (HOUR_S, "hour"), (MINUTE_S, "minute")):
        units, left = divmod(left, unit_s)
        parts.append((units, unit))
    while len(parts) > 1 and parts[0][0] == 0:
        parts.pop(0)
    return " and ".join(counted(*part) for part in parts[:2] if part[0] or part is parts[0])


def plain(value: float) -> str:
    """``14`` and not ``14.0``; never in powers of ten."""
    return f"{value:,.6f}".rstrip("0").rstrip(".")


def day(instant: datetime) -> str:
    utc = instant.astimezone(UTC)
    return f"{utc.day} {utc:%B}"


def date(instant: datetime) -> str:
    return f"{day(instant)} {instant.astimezone(UTC):%Y}"


def moment(instant: datetime) -> str:
    """``23 Nov 2026, 02:28:40.646``: UTC, to the millisecond."""
    utc = instant.astimezone(UTC)
    return f"{utc.day} {utc:%b %Y, %H:%M:%S}.{utc.microsecond // 1000:03d}"


def place(path: Path) -> str:
    """A path as its reader would type it: below the current folder without what leads there."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def command() -> str:
    """``horizon`` as it is typed from here."""
    program = Path(sys.prefix) / "bin" / "horizon"
    short = place(program)
    return short if program.exists() and not short.startswith("/") else "horizon"
