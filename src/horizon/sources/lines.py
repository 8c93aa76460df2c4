"""A text file as numbered lines of bytes, in constant memory."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from horizon.errors import HorizonError, UsageError

MAX_LINE_BYTES = 64 * 1024  # twice what one event may hold
BATCH_LINES = 5_000
BATCH_BYTES = 8 * 2**20
_BOM = b"\xef\xbb\xbf"

Line = tuple[int, bytes]  # its number in the file, from 1, and its bytes with the line end


@dataclass(frozen=True)
class TextFile:
    """An open file, its SHA-256 and its size when that was taken."""

    path: Path
    file: BinaryIO
    digest: str
    size_bytes: int
    changed_ns: int

    def lines(self) -> Iterator[Line]:
        """The lines from the beginning on; of one above MAX_LINE_BYTES only what shows that."""
        self.file.seek(0)
        if self.file.read(len(_BOM)) != _BOM:
            self.file.seek(0)
        number = 0
        while raw := self.file.readline(MAX_LINE_BYTES + 1):
            number += 1
            yield number, raw
            while len(raw) > MAX_LINE_BYTES and not raw.endswith(b"\n"):
                raw = self.file.readline(MAX_LINE_BYTES + 1)

    @property
    def position(self) -> int:
        """Bytes read so far."""
        return self.file.tell()

    def check_unchanged(self) -> None:
        """Raises HorizonError where the file is no longer the one that the digest is of."""
        state = os.fstat(self.file.fileno())
        if (state.st_size, state.st_mtime_ns) != (self.size_bytes, self.changed_ns):
            raise HorizonError(
                f"{self.path} changed while it was read, so its events are of two versions: "
                "ingest files that nobody writes to any more."
            )


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


@contextmanager
def open_text(path: Path) -> Iterator[TextFile]:
    """Open a file and take its digest; raise UsageError where it is no text file to read."""
    try:
        # Without O_NONBLOCK a named pipe would hold the command until somebody writes to it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except (OSError, ValueError) as exc:  # ValueError: a NUL in the name
        said = exc.strerror if isinstance(exc, OSError) else "no such name"
        raise UsageError(f"{path} cannot be read ({said}): name a text file.") from exc
    try:
        _check_state(path, os.fstat(descriptor))
        with open(descriptor, "rb", closefd=False) as file:
            yield _text_file(path, file)
    finally:
        os.close(descriptor)


def _check_state(path: Path, state: os.stat_result) -> None:
    if stat.S_ISDIR(state.st_mode):
        raise UsageError(f"{path} is a folder: name a text file in it.")
    if not stat.S_ISREG(state.st_mode):
        raise UsageError(f"{path} is not a file on disk: write it to one first, it is read twice.")
    if state.st_size == 0:
        raise UsageError(f"{path} is empty: name a file with lines in it.")


def _text_file(path: Path, file: BinaryIO) -> TextFile:
    if b"\0" in file.read(8192):
        raise UsageError(
            f"{path} is not a text file: unpack it if it is compressed, and save it as UTF-8 if "
            "it is UTF-16."
        )
    file.seek(0)
    state = os.fstat(file.fileno())
    digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    return TextFile(path, file, digest, state.st_size, state.st_mtime_ns)
