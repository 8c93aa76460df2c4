"""The lake's files: on this machine's disk, or at ``s3://`` of any server that speaks S3."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import fs
from pyiceberg.io.pyarrow import PyArrowFile, PyArrowFileIO

from horizon.errors import UsageError
from horizon.lake.faults import naming
from horizon.settings import Settings

_ON_DISK = "file"
# Arrow's client asks three times: of a server that never answers we hear after three times so long.
CONNECT_S = 5
ANSWER_S = 20


def warehouse(settings: Settings) -> str:
    """The folder or bucket of all tables, as a URL without a slash at its end.

    Raises UsageError.
    """
    url = str(settings.LAKE_URL or "")
    if not url:
        return (settings.home.absolute() / "lake").as_uri()
    if not url.startswith(("file:///", "s3://")) or len(url) < len("s3://b"):
        raise UsageError(
            "LAKE_URL is a folder or a bucket: write file:///var/lib/horizon/lake or "
            "s3://BUCKET/PREFIX."
        )
    return url.rstrip("/")


def properties(settings: Settings) -> dict[str, str]:
    """What pyiceberg is told of S3; what is not set, Arrow's client looks for as AWS tools do."""
    known = {
        "s3.endpoint": settings.S3_ENDPOINT,
        "s3.access-key-id": settings.S3_ACCESS_KEY_ID,
        "s3.secret-access-key": settings.S3_SECRET_ACCESS_KEY,
        "s3.region": settings.S3_REGION,
        "s3.connect-timeout": str(CONNECT_S),
        "s3.request-timeout": str(ANSWER_S),
    }
    told = {name: str(value) for name, value in known.items() if value}
    return {**told, "py-io-impl": f"{DurableFileIO.__module__}.{DurableFileIO.__qualname__}"}


class DurableFileIO(PyArrowFileIO):
    """Arrow's files. One on this machine's disk is written under another name and is there, by its
    own, when it is on the disk: the catalog never points to what a power cut takes away."""

    def new_output(self, location: str) -> PyArrowFile:
        scheme, netloc, path = self.parse_location(location, self.properties)
        system = self.fs_by_scheme(scheme, netloc)
        file = _DurableFile if scheme == _ON_DISK else PyArrowFile
        return file(location=location, path=path, fs=system)


class _DurableFile(PyArrowFile):
    def create(self, overwrite: bool = False) -> Any:
        if not overwrite and self.exists():
            raise FileExistsError(f"Cannot create file, already exists: {self.location}")
        return _DurableStream(Path(self._path))


class _DurableStream:
    """What Parquet's and Avro's writers ask of a stream, over a file of this machine.

    Raises OSError with the file's name: Arrow's own have none.
    """

    def __init__(self, path: Path) -> None:
        new = [one for one in (path.parent, *path.parent.parents) if not one.exists()]
        path.parent.mkdir(parents=True, exist_ok=True)
        for folder in new:
            _sync(folder.parent)  # where its name stands
        self._path = path
        self._part = path.with_name(f".{path.name}.part")
        self._file = fs.LocalFileSystem().open_output_stream(str(self._part))

    def write(self, data: bytes | pa.Buffer) -> int:
        with self._named():
            return int(self._file.write(data))

    def tell(self) -> int:
        return int(self._file.tell())

    def flush(self) -> None:
        with self._named():
            self._file.flush()

    @property
    def closed(self) -> bool:
        return bool(self._file.closed)

    def close(self) -> None:
        if self.closed:
            return
        with self._named():
            self._file.close()
            _sync(self._part)
            self._part.rename(self._path)
            _sync(self._path.parent)

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            number = exc.errno or errno.EIO
            raise OSError(number, os.strerror(number), str(self._path)) from exc

    def __enter__(self) -> _DurableStream:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            with contextlib.suppress(OSError):
                self._file.close()
            self._part.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def look(place: str, properties: Mapping[str, str]) -> None:
    """Whether a bucket answers, and to us. Raises LakeError; nothing is made."""
    scheme, netloc, _ = PyArrowFileIO.parse_location(place, dict(properties))
    with naming(place):
        system = PyArrowFileIO(dict(properties)).fs_by_scheme(scheme, netloc)
        if system.get_file_info(str(netloc)).type == fs.FileType.NotFound:
            raise OSError("NoSuchBucket")


def local_path(location: str) -> Path | None:
    """Where a file of the lake is on this machine; None where it is elsewhere."""
    scheme, _, path = PyArrowFileIO.parse_location(location)
    return Path(path) if scheme == _ON_DISK else None
