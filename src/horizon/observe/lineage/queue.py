"""A queue of lines on disk: many processes append, one takes away.

``NNNNNNNNNN.jsonl`` hold the lines in their order, ``sent`` how far they were taken. A line is
whole or not there; one that was appended stays until ``done`` was told of it, whoever is killed.
It grows as long as nobody takes from it: what it should forget, a person decides.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from horizon.settings import Settings

PART_BYTES = 1_000_000
LOOK_BYTES = 65_536
SUFFIX = ".jsonl"


def queue_of(settings: Settings) -> Queue:
    """LINEAGE_TO's own: another target, a mistyped one too, takes none of its lines."""
    place = settings.lineage_place
    known = hashlib.blake2b(place.encode(errors="replace"), digest_size=4).hexdigest()
    readable = re.sub(r"[^A-Za-z0-9.]+", "-", place)[-80:].strip("-.")
    return Queue(settings.home / "lineage" / f"{readable}-{known}")


def other_queues(settings: Settings) -> list[Queue]:
    """Those in which lines wait for what LINEAGE_TO named before."""
    ours = queue_of(settings).folder
    folders = sorted(one for one in ours.parent.glob("*") if one.is_dir() and one != ours)
    return [queue for queue in map(Queue, folders) if queue.waiting()]


@dataclass(frozen=True, order=True)
class Place:
    """Up to where lines were taken: a part by its number, and bytes of it."""

    part: int = 0
    offset: int = 0


class Queue:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def name(self) -> str:
        return self.folder.name

    def append(self, line: bytes) -> None:
        """Put a line at the end, on disk when this returns.

        Raises OSError where the disk takes nothing.
        """
        self.make_folder()
        with self.locked():
            parts = self.parts()
            number = max([*parts, self.place().part, 1])
            if number in parts and parts[number].stat().st_size >= PART_BYTES:
                number += 1
            part = self._part(number)
            if number not in parts or part.stat().st_size == 0:
                part.touch(0o600)
                if not (self.folder / "sent").exists():
                    self.done(Place())  # while there is room: a full disk must not stop delivery
                # Before its first line, so that one with lines is sure to be found again.
                _sync_folder(self.folder)
                _sync_folder(self.folder.parent)
            append_whole(part, line + b"\n")

    def make_folder(self) -> None:
        self.folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder.mkdir(exist_ok=True, mode=0o700)

    def parts(self) -> dict[int, Path]:
        paths = self.folder.glob(f"*{SUFFIX}")
        found = {int(path.stem): path for path in paths if path.stem.isdecimal()}
        return dict(sorted(found.items()))

    def lines(self) -> Iterator[tuple[bytes, Place]]:
        """The lines not taken yet, each with what to tell ``done``. A half-written one is none."""
        place = self.place()
        for number, path in self.parts().items():
            if number < place.part:
                continue
            offset = place.offset if number == place.part else 0
            with path.open("rb") as part:
                part.seek(offset)
                for line in part:
                    if not line.endswith(b"\n"):
                        break
                    offset += len(line)
                    yield line[:-1], Place(number, offset)

    def place(self) -> Place:
        try:
            part, _, offset = (self.folder / "sent").read_text().partition(" ")
            return Place(int(part), int(offset))
        except (FileNotFoundError, ValueError):
            return Place()

    def done(self, place: Place) -> None:
        """In place and always as long: that takes no room on a full disk, and a kill does not
        cut it."""
        file = os.open(self.folder / "sent", os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.pwrite(file, f"{place.part:010d} {place.offset:019d}\n".encode(), 0)
        finally:
            os.close(file)

    def tidy(self) -> None:
        """Take away the parts of which every line was taken."""
        with self.locked():
            place = self.place()
            for number, path in self.parts().items():
                if number < place.part:
                    path.unlink()
                elif number == place.part and path.stat().st_size <= place.offset:
                    self.done(Place(number + 1))
                    path.unlink()

    def size_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.parts().values())

    def waiting(self) -> int:
        return sum(1 for _ in self.lines()) if self.folder.exists() else 0

    @contextlib.contextmanager
    def locked(self, name: str = ".lock", *, wait: bool = True) -> Iterator[bool]:
        """Hold a lock that ends with the process; without ``wait`` say whether it is held."""
        file = os.open(self.folder / name, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield True
        except BlockingIOError:
            yield False
        finally:
            os.close(file)

    def _part(self, number: int) -> Path:
        return self.folder / f"{number:010d}{SUFFIX}"


def _sync_folder(folder: Path) -> None:
    """A file's name is on disk once its folder is."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def append_whole(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write it whole or not at all, after what a killed process left of a line is cut away."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, mode)
    try:
        size = _cut_half_line(file)
        try:
            written = 0
            while written < len(data):
                written += os.write(file, data[written:])
            os.fdatasync(file)
        except OSError:
            os.ftruncate(file, size)  # a full disk cuts a line in two
            raise
    finally:
        os.close(file)


def _cut_half_line(file: int) -> int:
    size = os.fstat(file).st_size
    if size == 0 or os.pread(file, 1, size - 1) == b"\n":
        return size
    whole = size
    while whole:  # from its end, since a file of lineage may be larger than memory
        start = max(0, whole - LOOK_BYTES)
        found = os.pread(file, whole - start, start).rfind(b"\n") + 1
        whole = start + found
        if found:
            break
    os.ftruncate(file, whole)
    return whole
