"""Which files a name means, and each of them opened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from horizon.settings import Settings
from horizon.sources.stored import Limits, LocalFile, Stored


@contextmanager
def open_stored(name: str, settings: Settings) -> Iterator[Stored]:  # noqa: ARG001
    """Raises UsageError where there is no such file to read."""
    with closing(LocalFile(name)) as stored:
        yield stored


def limits_of(settings: Settings) -> Limits:
    return Limits(
        line_bytes=settings.FILE_LINE_BYTES,
        row_group_bytes=settings.FILE_ROW_GROUP_BYTES,
        unpacked_bytes=settings.FILE_UNPACKED_BYTES,
        unpacked_ratio=settings.FILE_UNPACKED_RATIO,
    )
