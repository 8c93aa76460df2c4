"""A text file as numbered lines of bytes, in constant memory."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from horizon.errors import UsageError
from horizon.sources.stored import Limits, Stored
from horizon.sources.unpacking import BUFFER_BYTES, Unpacked

BATCH_LINES = 5_000
BATCH_BYTES = 8 * 2**20
HEAD_BYTES = 8192
CHECKING, READING = "checking", "reading"
_BOM = b"\xef\xbb\xbf"

Line = tuple[int, bytes]  # its number in the file, from 1, and its bytes with the line end
OnProgress = Callable[[str, int, int], None]  # the step, bytes read, bytes in all


class Position(NamedTuple):
    """Where to go on: an offset into the unpacked bytes (or a row), and the last line's number."""

    offset: int = 0
    number: int = 0


class Batch(NamedTuple):
    """Some lines or rows by their numbers, and where to go on after them."""

    items: list[tuple[int, Any]]
    end: Position


class TextLines:
    """The lines of a file, packed or not."""

    def __init__(self, stored: Stored, limits: Limits) -> None:
        self.stored = stored
        self.most_bytes = limits.line_bytes
        self._limits = limits
        self.head = self._open().peek(HEAD_BYTES)[:HEAD_BYTES]
        if b"\0" in self.head:
            raise UsageError(
                f"{stored.name} is not a text file: unpack it if it is an archive, and save it as "
                "UTF-8 if it is UTF-16."
            )
        if not self.head:
            raise UsageError(f"{stored.name} is empty: name a file with lines in it.")

    def digest(self, on_progress: OnProgress) -> str:
        """The SHA-256 of the unpacked text, so that packing it otherwise makes no other file of
        it. It reads the whole file, and so finds a damaged one before anything is written."""
        content, sha256 = self._open(), hashlib.sha256()
        while read := content.read(BUFFER_BYTES):
            sha256.update(read)
            self.stored.check_unchanged()  # one that grows as fast as it is read has no end
            on_progress(CHECKING, self.stored.tell(), self.stored.size_bytes)
        return sha256.hexdigest()

    def first(self) -> tuple[bytes, Position]:
        """The first line, and where the others begin."""
        content = self._open()
        raw = content.readline(self.most_bytes + 1)
        return raw.removeprefix(_BOM), Position(content.tell(), 1)

    def batches(self, start: Position, quote: bytes = b"") -> Iterator[Batch]:
        """With ``quote``, a line goes on in the next one while its quotes are odd in number."""
        content = self._open(start.offset)
        for some in batches(self._lines(content, start.number, quote)):
            number, raw = some[-1]
            yield Batch(some, Position(content.tell(), number + _breaks_in(raw)))

    def _open(self, offset: int = 0) -> io.BufferedReader:
        unpacked = Unpacked(self.stored, self._limits)
        unpacked.skip_to(offset)
        return io.BufferedReader(unpacked, BUFFER_BYTES)

    def _lines(self, content: io.BufferedReader, number: int, quote: bytes) -> Iterator[Line]:
        """Of a line above the limit only what shows that is held."""
        most = self.most_bytes + 1
        raw = b""
        while raw := content.readline(most):
            number += 1
            last = raw
            while quote and raw.count(quote) % 2 and len(raw) < most:
                if not (last := content.readline(most - len(raw))):
                    break
                raw += last
            rest = last if len(raw) == most else b"\n"
            while rest and not rest.endswith(b"\n"):
                rest = content.readline(most)
            yield number, raw.removeprefix(_BOM) if number == 1 else raw
            number += _breaks_in(raw)


def _breaks_in(raw: bytes) -> int:
    return raw.count(b"\n") - raw.endswith(b"\n")


def batches(lines: Iterable[Line]) -> Iterator[list[Line]]:
    """The lines in lists that are bounded in number and in bytes."""
    batch: list[Line] = []
    size_bytes = 0
    for line in lines:
        batch.append(line)
        size_bytes += len(line[1])
        if len(batch) >= BATCH_LINES or size_bytes >= BATCH_BYTES:
            yield batch
            batch, size_bytes = [], 0
    if batch:
        yield batch
