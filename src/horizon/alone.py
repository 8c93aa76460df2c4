"""One process at a time, by a lock file that names the one that has it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from horizon.errors import AlreadyRunningError


@contextmanager
def alone(lock: Path, sentence: Callable[[str], str]) -> Iterator[None]:
    """Hold ``lock``. Raises AlreadyRunningError: the ``sentence`` about the process that does."""
    with lock.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            file.seek(0)
            process = f"process {file.read().strip() or 'unknown'}"
            raise AlreadyRunningError(sentence(process)) from exc
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def holder(lock: Path) -> int | None:
    """The process that holds it; 0 where it did not say which it is."""
    try:
        with lock.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                said = file.read().strip()
                return int(said) if said.isdigit() else 0
    except OSError:
        pass
    return None
