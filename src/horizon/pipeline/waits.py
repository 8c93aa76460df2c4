"""What a stage waits for, in one phrase. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from horizon.clock import utc_text

# Of the figures that are nouns: of 1 they are told so.
ONE = {
    "batches": "batch", "consents": "consent", "events": "event", "lines": "line",
    "messages": "message", "nodes": "node", "opt ins": "opt in", "profiles": "profile",
    "traits": "trait", "users": "user",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Lock:
    """A run that is under way, or one that waits for it to end."""

    granted: bool
    pid: int  # of the database's process
    role: str


@dataclass(frozen=True, slots=True)
class Schedule:
    """When the worker runs the stages; none: `horizon up` does not run."""

    next_at: datetime | None


@dataclass(frozen=True, slots=True)
class Mail:
    """What is to be sent, and what keeps it."""

    due: int = 0
    under_way: int = 0
    paused: int = 0
    held: int = 0
    later: int = 0
    next_at: datetime | None = None


def waits_for(status: str | None, locks: Sequence[Lock], schedule: Schedule, *, unread: int) -> str:
    """``status`` of its last run, ``unread`` what waits to be read by it."""
    running = next((one for one in locks if one.granted), None)
    queued = sum(not one.granted for one in locks)
    if running is not None and queued:
        return (
            f"{_several(queued, 'run')} until database process {running.pid} ({running.role}) ends "
            "its own"
        )
    if running is not None:
        return "nothing: it runs now"
    if status == "started":
        return f"{_next(schedule)}; the last run was killed, and the next one does its work"
    if status == "failed":
        return f"{_next(schedule)}, and for what its error names"
    if status == "done" and not unread:
        return f"something new; {_next(schedule)}"
    return _next(schedule)


def sender_waits_for(mail: Mail, schedule: Schedule) -> str:
    told = []
    if mail.under_way:
        told.append(f"answers to {mail.under_way:,} under way")
    if mail.due:
        told.append(f"{_next(schedule)}: {mail.due:,} are due")
    if mail.later:
        told.append(f"{_at(mail.next_at)}: {mail.later:,} are planned for later")
    if mail.held:
        told.append(f"`horizon campaign resume NAME`: a breaker holds {mail.held:,}")
    if mail.paused:
        told.append(f"`horizon campaign resume NAME`: {mail.paused:,} are of a paused campaign")
    return "; ".join(told) or "something to send"


def planner_waits_for(base: str, paused: Sequence[str]) -> str:
    return f"{base}; paused: {', '.join(paused)}" if paused else base


def told_lag(lag: timedelta | None, rows: int | None, what: str, most: int) -> str:
    """``12 events, 3 s``."""
    if rows is None:
        return ""
    if not rows:
        return "none"
    number = f"{rows:,}{' or more' if rows >= most else ''} {_one_or_many(rows, what)}"
    return number if lag is None else f"{number}, {told_span(lag)}"


def told_figure(stage: str, name: str, value: int) -> str:
    """``3 users``; the log calls what a stage handled its count."""
    if name == "count":
        name = "messages" if stage == "email" else "lines"
    return f"{value:,} {_one_or_many(value, name.replace('_', ' '))}"


def _one_or_many(number: int, many: str) -> str:
    return ONE.get(many, many) if number == 1 else many


def told_span(span: timedelta) -> str:
    seconds = max(0.0, span.total_seconds())
    for size, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.3g} s" if seconds < 10 else f"{seconds:.0f} s"


def _next(schedule: Schedule) -> str:
    if schedule.next_at is None:
        return "`horizon up`, which does not run"
    return f"its turn at {_at(schedule.next_at)}"


def _at(instant: datetime | None) -> str:
    return utc_text(instant) if instant else "its time"


def _several(count: int, what: str) -> str:
    return f"{count} {what}{'s' if count > 1 else ''}"
