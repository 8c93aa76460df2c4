"""Where an engine finds the lake's files, and which one is to blame when a query failed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import duckdb
import pyarrow.parquet as pq
from fsspec.implementations.arrow import ArrowFSWrapper
from pyarrow import fs
from pyiceberg.io.pyarrow import PyArrowFileIO

from horizon.errors import LakeError
from horizon.lake.faults import fault
from horizon.lake.files import local_path
from horizon.lake.view import File, Files, View

_BY_US = "lake"  # a scheme that no extension of DuckDB answers for


def readable(
    session: duckdb.DuckDBPyConnection, properties: Mapping[str, str], files: Files
) -> Iterator[str]:
    """The files' names as DuckDB opens them; those elsewhere are read through Arrow's client."""
    for file in files.files:
        path = local_path(file.location)
        if path is not None:
            yield str(path)
            continue
        system, there = _system(properties, file.location)
        if not session.filesystem_is_registered(_BY_US):
            session.register_filesystem(_Wrapped(system, skip_instance_cache=True))
        yield f"{_BY_US}://{there}"


class _Wrapped(ArrowFSWrapper):  # type: ignore[misc]
    protocol = _BY_US

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return path.removeprefix(f"{_BY_US}://")


def _system(properties: Mapping[str, str], location: str) -> tuple[fs.FileSystem, str]:
    scheme, netloc, path = PyArrowFileIO.parse_location(location, dict(properties))
    return PyArrowFileIO(dict(properties)).fs_by_scheme(scheme, netloc), path


def complaint(view: View, exc: Exception) -> LakeError:
    """What is wrong with which file: each is looked at, since a query does not always say."""
    for files in view.lake:
        for file in files.files:
            wrong = _wrong_with(view.properties, file)
            if wrong is not None:
                return fault(file.location, wrong)
    said = " ".join(str(exc).split())
    return LakeError(f"The query over the lake failed ({said}), and no file is missing or damaged.")


def _wrong_with(properties: Mapping[str, str], file: File) -> Exception | None:
    try:
        system, path = _system(properties, file.location)
        info = system.get_file_info(path)
        if info.type != fs.FileType.File:
            return FileNotFoundError()
        if info.size != file.size_bytes:
            return ValueError(f"{info.size:,} bytes, and should have {file.size_bytes:,}")
        with system.open_input_file(path) as source:
            for _ in pq.ParquetFile(source).iter_batches(65_536):
                pass
    except (OSError, ValueError) as exc:
        return exc
    return None
