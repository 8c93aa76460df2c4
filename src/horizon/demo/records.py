"""What a run left on disk: the mails as received, and its lines in the log."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from horizon.catcher import message
from horizon.catcher.store import MailStore

SHOWN_HEADERS = ("From", "To", "Subject", "Date", "List-Unsubscribe", "List-Unsubscribe-Post")
LOG_TAIL_BYTES = 4_000_000  # a run of the demo writes about 70,000

# One a message, an alert or a score: counted on the page, not repeated there.
DETAIL_LINES = frozenset({"message", "alert_created", "score_detail"})


@dataclass(frozen=True)
class Mail:
    """A mail as it was received; ``file`` is its name in the mail folder."""

    message_id: UUID
    campaign: str
    file: str
    headers: Sequence[tuple[str, str]]
    html: str
    text: str


@dataclass(frozen=True)
class LogLine:
    stage: str
    component: str
    message: str
    level: str
    time: str
    figures: Mapping[str, object]
    raw: str


@dataclass(frozen=True)
class LogShown:
    """``lines`` of the stages in their order; ``details`` how many stand beside them, by kind."""

    path: Path
    lines: Sequence[LogLine]
    details: Mapping[str, int]


@dataclass(frozen=True)
class Received:
    """A mail that arrived: its whole Message-ID, and its file in the mail folder."""

    message_id: str
    file: str


def received(folder: Path) -> dict[str, Received]:
    """What the folder has, by the left part of the Message-ID: the message's own id."""
    if not folder.is_dir():
        return {}
    return {
        mail.message_id.lstrip("<").partition("@")[0]: Received(mail.message_id, f"{mail.id}.eml")
        for mail in MailStore(folder).list()
    }


def read_mail(folder: Path, found: Received, campaign: str, message_id: UUID) -> Mail:
    raw = (folder / found.file).read_bytes()
    parsed, head = message.parse(raw), message.Head.of(raw)
    return Mail(
        message_id=message_id,
        campaign=campaign,
        file=found.file,
        headers=[(name, head[name]) for name in SHOWN_HEADERS if head and head[name]],
        html=message.html_body(parsed) or "",
        text=message.text_body(parsed) or "",
    )


def read_log(path: Path, run: UUID) -> LogShown:
    """The run's lines. A log that cannot be read, or lost its lines to a rotation, shows none."""
    lines: list[LogLine] = []
    details: dict[str, int] = {}
    for raw, fields in _lines_of(path, str(run)):
        name = str(fields.get("message"))
        if name in DETAIL_LINES:
            details[name] = details.get(name, 0) + 1
        else:
            lines.append(_log_line(raw, fields))
    return LogShown(path, lines, details)


def _lines_of(path: Path, run: str) -> Iterable[tuple[str, dict[str, Any]]]:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LOG_TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return
    for raw in text.split("\n"):  # splitlines() cuts a line at U+0085 and its like too
        if run not in raw:
            continue
        try:
            fields = json.loads(raw)
        except ValueError:  # the first line of the tail may be half a line
            continue
        if isinstance(fields, dict) and fields.get("correlation_id") == run:
            yield raw, fields


def _log_line(raw: str, fields: dict[str, Any]) -> LogLine:
    head = {name: str(fields.pop(name, "")) for name in ("stage", "component", "message", "level")}
    time = str(fields.pop("ts", ""))
    fields.pop("correlation_id", None)
    return LogLine(**head, time=time, figures=dict(_flat(fields)), raw=raw)


def _flat(fields: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """What stands in a figure of figures (the reasons) stands beside the others."""
    for name, value in fields.items():
        if isinstance(value, dict):
            yield from _flat(value)
        else:
            yield name, value
