"""A file where it lies: its bytes, how many they are, and whether they are still the same."""

from __future__ import annotations

import io
import os
import stat
from dataclasses import dataclass
from typing import Protocol

from horizon.errors import HorizonError, UsageError


@dataclass(frozen=True)
class Limits:
    """What a file may ask of memory and of time; each is a setting, FILE_..."""

    line_bytes: int = 2**20
    row_group_bytes: int = 2**32
    unpacked_bytes: int = 10**12
    unpacked_ratio: int = 500


DEFAULT_LIMITS = Limits()


class Stored(Protocol):
    """An open file: ``name`` is what messages call it; ``identity``, where its place gives one,
    changes whenever the content does."""

    name: str
    size_bytes: int
    identity: str | None

    def read(self, size: int = -1, /) -> bytes | None: ...
    def seek(self, offset: int, whence: int = 0, /) -> int: ...
    def tell(self) -> int: ...
    def close(self) -> None: ...
    def check_unchanged(self) -> None:
        """Raises HorizonError where it is no longer the file that was opened."""


class LocalFile(io.FileIO):
    """A file on disk."""

    identity: str | None = None

    def __init__(self, path: str) -> None:
        try:
            # Without O_NONBLOCK a named pipe would hold the command until somebody writes to it.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except (OSError, ValueError) as exc:  # ValueError: a NUL in the name
            said = exc.strerror if isinstance(exc, OSError) else "no such name"
            raise UsageError(f"{path} cannot be read ({said}): name a file.") from exc
        try:
            self._state = os.fstat(descriptor)
            _check_kind(path, self._state)
            super().__init__(descriptor, "rb")
        except BaseException:
            os.close(descriptor)
            raise
        self.name = path
        self.size_bytes = self._state.st_size

    def check_unchanged(self) -> None:
        now = os.fstat(self.fileno())
        if (now.st_size, now.st_mtime_ns) != (self._state.st_size, self._state.st_mtime_ns):
            raise changed(self.name)


def changed(name: str) -> HorizonError:
    return HorizonError(
        f"{name} changed while it was read: ingest files that nobody writes to any more. What was "
        "read before stays, as events of the file as it was."
    )


def _check_kind(path: str, state: os.stat_result) -> None:
    if stat.S_ISDIR(state.st_mode):
        raise UsageError(f"{path} is a folder: name the files in it, such as {path}/*.jsonl.")
    if not stat.S_ISREG(state.st_mode):
        raise UsageError(f"{path} is not a file on disk: write it to one first, it is read twice.")
    if state.st_size == 0:
        raise UsageError(f"{path} is empty: name a file with lines in it.")
