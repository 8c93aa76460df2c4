"""The one log: JSON lines that every stage appends and the shipper reads.

Lines are written whole, under a lock that rotation takes too. A log that cannot be written
stops no stage: what is lost is said once on stderr.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import structlog
from structlog.typing import EventDict

from horizon import clock
from horizon.settings import Settings

Logger = structlog.typing.FilteringBoundLogger

LINE_START = b'{"ts":'
LONGEST_LINE_BYTES = 2**20
LEADING = ("ts", "level", "message", "stage", "component", "correlation_id")


class LineFile:
    """Appends whole lines to a file; rotates it at ``max_bytes``, keeping ``keep`` old ones.

    ``always`` stands in every line.
    """

    def __init__(
        self,
        path: Path,
        max_bytes: int = 50_000_000,
        keep: int = 10,
        always: Mapping[str, str] | None = None,
    ) -> None:
        self.always = dict(always or {})
        self._path = path
        self._max_bytes = max_bytes
        self._keep = keep
        self._held = _Held()
        self._complained = False

    def msg(self, line: str) -> None:
        if self._held.lines is not None:
            self._held.lines.append(line)
        else:
            self._append(line + "\n")

    debug = info = warning = error = critical = msg

    def many(self, head: Mapping[str, Any], lines: Iterable[Mapping[str, Any]]) -> None:
        """As many lines as are in ``lines``, each after the fields of ``head``, at once.

        For thousands a second: through the logger a line takes 11 us, so it takes 2.
        """
        head = {"ts": clock.utc_text(clock.now()), "level": "INFO", **head}
        with self.together():
            for line in lines:
                self.info(_render(None, "", {**head, **line, **self.always}))

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Hold this thread's lines back and write them at once: a lock a batch, not a line."""
        if self._held.lines is not None:
            yield
            return
        lines: list[str] = []
        self._held.lines = lines
        try:
            yield
        finally:
            self._held.lines = None
            if lines:
                self._append("\n".join(lines) + "\n")

    def _append(self, text: str) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._locked():
                self._rotate_if_full()
                self._write_whole(text.encode())
        except OSError as exc:
            self._complain(exc)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        lock = os.open(
            self._path.with_name(f".{self._path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o644
        )
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _rotate_if_full(self) -> None:
        try:
            if self._path.stat().st_size < self._max_bytes:
                return
        except FileNotFoundError:
            return
        with self._opened() as file:
            _cut_half_line(file)
        for number in range(self._keep - 1, 0, -1):
            older = self._numbered(number)
            if older.exists():
                older.rename(self._numbered(number + 1))
        self._path.rename(self._numbered(1))

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        # Anew each time, so that a file another process rotated away is left behind.
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            yield file
        finally:
            os.close(file)

    def _write_whole(self, data: bytes) -> None:
        with self._opened() as file:
            _cut_half_line(file)
            before = os.fstat(file).st_size
            try:
                written = 0
                while written < len(data):
                    written += os.write(file, data[written:])
            except OSError:
                # A full disk cuts a line in two; half a line would spoil the next one as well.
                with contextlib.suppress(OSError):
                    os.ftruncate(file, before)
                raise

    def _complain(self, exc: OSError) -> None:
        if not self._complained:
            self._complained = True
            with contextlib.suppress(OSError, ValueError):  # nobody may be there to read it
                print(
                    f"horizon: log lines are being lost, because {self._path} cannot be written "
                    f"({exc.strerror}): free some disk or set LOG_PATH.",
                    file=sys.stderr,
                )


class _Held(threading.local):
    lines: list[str] | None = None


def _cut_half_line(file: int) -> None:
    """Take away what a process that was killed within its write left of a line."""
    size_bytes = os.fstat(file).st_size
    if size_bytes == 0 or os.pread(file, 1, size_bytes - 1) == b"\n":
        return
    start = max(0, size_bytes - LONGEST_LINE_BYTES)
    tail = os.pread(file, size_bytes - start, start)
    half = tail[tail.rfind(b"\n") + 1 :]
    # A file that is no log of ours keeps what it has.
    if half[: len(LINE_START)] == LINE_START[: len(half)]:
        os.ftruncate(file, size_bytes - len(half))


def open_log(settings: Settings) -> Logger:
    return log_to(LineFile(settings.log_path, settings.LOG_MAX_BYTES, settings.LOG_KEEP))


def log_to(lines: LineFile) -> Logger:
    """A structlog logger whose ``info("score", users=202)`` is one JSON line."""
    logger: Logger = structlog.wrap_logger(
        lines,
        processors=[_stamp, structlog.processors.EventRenamer("message"), _order, _render],
        wrapper_class=structlog.make_filtering_bound_logger(20),
    )
    return logger.bind(**lines.always)


def _stamp(_: object, method: str, fields: EventDict) -> EventDict:
    return {"ts": clock.utc_text(clock.now()), "level": method.upper(), **fields}


def _order(_: object, __: str, fields: EventDict) -> EventDict:
    head = {name: fields[name] for name in LEADING if name in fields}
    return {**head, **{name: value for name, value in fields.items() if name not in head}}


def _render(_: object, __: str, fields: Mapping[str, Any]) -> str:
    try:
        return msgspec.json.encode(fields, enc_hook=str).decode()
    except UnicodeEncodeError:  # a lone surrogate, as a file's name may hold one
        plain = msgspec.to_builtins(fields, enc_hook=str)
        text = json.dumps(plain, ensure_ascii=False, separators=(",", ":"))
        return text.encode(errors="replace").decode()
