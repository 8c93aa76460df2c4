"""A file that another system exported: CSV as numbered rows, or JSON as numbered items."""

from __future__ import annotations

import codecs
import csv
import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO

import msgspec

from horizon.consent.rules import BadLineError
from horizon.errors import UsageError

MAX_LINE = 128 * 1024
MOST_LINES = (
    20  # of one row: names hold line breaks, but a quote that is never closed holds the rest
)
MAX_JSON_BYTES = 2**30
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_PACKED = (b"\x1f\x8b", b"PK\x03\x04")
_DELIMITERS = ",;\t"

Row = tuple[int, dict[str, str] | BadLineError]


@dataclass(frozen=True)
class Export:
    """An open file; ``digest`` is its SHA-256. ``opened`` closes what reading it opens."""

    path: Path
    file: BinaryIO
    encoding: str
    digest: bytes
    is_json: bool
    opened: ExitStack

    def rows(self, wanted: str) -> Iterator[Row]:
        """The rows of a CSV by their columns' names, which are lower-case with ``_`` for blanks.

        The delimiter is the one that makes a column ``wanted`` of the header. Raises UsageError.
        """
        lines = _numbered(self._text())
        number, header = next(lines, (1, ""))
        while header is not None and not header.strip():
            number, header = next(lines, (1, "x"))
        for delimiter in _DELIMITERS:
            names = [_name(cell) for cell in next(csv.reader([header or ""], delimiter=delimiter))]
            if wanted in names:
                return _by_name(names, _cells(lines, delimiter))
        raise UsageError(
            f"{self.path} has no column '{wanted}' in line {number}: give its columns a header "
            "line, or name another --format."
        )

    def items(self, *path: str) -> Iterator[tuple[int, msgspec.Raw]]:
        """The objects of a JSON list, or of the list that ``path`` leads to. Raises UsageError."""
        self.file.seek(0)
        body = self.file.read().removeprefix(codecs.BOM_UTF8)
        try:
            for name in path:
                if body[:64].lstrip().startswith(b"{"):
                    body = bytes(msgspec.json.decode(body, type=dict[str, msgspec.Raw])[name])
            items = msgspec.json.decode(body, type=list[msgspec.Raw])
        except (msgspec.DecodeError, KeyError, UnicodeDecodeError) as exc:
            raise UsageError(
                f"{self.path} is not the JSON that this format's API gives "
                f"({'.'.join(path)}): save one of its answers as it came."
            ) from exc
        return iter(enumerate(items, start=1))

    def _text(self) -> TextIO:
        # An unreadable byte becomes a surrogate: it spoils the cell that it is in, if anybody
        # reads that, and no other.
        errors = "replace" if self.encoding.startswith(("utf-16", "utf-32")) else "surrogateescape"
        return self.opened.enter_context(
            self.path.open(encoding=self.encoding, errors=errors, newline="")
        )


@contextmanager
def open_export(path: Path, encoding: str = "utf-8") -> Iterator[Export]:
    """Raises UsageError where there is no such file, or none that can be read so."""
    try:
        "".encode(encoding)  # an unknown one, or one that is not of text
        encoding = codecs.lookup(encoding).name
    except LookupError as exc:
        raise UsageError(
            f"There is no encoding {encoding!r}: name one like utf-8, cp1252 or latin-1."
        ) from exc
    try:
        if not path.is_file():
            raise UsageError(f"{path} is no file: name the export's file.")
        file = path.open("rb")
    except (OSError, ValueError) as exc:  # ValueError: a NUL in the name
        said = exc.strerror if isinstance(exc, OSError) else "no such name"
        raise UsageError(f"{path} cannot be read ({said}): name the export's file.") from exc
    with file, ExitStack() as opened:
        yield _export(path, file, encoding, opened)


def _export(path: Path, file: BinaryIO, encoding: str, opened: ExitStack) -> Export:
    digest = hashlib.file_digest(file, "sha256").digest()  # type: ignore[arg-type]
    file.seek(0)
    head = file.read(4096)
    if not head.strip():
        raise UsageError(f"{path} is empty: name the export's file.")
    if head.startswith(_PACKED):
        raise UsageError(f"{path} is compressed: unpack it first.")
    for bom, named in _BOMS:
        if head.startswith(bom):
            # utf-8-sig and utf-16 take the mark away themselves.
            encoding = "utf-8-sig" if named == "utf-8" else named
    is_json = head.removeprefix(codecs.BOM_UTF8).lstrip()[:1] in (b"{", b"[")
    if is_json and path.stat().st_size > MAX_JSON_BYTES:
        raise UsageError(f"{path} has more than 1 GB of JSON: split it, or export CSV.")
    return Export(path, file, encoding, digest, is_json, opened)


def _numbered(text: TextIO) -> Iterator[tuple[int, str | None]]:
    """Lines from 1 on; None for one that is longer than any row."""
    number = 0
    while line := text.readline(MAX_LINE + 1):
        number += 1
        yield number, line if len(line) <= MAX_LINE else None
        while len(line) > MAX_LINE and line[-1] not in "\r\n":
            line = text.readline(MAX_LINE + 1)


def _cells(
    lines: Iterable[tuple[int, str | None]], delimiter: str
) -> Iterator[tuple[int, list[str] | BadLineError]]:
    """A row each; a bad line costs itself alone, also where its quote swallows those after it."""
    source = iter(lines)
    again: deque[tuple[int, str | None]] = deque()

    def take() -> tuple[int, str | None] | None:
        return again.popleft() if again else next(source, None)

    while (line := take()) is not None:
        number, text = line
        if text is None:
            yield number, BadLineError(f"the line has more than {MAX_LINE} characters")
        elif text.strip():
            yield number, _row(text, delimiter, take, again)


def _row(
    text: str,
    delimiter: str,
    take: Callable[[], tuple[int, str | None] | None],
    again: deque[tuple[int, str | None]],
) -> list[str] | BadLineError:
    parts, used = [text], []
    while True:
        try:
            return next(csv.reader(parts, delimiter=delimiter, strict=True))
        except csv.Error as exc:
            more = take() if "unexpected end" in str(exc) and len(parts) < MOST_LINES else None
            if more is not None:
                used.append(more)
            if more is None or more[1] is None:
                again.extendleft(reversed(used))
                return BadLineError("its quotes do not match")
            parts.append(more[1])


def _by_name(
    names: Sequence[str], rows: Iterable[tuple[int, list[str] | BadLineError]]
) -> Iterator[Row]:
    for number, cells in rows:
        if isinstance(cells, BadLineError):
            yield number, cells
        elif len(cells) != len(names):
            yield number, BadLineError(f"it has {len(cells)} columns, the header {len(names)}")
        else:
            yield number, dict(zip(names, cells, strict=True))


def _name(cell: str) -> str:
    name = cell.strip().lower().replace(" ", "_").replace("-", "_")
    return ALIASES.get(name, name)


# What other systems and people call the columns.
ALIASES = {
    "address": "email", "e_mail": "email", "email_address": "email", "recipient": "email",
    "consent": "granted", "opted_in": "granted", "subscribed": "granted",
    "created_at": "time", "createdat": "time", "date": "time", "timestamp": "time",
    "tag": "tags",
}  # fmt: skip
