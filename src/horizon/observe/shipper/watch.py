"""Waits until something is written to the log, or it is time to look again anyway."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

from watchdog.events import (
    FileCreatedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer

WRITTEN: list[type[FileSystemEvent]] = [FileModifiedEvent, FileCreatedEvent, FileMovedEvent]
SLICE_S = 0.1  # within this a stop is noticed


class Watch(FileSystemEventHandler):
    """Watches the log's folder. Where the kernel tells nothing, only the time is left."""

    def __init__(self, log_path: Path, stop: threading.Event, *, idle: bool = False) -> None:
        self._name = log_path.name
        self._folder = log_path.parent
        self._stop = stop
        self._idle = idle
        self._written = threading.Event()
        self._observer = Observer()
        self._watched: tuple[int, int] | None = None  # device and inode of the folder

    def __enter__(self) -> Watch:
        if not self._idle:
            self._observer.start()
            self._follow()
        return self

    def __exit__(self, *_: object) -> None:
        if not self._idle:
            self._observer.stop()
            self._observer.join()

    def wait(self, timeout_s: float) -> None:
        """Return when the log was written to since the last wait, or after ``timeout_s``."""
        self._follow()
        left = timeout_s
        while left > 0 and not self._stop.is_set() and not self._written.wait(min(SLICE_S, left)):
            left -= SLICE_S
        self._written.clear()

    def on_any_event(self, event: FileSystemEvent) -> None:
        if os.fsdecode(event.src_path).rpartition("/")[2] == self._name:
            self._written.set()

    def _follow(self) -> None:
        """Watch the folder that stands there now: it may come late, and be replaced."""
        with contextlib.suppress(OSError):  # not there, not ours to read, no watches left
            seen = self._folder.stat()
            if self._watched != (seen.st_dev, seen.st_ino):
                self._observer.unschedule_all()
                self._watched = None
                self._observer.schedule(self, str(self._folder), event_filter=WRITTEN)
                self._watched = (seen.st_dev, seen.st_ino)
