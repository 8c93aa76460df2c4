"""Lines that are read together, sent together, and settled together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from zlib import crc32

from horizon.observe.shipper import rules
from horizon.observe.shipper.dead_letters import DeadLetter, dead_letter
from horizon.observe.shipper.files import LogFile
from horizon.observe.shipper.position import Place


@dataclass(frozen=True)
class Batch:
    """``end`` is where the next one begins; the items are those of whole, sound lines."""

    place: Place
    log_file: LogFile
    end: int
    last_start: int
    last_sum: int
    items: list[bytes]
    lines: int
    letters: list[DeadLetter] = field(default_factory=list)

    def settle(self) -> None:
        self.place.offset = self.end
        self.place.last_start, self.place.last_sum = self.last_start, self.last_sum

    def refused(self, item: bytes, reason: str) -> DeadLetter:
        """The dead letter of an item, with the line as it was sent."""
        id_, line = rules.id_of(item), item.split(b"\n", 2)[1]
        file, offset = self.log_file.path, rules.offset_of(id_)
        return dead_letter(id_, f"refused: {reason}", file, offset, line)


def make_batch(place: Place, log_file: LogFile, offset: int, content: bytes) -> Batch:
    """The batch of ``content``, whole lines that begin at ``offset``."""
    key = bytes.fromhex(place.key)
    items: list[bytes] = []
    letters: list[DeadLetter] = []
    start, line = offset, b""
    lines = content.removesuffix(b"\n").split(b"\n")
    for line in lines:
        try:
            items.append(rules.item(key, start, line))
        except rules.MalformedLineError as exc:
            if line.strip():
                id_ = rules.document_id(key, start, line)
                letters.append(dead_letter(id_, str(exc), log_file.path, start, line))
        start += len(line) + 1
    end = offset + len(content)
    return Batch(
        place, log_file, end, start - len(line) - 1, crc32(line), items, len(lines), letters
    )


def too_long(
    place: Place, log_file: LogFile, offset: int, end: int, find: Callable[[int, int], bytes]
) -> Batch:
    """A line that is longer than any that is shipped: only a dead letter, with its beginning."""
    checksum = 0
    for start in range(offset, end, 2**20):
        checksum = crc32(find(start, min(2**20, end - start)).removesuffix(b"\n"), checksum)
    id_ = rules.id_from(bytes.fromhex(place.key), offset, checksum)
    beginning = find(offset, 2**20 + 1)
    letter = dead_letter(id_, "longer than 16 MiB", log_file.path, offset, beginning)
    letter.size_bytes = end - offset
    return Batch(place, log_file, end, offset, checksum, [], 1, [letter])
