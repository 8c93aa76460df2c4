"""What a line becomes, and what an answer means. Pure."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from binascii import b2a_base64
from datetime import UTC, datetime
from enum import Enum
from hashlib import blake2b
from typing import Any, Literal
from zlib import crc32

import msgspec
from msgspec import UNSET, UnsetType

from horizon.log import LINE_START
from horizon.observe.shipper.schema import OTHER, TAKEN

HEAD_BYTES = 4096  # of a file's first line: its digest is part of the file's identity
TIMES = ("@timestamp", "ts", "timestamp", "time")  # where a line's time may stand

_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_ID = slice(len('{"create":{"_id":"'), len('{"create":{"_id":"') + 20)

IMMENSE_TERM = "max_bytes_length_exceeded_exception"  # the cause of an illegal argument
# Errors that are the document's own. A server answers 400 to an item for its own state too: a
# closed index, an alias without a write index, no shards left. Those pass, and the line must wait.
OF_THE_DOCUMENT = frozenset({
    "mapper_parsing_exception", "document_parsing_exception", "strict_dynamic_mapping_exception",
    "parsing_exception", "parse_exception", "json_parse_exception", "x_content_parse_exception",
    IMMENSE_TERM,
})  # fmt: skip

WAIT_FIRST_S = 0.5
WAIT_LONGEST_S = 30.0


class MalformedLineError(ValueError):
    """The line cannot become a document; the message is the reason in the dead letters."""


# A line of ours needs no other change than its first name: it is checked, and its text is kept.
# Where a taken name is in it no value will do, and the line goes the longer way.
_Nothing = Literal["no value is this one"]
_Plain = msgspec.defstruct(
    "_Plain",
    [
        ("ts", datetime),
        *((f"taken{number}", UnsetType | _Nothing, msgspec.field(name=name, default=UNSET))
          for number, name in enumerate(sorted({*TAKEN, "@timestamp"}))),
    ],
    gc=False,
)  # fmt: skip
_check_plain = msgspec.json.Decoder(_Plain).decode
_any = msgspec.json.Decoder().decode


def document(line: bytes) -> bytes:
    """The document of a line without its line break. Raises MalformedLineError."""
    if line.startswith(LINE_START):
        try:
            _check_plain(line if line.isascii() else line.decode())
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return _normalised(line)
        return b'{"@timestamp":' + line[6:]
    return _normalised(line)


def _normalised(line: bytes) -> bytes:
    try:
        fields = _any(line.decode())
    except UnicodeDecodeError as exc:
        raise MalformedLineError(f"not UTF-8 (byte {exc.start})") from exc
    except msgspec.DecodeError as exc:
        raise MalformedLineError(f"no JSON: {exc}") from exc
    except RecursionError as exc:
        raise MalformedLineError("nested too deeply") from exc
    if not isinstance(fields, dict):
        raise MalformedLineError("no JSON object")
    at = _time(fields)
    other = {name: fields.pop(name) for name in list(fields) if name in TAKEN}
    if isinstance(fields.get("level"), str):
        fields["level"] = fields["level"].upper()
    made = {"@timestamp": at, **fields}
    return msgspec.json.encode({**made, OTHER: other} if other else made)


def _time(fields: dict[str, Any]) -> str:
    name = next((name for name in TIMES if name in fields), None)
    if name is None:
        raise MalformedLineError("no time: there is no ts")
    value = fields.pop(name)
    if name != "ts" and name in TIMES:
        fields.pop("ts", None)
    try:
        msgspec.convert(value, datetime)
    except msgspec.ValidationError as exc:
        raise MalformedLineError(f"no time: {name} is not like 2025-09-25T12:25:27Z") from exc
    return str(value)


def line_time(line: bytes) -> datetime | None:
    """A line's time, where it has one."""
    try:
        return datetime.fromisoformat(_time(_any(line))).astimezone(UTC)
    except (ValueError, msgspec.MsgspecError, RecursionError, AttributeError, TypeError):
        return None


def file_key(inode: int, head: bytes) -> bytes:
    """6 bytes for a file: the inode survives a rename, its first line tells a later file of the
    same inode from it."""
    return blake2b(b"%d " % inode + head, digest_size=6).digest()


def first_line(start: bytes, *, final: bool) -> bytes | None:
    """What of a file's first bytes identifies it; None while that may still change."""
    head, found, _ = start[:HEAD_BYTES].partition(b"\n")
    if found or len(head) == HEAD_BYTES or (final and head):
        return head
    return None


def document_id(key: bytes, offset: int, line: bytes) -> bytes:
    """20 letters of base64, which the server keeps in 15 bytes, as those that it makes itself.

    The offset is first, so that the server sees with a letter or two that it has no such id. The
    line's checksum stands for itself where a file is written anew in its old place.
    """
    return id_from(key, offset, crc32(line))


def id_from(key: bytes, offset: int, checksum: int) -> bytes:
    plain = offset.to_bytes(5, "big") + key + checksum.to_bytes(4, "big")
    return b2a_base64(plain, newline=False).translate(_URL_SAFE)


def offset_of(id_: bytes) -> int:
    return int.from_bytes(urlsafe_b64decode(id_)[:5], "big")


def item(key: bytes, offset: int, line: bytes) -> bytes:
    """The two lines of a bulk request that create a line's document. Raises MalformedLineError."""
    id_ = document_id(key, offset, line)
    return b'{"create":{"_id":"%b"}}\n%b\n' % (id_, document(line))


def id_of(made: bytes) -> bytes:
    return made[_ID]


class Fate(Enum):
    THERE = "there"  # indexed now, or before
    LATER = "later"  # the server cannot now
    REFUSED = "refused"  # it never will


def fate(status: int, kind: str, cause: str = "") -> Fate:
    """What an item's status, its error's type and the type of that error's cause mean."""
    if status < 300 or status == 409:
        return Fate.THERE
    if status == 413:
        return Fate.REFUSED
    its_own = kind in OF_THE_DOCUMENT or cause == IMMENSE_TERM
    return Fate.REFUSED if status == 400 and its_own else Fate.LATER


def wait_s(attempt: int, chance: float) -> float:
    """How long before attempt 2, 3, ...: doubling, up to a half less by ``chance`` (0 to 1), so
    that two shippers do not knock together."""
    longest = min(WAIT_LONGEST_S, WAIT_FIRST_S * 2.0 ** min(attempt - 1, 10))
    return longest * (1 - chance / 2)
