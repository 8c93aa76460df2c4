"""Which files a name means, and each of them opened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from horizon.settings import Settings
from horizon.sources.stored import Limits, LocalFile, Stored


def expand(names: list[str], settings: Settings) -> list[str]:
    """Each file that these names mean: of ``s3://`` a prefix and a pattern may mean many; on disk
    the shell has made names of patterns. Raises UsageError."""
    found: list[str] = []
    for name in names:
        if _is_s3(name):
            from horizon.sources.s3 import objects  # Arrow takes 100 ms and 80 MB

            found += objects(name, settings)
        else:
            found.append(name)
    return found


@contextmanager
def open_stored(name: str, settings: Settings) -> Iterator[Stored]:
    """Raises UsageError where there is no such file to read."""
    with closing(_opened(name, settings)) as stored:
        yield stored


def _opened(name: str, settings: Settings) -> Stored:
    if _is_s3(name):
        from horizon.sources.s3 import S3Object

        return S3Object(name, settings)
    return LocalFile(name)


def _is_s3(name: str) -> bool:
    return name.lower().startswith("s3:")


def limits_of(settings: Settings) -> Limits:
    return Limits(
        line_bytes=settings.FILE_LINE_BYTES,
        row_group_bytes=settings.FILE_ROW_GROUP_BYTES,
        unpacked_bytes=settings.FILE_UNPACKED_BYTES,
        unpacked_ratio=settings.FILE_UNPACKED_RATIO,
    )
