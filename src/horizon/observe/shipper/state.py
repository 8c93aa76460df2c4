"""How far the shipper is behind the log, for whoever asks: read from the files alone, so that it is
right when no shipper runs."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from horizon import clock
from horizon.observe.shipper import files, position, rules
from horizon.observe.shipper.files import LogFile, LogUnreadableError
from horizon.observe.shipper.position import Place, Position
from horizon.settings import Settings

COUNT_BYTES = 2**24  # of each file are counted line by line; the rest is told from their length
STALE_S = 60  # a running shipper says something each second, or each time it asks in vain


class Status(msgspec.Struct, kw_only=True):
    """What the running shipper last said of itself."""

    pid: int
    at: str
    server: str = "starting"  # starting, well, away, stopped
    said: str = ""  # why it waits, in a sentence
    since: str = ""  # since when the server is so
    shipped: int = 0  # since it started: documents made,
    there: int = 0  # found there already,
    refused: int = 0  # and lines that went to the dead letters


class Lag(msgspec.Struct, kw_only=True, frozen=True):
    """``seconds`` is the age of the oldest line that is not shipped."""

    lines: int = 0
    bytes: int = 0
    seconds: float = 0.0
    exact: bool = True  # whether every line was counted
    running: bool = False
    status: Status | None = None
    lost_files: int = 0  # taken away by rotation before all of them was shipped
    lost_bytes: int = 0
    said: str = ""  # why it cannot be told


def lag(settings: Settings, now: datetime | None = None) -> Lag:
    """How far the index is behind the log. It asks no server, and never fails."""
    now = now or clock.now()
    stored = _stored(position.folder(settings) / "position.json")
    status = read_status(settings)
    lines = size = 0
    seconds, exact, said = 0.0, True, ""
    try:
        with files.opened(settings.log_path) as found:
            for one, place in files.placed(found, stored.places):
                waiting = _waiting(one, place)
                lines += waiting.lines
                size += waiting.size
                exact = exact and waiting.exact
                seconds = max(seconds, _age_s(waiting.first, now))
    except LogUnreadableError as exc:
        said = str(exc)
    return Lag(
        lines=lines, bytes=size, seconds=seconds, exact=exact, status=status,
        running=_is_running(status, now), said=said,
        lost_files=stored.lost_files, lost_bytes=stored.lost_bytes,
    )  # fmt: skip


def read_status(settings: Settings) -> Status | None:
    try:
        content = (position.folder(settings) / "status.json").read_bytes()
        return msgspec.json.decode(content, type=Status)
    except (OSError, msgspec.MsgspecError):
        return None


def _stored(path: Path) -> Position:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Position)
    except (OSError, msgspec.MsgspecError):
        return Position(target="")


def _is_running(status: Status | None, now: datetime) -> bool:
    if status is None or status.server == "stopped":
        return False
    return (now - datetime.fromisoformat(status.at)).total_seconds() < STALE_S


class _Waiting(NamedTuple):
    lines: int
    size: int
    exact: bool
    first: bytes


def _waiting(one: LogFile, place: Place) -> _Waiting:
    """Of one file: what stands behind its place, up to its last line break."""
    offset = place.offset if one.continues(place) else 0
    size = one.size - offset
    content = one.read(offset, min(size, COUNT_BYTES))
    lines = content.count(b"\n")
    if size <= COUNT_BYTES:
        size = content.rfind(b"\n") + 1
        return _Waiting(lines, size, True, content.partition(b"\n")[0] if size else b"")
    guessed = round(lines * size / len(content))
    return _Waiting(guessed, size, False, content.partition(b"\n")[0])


def _age_s(line: bytes, now: datetime) -> float:
    at = rules.line_time(line)
    return max(0.0, (now - at).total_seconds()) if at else 0.0
