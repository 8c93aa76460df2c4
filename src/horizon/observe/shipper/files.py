"""The log's files: the current one and those that rotation renamed, oldest first."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from zlib import crc32

from horizon.errors import HorizonError
from horizon.observe.shipper import rules
from horizon.observe.shipper.position import Place


class LogUnreadableError(HorizonError):
    pass


@dataclass(frozen=True)
class LogFile:
    """An open file of the log. Renaming or removing it takes nothing away from who reads it."""

    path: Path
    file: int
    inode: int
    size: int
    changed_at: float
    final: bool  # rotation renamed it: nobody writes to it any more

    def head(self) -> bytes | None:
        return rules.first_line(self.read(0, rules.HEAD_BYTES + 1), final=self.final)

    def read(self, offset: int, size: int) -> bytes:
        try:
            return os.pread(self.file, size, offset)
        except OSError as exc:
            raise _unreadable(self.path, exc) from exc

    def continues(self, place: Place) -> bool:
        """Whether it still says what was settled last."""
        if place.offset == 0:
            return True
        if self.size < place.offset:
            return False
        last = self.read(place.last_start, place.offset - place.last_start)
        return crc32(last.removesuffix(b"\n")) == place.last_sum


@contextmanager
def opened(log_path: Path) -> Iterator[list[LogFile]]:
    """The log's files, oldest first. Raises LogUnreadableError."""
    files: list[LogFile] = []
    try:
        for path in _paths(log_path):
            try:
                files.append(_open(path, final=path != log_path))
            except FileNotFoundError:  # rotation renames it just now: the next look finds it
                continue
            except OSError as exc:
                raise _unreadable(path, exc) from exc
        yield files
    finally:
        for one in files:
            os.close(one.file)


def _paths(log_path: Path) -> list[Path]:
    try:
        names = os.listdir(log_path.parent)  # noqa: PTH208 - names are all that is wanted
    except FileNotFoundError:
        return []
    except OSError as exc:
        raise _unreadable(log_path.parent, exc) from exc
    begin = f"{log_path.name}."
    numbers = sorted(
        (int(name.removeprefix(begin)) for name in names if _is_rotated(name, begin)), reverse=True
    )
    current = [log_path] if log_path.name in names else []
    return [*(log_path.with_name(f"{begin}{number}") for number in numbers), *current]


def _is_rotated(name: str, begin: str) -> bool:
    number = name.removeprefix(begin)
    return name.startswith(begin) and number.isascii() and number.isdecimal()


def _open(path: Path, *, final: bool) -> LogFile:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    seen = os.fstat(file)
    return LogFile(path, file, seen.st_ino, seen.st_size, seen.st_mtime, final)


def _unreadable(path: Path, exc: OSError) -> LogUnreadableError:
    return LogUnreadableError(
        f"{path} cannot be read ({exc.strerror}): let this account read the log's folder and "
        "files, or set LOG_PATH."
    )


def placed(files: Sequence[LogFile], places: list[Place]) -> list[tuple[LogFile, Place]]:
    """Each file with its place; a new one is added to ``places``. Half a first line has none yet.

    A file is known by its inode and first line; a copy that was moved here (a restored folder, a
    log that is copied and cut) by its first line and by what was settled last.
    """
    known: dict[int, Place] = {}
    heads = [(one, head) for one in files if (head := one.head()) is not None]
    digests = {one.inode: blake2b(head, digest_size=12).hexdigest() for one, head in heads}
    for one, _ in heads:
        for place in places:
            if place.inode == one.inode and place.head == digests[one.inode]:
                known[one.inode] = place
    for one, head in heads:
        if one.inode in known:
            continue
        digest = digests[one.inode]
        moved = _moved(one, digest, places, known)
        if moved is None:
            key = rules.file_key(one.inode, head).hex()
            moved = Place(key=key, inode=one.inode, head=digest)
            places.append(moved)
        moved.inode = one.inode
        known[one.inode] = moved
    return [(one, known[one.inode]) for one, _ in heads]


def _moved(
    one: LogFile, digest: str, places: Sequence[Place], known: dict[int, Place]
) -> Place | None:
    taken = {place.key for place in known.values()}
    for place in places:
        free = place.key not in taken and place.head == digest
        if free and place.offset and one.continues(place):
            return place
    return None
