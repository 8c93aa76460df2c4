"""What a file holds once it is unpacked, as a stream: gzip, zstd or plain, told by its first bytes
and never by its name."""

from __future__ import annotations

import gzip
import io
import zlib
from typing import Any, BinaryIO, Literal, cast

from horizon.errors import HorizonError, UsageError
from horizon.sources.stored import Limits, Stored

Packing = Literal["gzip", "zstd", "plain"]

BUFFER_BYTES = 2**20
_RATIO_FROM_BYTES = 64 * 2**20  # below that, nothing is a bomb
_ZSTD = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE = b"\x2a\x4d\x18"  # pzstd begins with such a frame; its first byte is 0x50 to 0x5f
_FOREIGN = {
    b"PK\x03\x04": "a zip archive",
    b"BZh": "packed with bzip2",
    b"\xfd7zXZ\0": "packed with xz",
    b"\x04\x22\x4d\x18": "packed with lz4",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
}


def packing_of(name: str, head: bytes) -> Packing:
    """Raises UsageError for what is packed in a way that is not read."""
    if head.startswith(b"\x1f\x8b"):
        return "gzip"
    if head.startswith(_ZSTD) or (head[:1] and head[0] >> 4 == 5 and head[1:4] == _ZSTD_SKIPPABLE):
        return "zstd"
    for magic, what in _FOREIGN.items():
        if head.startswith(magic):
            raise UsageError(f"{name} is {what}: unpack it, or pack it with gzip or zstd.")
    return "plain"


class Unpacked(io.RawIOBase):
    """The unpacked bytes of a file from its beginning on. Reading raises HorizonError where the
    file ends in the middle, is damaged, or unpacks to more than the limits allow."""

    def __init__(self, stored: Stored, limits: Limits) -> None:
        super().__init__()
        self._stored = stored
        self._limits = limits
        stored.seek(0)
        self.packing = packing_of(stored.name, stored.read(8) or b"")
        stored.seek(0)
        self._source = _source(stored, self.packing)
        self._count = 0

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        """Unpacked bytes so far."""
        return self._count

    def readinto(self, buffer: Any, /) -> int:
        read = self._read(len(buffer))
        buffer[: len(read)] = read
        self._count += len(read)
        if self.packing != "plain":
            self._check_limits()
        return len(read)

    def skip_to(self, offset: int) -> None:
        """Go on to this unpacked offset: a packed file is read up to there."""
        if self.packing == "plain":
            self._count = self._stored.seek(offset)
        while self._count < offset and self.read(min(BUFFER_BYTES, offset - self._count)):
            pass

    def _read(self, size: int) -> bytes:
        name = self._stored.name
        try:
            return self._source.read(size) or b""
        except (EOFError, gzip.BadGzipFile, zlib.error, OSError) as exc:
            said = " ".join(str(exc).split())
            if isinstance(exc, EOFError) or "Truncated" in said:
                raise HorizonError(
                    f"{name} ends in the middle of its {self.packing} data: get it whole, then "
                    "ingest it."
                ) from exc
            raise HorizonError(
                f"{name} cannot be read, its {self.packing} data is damaged ({said}): get it anew."
            ) from exc

    def _check_limits(self) -> None:
        limits, name = self._limits, self._stored.name
        if self._count > limits.unpacked_bytes:
            raise UsageError(
                f"{name} unpacks to more than {limits.unpacked_bytes} bytes: set "
                "FILE_UNPACKED_BYTES to more if that is right."
            )
        most = max(_RATIO_FROM_BYTES, limits.unpacked_ratio * self._stored.tell())
        if self._count > most:
            raise UsageError(
                f"{name} unpacks to more than {limits.unpacked_ratio} times its size, as a bomb "
                "does: set FILE_UNPACKED_RATIO to more if that is right."
            )


def _source(stored: Stored, packing: Packing) -> Any:
    if packing == "gzip":
        return gzip.GzipFile(fileobj=cast(BinaryIO, stored), mode="rb")
    if packing == "zstd":
        import pyarrow  # 40 ms and 60 MB that only some files need

        return pyarrow.CompressedInputStream(pyarrow.PythonFile(Lent(stored), "r"), "zstd")
    return stored


class Lent:
    """For Arrow, which closes what it was given when it has no more use for it."""

    closed = False

    def __init__(self, stored: Stored) -> None:
        self.read, self.seek, self.tell = stored.read, stored.seek, stored.tell

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        pass
