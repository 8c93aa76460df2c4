"""The installation's keys: made once by ``init``, kept in HORIZON_HOME/keys, backed up apart.

NODE_KEY makes identity nodes and is never rotated: with another key nobody would be known again.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from horizon.errors import HorizonError

KEY_BYTES = 32
NAMES = ("NODE_KEY", "LINK_KEY", "CONSOLE_KEY")


@dataclass(frozen=True)
class Keys:
    node: bytes
    link: bytes

    @property
    def check(self) -> bytes:
        """Tells the node key from another one, and nothing of it."""
        return hashlib.blake2b(b"horizon", key=self.node, digest_size=16).digest()


def load(home: Path) -> Keys:
    """Read the keys; raise HorizonError where they are missing or damaged."""
    return Keys(node=read(home, "NODE_KEY"), link=read(home, "LINK_KEY"))


def are_in(home: Path) -> bool:
    return any((home / "keys" / name).exists() for name in NAMES)


def make(home: Path) -> None:
    """Make the keys that are missing. Safe in two processes at once: the first one counts.

    Raises HorizonError where they cannot be written.
    """
    folder = home / "keys"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in NAMES:
            if not (folder / name).exists():
                _write_once(folder / name, secrets.token_hex(KEY_BYTES))
    except OSError as exc:
        raise HorizonError(
            f"{folder} cannot be written ({exc.strerror}): set HORIZON_HOME to a folder of yours."
        ) from exc


def put(home: Path, name: str, text: str) -> None:
    """Put a restored key in place; another one that was there is kept beside it."""
    folder = home / "keys"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / name
    if path.exists():
        if path.read_text().strip() == text:
            return
        os.link(path, folder / f"{name}.before_{time.time_ns()}")
    _half(path, text).replace(path)
    _sync_folder(folder)


def _half(path: Path, text: str) -> Path:
    half = path.with_name(f".{path.name}.{os.getpid()}")
    half.unlink(missing_ok=True)  # a first try that was cut off
    opened = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(opened, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return half


def _write_once(path: Path, text: str) -> None:
    half = _half(path, text)
    try:
        os.link(half, path)
    except FileExistsError:
        pass
    finally:
        half.unlink()
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """A key that a power cut takes back takes with it everybody known since."""
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def read(home: Path, name: str) -> bytes:
    """One of NAMES. Raises HorizonError."""
    path = home / "keys" / name
    try:
        key = bytes.fromhex(path.read_text().strip())
    except FileNotFoundError as exc:
        raise HorizonError(f"{path} is missing: run `horizon init`, or restore it.") from exc
    except (OSError, ValueError) as exc:
        raise HorizonError(f"{path} cannot be read as a key: restore it from its backup.") from exc
    if len(key) != KEY_BYTES:
        raise HorizonError(f"{path} is damaged: restore it from its backup.")
    return key
