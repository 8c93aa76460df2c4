"""How far each file of the log is shipped: a small file, replaced whole after the answer."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import msgspec

from horizon.settings import Settings


class Place(msgspec.Struct, kw_only=True):
    """One file of the log, and how far it is settled: indexed, or in the dead letters.

    ``last_start`` and ``last_sum`` are the last settled line's offset and checksum: where the file
    says something else there, it was cut or written anew, and is read from its start again.
    """

    key: str
    inode: int
    head: str  # the digest of its first line
    offset: int = 0
    last_start: int = 0
    last_sum: int = 0
    size: int = 0  # as last seen
    missed: int = 0  # looks in a row that did not find it


class Position(msgspec.Struct, kw_only=True):
    target: str  # the server and index that the places hold for
    places: list[Place] = []
    lost_files: int = 0  # taken away by rotation before all of them was shipped
    lost_bytes: int = 0


def folder(settings: Settings) -> Path:
    return settings.home / "shipper"


def load(path: Path, target: str) -> Position:
    """What is stored for this target; otherwise nothing is: a line that is shipped once more is
    the same document."""
    try:
        stored = msgspec.json.decode(path.read_bytes(), type=Position)
    except (FileNotFoundError, msgspec.MsgspecError):
        return Position(target=target)
    return stored if stored.target == target else Position(target=target)


def replace_file(path: Path, content: Any, *, durable: bool) -> None:
    """Write ``content`` as JSON in place of the file: a reader sees the old or the new one."""
    part = path.with_name(f".{path.name}.part")
    file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(file, msgspec.json.encode(content))
        if durable:
            os.fsync(file)
    finally:
        os.close(file)
    part.replace(path)
    if durable:
        with contextlib.closing(_Folder(path.parent)) as parent:
            os.fsync(parent.file)


class _Folder:
    def __init__(self, path: Path) -> None:
        self.file = os.open(path, os.O_RDONLY | os.O_DIRECTORY)

    def close(self) -> None:
        os.close(self.file)
