"""Files at ``s3://BUCKET/KEY``, of Amazon or of any server that speaks its protocol.

Arrow's client asks; it finds credentials as every AWS tool does, unless the settings name them.
"""

from __future__ import annotations

import fnmatch
import hashlib
import io
import re
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from pyarrow import fs

from horizon.errors import HorizonError, UsageError
from horizon.settings import Settings
from horizon.sources.stored import changed

T = TypeVar("T")

SCHEME = "s3://"
WAITS_S = (0.5, 1.0, 2.0, 4.0, 8.0)  # between tries; each is three of the client's own
_SMALL_BYTES = 64 * 2**10  # who reads less at once is given pieces of a larger read
_READ_BYTES = 4 * 2**20
_ADDRESS = re.compile(r"s3://([a-z0-9][a-z0-9._-]{1,254})(?:/(.*))?", re.DOTALL)
_PATTERN = re.compile(r"[*?\[]")
_CODE = re.compile(r"AWS Error ([A-Z_]+)")
_CREDENTIALS = frozenset({
    "ACCESS_DENIED", "SIGNATURE_DOES_NOT_MATCH", "INVALID_ACCESS_KEY_ID", "INVALID_SIGNATURE",
    "INVALID_CLIENT_TOKEN_ID", "MISSING_AUTHENTICATION_TOKEN", "UNRECOGNIZED_CLIENT",
})  # fmt: skip


class Address(NamedTuple):
    bucket: str
    key: str

    @classmethod
    def read(cls, name: str) -> Address:
        """Raises UsageError, which does not repeat what may hold a password."""
        found = _ADDRESS.fullmatch(name)
        if found is None:
            raise UsageError(
                "An address of S3 looks like s3://BUCKET/KEY; who asks stands in the settings, "
                "S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY."
            )
        return cls(found[1], found[2] or "")

    @property
    def path(self) -> str:
        return f"{self.bucket}/{self.key}"


def filesystem(settings: Settings) -> Any:
    known = {
        "access_key": settings.S3_ACCESS_KEY_ID,
        "secret_key": settings.S3_SECRET_ACCESS_KEY,
        "endpoint_override": settings.S3_ENDPOINT,
        "region": settings.S3_REGION,
    }
    return fs.S3FileSystem(
        **{name: value for name, value in known.items() if value},
        connect_timeout=5,
        request_timeout=20,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=3),
    )


def objects(name: str, settings: Settings) -> list[str]:
    """The objects that a prefix (``s3://bucket/2026/``) or a pattern (``s3://bucket/*.gz``) means,
    in their order; hidden and empty ones are left out. Another name is one object."""
    address = Address.read(name)
    pattern = _PATTERN.search(address.key)
    if address.key and not address.key.endswith("/") and not pattern:
        return [name]
    prefix = address.key[: pattern.start()].rpartition("/")[0] if pattern else address.key
    asked = _Asked(name, settings)
    selector = fs.FileSelector(f"{address.bucket}/{prefix}".rstrip("/"), recursive=True)
    found = asked(lambda: asked.system.get_file_info(selector))
    paths = sorted(one.path for one in found if one.size and not _is_hidden(one.path))
    if pattern:
        paths = [path for path in paths if fnmatch.fnmatchcase(path, address.path)]
    if not paths:
        raise UsageError(f"{name} holds no objects: look at it with `aws s3 ls`.")
    return [SCHEME + path for path in paths]


def _is_hidden(path: str) -> bool:
    """As Spark and Hive leave them beside their files: _SUCCESS, _temporary/, .part.crc."""
    return any(part.startswith(("_", ".")) for part in path.split("/")[1:])


