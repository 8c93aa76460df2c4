"""What the first lines of a file would be as events; nothing is written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import msgspec

from horizon.events.model import Event, Rejected
from horizon.sources.bad_line import BadLineError
from horizon.sources.files import Interpreter
from horizon.sources.lines import Position

LOOK = 1_000  # lines: reasons that are frequent come up

_OURS = frozenset({"key", "source_id", "node_digests", "received_at", "trusted", "activity"})
_JSON = ("properties", "traits", "context", "consent")


@dataclass
class Preview:
    """The first events and the first rejected lines, and how many of ``read`` are which."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    read: int = 0
    events: int = 0
    rejected: int = 0


def preview(interpreter: Interpreter, most: int) -> Preview:
    """Of the first lines; at most so many events and as many rejected ones are shown."""
    shown = Preview()
    batches = interpreter.reader.batches(Position())
    items = (item for batch in batches for item in batch.items)
    for number, item in islice(items, max(LOOK, most)):
        shown.read += 1
        try:
            event = interpreter.event(number, item)
        except (BadLineError, Rejected) as bad:
            shown.rejected += 1
            if shown.rejected <= most:
                reason = {"code": bad.code, "reason": bad.message}
                shown.rows.append({interpreter.reader.unit: number, **reason})
            continue
        if event is None:
            shown.read -= 1
            continue
        shown.events += 1
        if shown.events <= most:
            fields = dict(_fields(event, interpreter.message_id(number)))
            shown.rows.append({interpreter.reader.unit: number, "event": fields})
    return shown


def _fields(event: Event, made_id: str) -> Iterator[tuple[str, Any]]:
    """What the line said, and what was made of it: no ids that depend on the whole file."""
    for name, value in msgspec.structs.asdict(event).items():
        if name in _OURS or value in (None, made_id):
            continue
        yield name, msgspec.json.decode(value) if name in _JSON else value
