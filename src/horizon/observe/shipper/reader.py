"""Reads what the log's files hold behind their places, in batches of whole lines."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from horizon.observe.shipper import files
from horizon.observe.shipper.batch import Batch, make_batch, too_long
from horizon.observe.shipper.files import LogFile, LogUnreadableError
from horizon.observe.shipper.position import Place, Position

CHUNK_BYTES = 2**21
LONGEST_LINE_BYTES = 2**24  # a server with a small heap would refuse it for ever
QUIET_S = 5  # after that a rotated file's last line gets no line break any more
GONE_AFTER = 3  # looks in a row, since a look may fall between two renames


class Reader:
    def __init__(self, log_path: Path, position: Position) -> None:
        self._log_path = log_path
        self.position = position
        self._read: dict[str, int] = {}  # by place: what batches are made of already
        self._searched: dict[str, int] = {}  # by place: where a too long line goes on
        self._open: set[str] = set()  # places whose files are held open: rotation takes none

    def look(self, now: datetime, *, once: bool = False) -> Iterator[Batch]:
        """Everything that is there now, oldest first. Raises LogUnreadableError.

        Each batch has to be settled, in this order, before a new reader takes over; not before the
        next look.
        """
        with files.opened(self._log_path) as found:
            placed = self._see(found)
            self._open = {place.key for _, place in placed}
            for one, place in placed:
                self._start(one, place)
                quiet = once or now.timestamp() - one.changed_at > QUIET_S
                yield from self._batches(one, place, final=one.final and quiet)
            self._open = set()

    def glance(self) -> None:
        """See what rotation makes and takes while a look waits for the server."""
        with contextlib.suppress(LogUnreadableError), files.opened(self._log_path) as found:
            self._see(found)

    def _see(self, found: list[LogFile]) -> list[tuple[LogFile, Place]]:
        placed = files.placed(found, self.position.places)
        for one, place in placed:
            place.size, place.missed = one.size, 0
        self._count_lost({place.key for _, place in placed} | self._open)
        return placed

    def _start(self, one: LogFile, place: Place) -> None:
        begun = self._read.setdefault(place.key, place.offset)
        if begun == place.offset and not one.continues(place):
            # It was cut or written anew under the same first line. What is there already is the
            # same document, so nothing is doubled by reading it from its start.
            place.offset = place.last_start = place.last_sum = 0
            self._read[place.key] = 0

    def _batches(self, one: LogFile, place: Place, *, final: bool) -> Iterator[Batch]:
        while (offset := self._read[place.key]) < one.size:
            content = self._lines(one, place, offset, final=final)
            if content is None:
                batch = self._too_long(one, place, offset, final=final)
            else:
                batch = make_batch(place, one, offset, content) if content else None
            if batch is None:
                return
            if batch.letters and not self._still_so(one, place, offset, content):
                return
            self._read[place.key] = batch.end
            yield batch

    def _lines(self, one: LogFile, place: Place, offset: int, *, final: bool) -> bytes | None:
        """Whole lines from ``offset`` on; empty while there is but half a line; None where the
        first one is too long."""
        if offset < self._searched.get(place.key, 0):
            return None
        size = CHUNK_BYTES
        while True:
            content = one.read(offset, min(size, one.size - offset))
            whole = content[: content.rfind(b"\n") + 1]
            ended = offset + len(content) >= one.size or len(content) < size
            if whole:
                return whole if not (final and ended) else content
            if ended:
                return content if final and content else b""
            if size >= LONGEST_LINE_BYTES:
                return None
            size = min(size * 4, LONGEST_LINE_BYTES)

    def _too_long(self, one: LogFile, place: Place, offset: int, *, final: bool) -> Batch | None:
        start = max(self._searched.get(place.key, 0), offset)
        end = None
        while end is None and start < one.size:
            content = one.read(start, min(2**20, one.size - start))
            if not content:
                break
            at = content.find(b"\n")
            end = start + at + 1 if at >= 0 else None
            start += len(content)
        if end is None and not final:
            self._searched[place.key] = start
            return None
        self._searched.pop(place.key, None)
        return too_long(place, one, offset, end or one.size, one.read)

    @staticmethod
    def _still_so(one: LogFile, place: Place, offset: int, content: bytes | None) -> bool:
        """Whether a line is malformed for good: one that was read while its writer was killed, and
        another cut its half away, reads otherwise now."""
        return content is None or (
            one.read(offset, len(content)) == content and one.continues(place)
        )

    def _count_lost(self, found: set[str]) -> None:
        for place in list(self.position.places):
            if place.key in found:
                continue
            place.missed += 1
            if place.missed < GONE_AFTER:
                continue
            read = max(place.offset, self._read.get(place.key, 0))
            if place.size > read:
                self.position.lost_files += 1
                self.position.lost_bytes += place.size - read
            self.position.places.remove(place)
            self._read.pop(place.key, None)
            self._searched.pop(place.key, None)