class S3Object(io.RawIOBase):
    """One object, read in ranges. A read that fails is tried again for a quarter of a minute."""

    def __init__(self, name: str, settings: Settings) -> None:
        super().__init__()
        self.name = name
        self._path = Address.read(name).path
        self._asked = _Asked(name, settings)
        self._file = self._asked(self._open)
        self.size_bytes = int(self._file.size())
        self._version = _version(self._file)
        self.identity: str | None = hashlib.sha256(
            f"{name}\0{self._version}\0{self.size_bytes}".encode()
        ).hexdigest()
        self._place = 0
        self._held, self._held_at = b"", 0
        if not self.size_bytes:
            raise UsageError(f"{name} is empty: name an object with lines in it.")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = 0, /) -> int:
        self._place = offset + (0, self._place, self.size_bytes)[whence]
        return self._place

    def readinto(self, buffer: Any, /) -> int:
        piece = self._piece(min(len(buffer), self.size_bytes - self._place))
        buffer[: len(piece)] = piece
        self._place += len(piece)
        return len(piece)

    def check_unchanged(self) -> None:
        if _version(self._asked(self._open)) != self._version:
            raise changed(self.name)

    def _open(self) -> Any:
        return self._asked.system.open_input_file(self._path)

    def _piece(self, size: int) -> bytes:
        if size <= 0:
            return b""
        start = self._place - self._held_at
        if not 0 <= start < len(self._held):
            ahead = _READ_BYTES if size <= _SMALL_BYTES else size
            ahead, place = min(ahead, self.size_bytes - self._place), self._place
            self._held = self._asked(lambda: bytes(self._file.read_at(ahead, place)))
            self._held_at, start = place, 0
            if not self._held:
                raise changed(self.name)
        return self._held[start : start + size]


def _version(file: Any) -> str:
    """The ETag; a server that gives none tells when the object was written."""
    told = file.metadata() or {}
    return bytes(told.get("ETag") or told.get("Last-Modified", b"")).decode(errors="replace")


class _Asked:
    """Asks S3 and says what is wrong in one sentence."""

    def __init__(self, name: str, settings: Settings) -> None:
        self._name = name
        self._address = Address.read(name)
        self._where = settings.S3_ENDPOINT or "Amazon's S3 (S3_ENDPOINT is not set)"
        try:
            self.system = filesystem(settings)
        except (OSError, ValueError) as exc:
            raise HorizonError(
                f"S3 cannot be asked ({_code(exc)}): look at S3_ENDPOINT and S3_REGION."
            ) from exc

    def __call__(self, ask: Callable[[], T]) -> T:
        for wait_s in (*WAITS_S, None):
            try:
                return ask()
            except FileNotFoundError as exc:
                raise self._missing() from exc
            except OSError as exc:
                code = _code(exc)
                if code in _CREDENTIALS:
                    raise self._refused(code) from exc
                if code == "NO_SUCH_BUCKET":
                    raise self._no_bucket() from exc
                if wait_s is None:
                    raise HorizonError(
                        f"{self._where} does not answer ({code}): what was read of {self._name} "
                        "stays, and the same command goes on from there."
                    ) from exc
                time.sleep(wait_s)
        raise AssertionError

    def _missing(self) -> HorizonError:
        try:
            found = self.system.get_file_info(self._address.bucket)
        except OSError:
            return self._refused("ACCESS_DENIED")
        if found.type == fs.FileType.NotFound:
            return self._no_bucket()
        return UsageError(f"{self._name} is not there: look with `aws s3 ls`.")

    def _no_bucket(self) -> HorizonError:
        return UsageError(
            f"{self._where} has no bucket {self._address.bucket}: look at its name, at S3_ENDPOINT "
            "and at S3_REGION."
        )

    def _refused(self, code: str) -> HorizonError:
        return HorizonError(
            f"{self._where} does not let us read {self._name} ({code}): look at S3_ACCESS_KEY_ID "
            "and S3_SECRET_ACCESS_KEY (or AWS_...), and at what that account may do."
        )


def _code(exc: Exception) -> str:
    found = _CODE.search(str(exc))
    return found[1] if found else type(exc).__name__
