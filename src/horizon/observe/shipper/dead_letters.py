"""Lines that never become documents, each with its reason, file and offset."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec

from horizon import clock

LONGEST_TEXT = 2**20
ROTATE_BYTES = 50_000_000
LOOK_BACK_BYTES = 2**24  # more than is under way at once, so that a crash doubles none


class DeadLetter(msgspec.Struct, kw_only=True):
    id: str
    reason: str
    file: str
    offset: int
    size_bytes: int
    line: str  # what is no UTF-8 in it is written like \\xff
    at: str = ""
    cut: bool = False  # the line is longer than what is kept of it here


def dead_letter(id_: bytes, reason: str, file: Path, offset: int, line: bytes) -> DeadLetter:
    text = line[:LONGEST_TEXT].decode(errors="backslashreplace")
    return DeadLetter(
        id=id_.decode(), reason=reason, file=str(file), offset=offset, size_bytes=len(line),
        line=text, cut=len(line) > LONGEST_TEXT,
    )  # fmt: skip


class DeadLetters:
    """A file of JSON lines that only its owner may read; one old file is kept."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known = set(_ids(path))
        self._lock = threading.Lock()

    def add(self, letters: Sequence[DeadLetter]) -> int:
        """Write those that are not there yet, durably; give back how many those were."""
        with self._lock:
            new = [one for one in letters if one.id not in self._known]
            if new:
                self._append(new)
                self._known.update(one.id for one in new)
            return len(new)

    def _append(self, letters: Sequence[DeadLetter]) -> None:
        if self.path.exists() and self.path.stat().st_size > ROTATE_BYTES:
            self.path.replace(self.path.with_name(f"{self.path.name}.1"))
            self._known.clear()
        now = clock.utc_text(clock.now())
        for one in letters:
            one.at = now
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            whole = b"".join(msgspec.json.encode(one) + b"\n" for one in letters)
            size = os.fstat(file).st_size
            if size and os.pread(file, 1, size - 1) != b"\n":  # a crash left half a letter
                whole = b"\n" + whole
            written = 0
            while written < len(whole):
                written += os.write(file, whole[written:])
            os.fsync(file)
        finally:
            os.close(file)


def _ids(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LOOK_BACK_BYTES))
            lines = file.read().split(b"\n")
    except FileNotFoundError:
        return []
    found = []
    for line in lines:
        try:
            found.append(msgspec.json.decode(line, type=DeadLetter).id)
        except msgspec.MsgspecError:  # half a line, where we began or where a crash ended it
            continue
    return found
