"""What the machine tells: room on the disks that Horizon writes, and the log."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from horizon import __version__
from horizon.observe.metrics.gauges import Gauge, Sample
from horizon.settings import Settings

FREE = Gauge(
    "horizon_disk_free_bytes", "Room left on the disk of the home and of the log.",
    ("place",), "bytes",
)  # fmt: skip
SIZE = Gauge(
    "horizon_disk_size_bytes", "Size of the disk of the home and of the log.", ("place",), "bytes"
)
LOG = Gauge(
    "horizon_log_writable", "1 where the log's folder can be written by who serves the metrics."
)
BUILD = Gauge("horizon_build_info", "Always 1; the label tells the version.", ("version",))


def place_samples(settings: Settings) -> Iterator[Sample]:
    yield Sample(BUILD, (__version__,), 1)
    for place, folder in (("home", settings.home), ("log", settings.log_path.parent)):
        with suppress(OSError):
            usage = shutil.disk_usage(existing(folder))
            yield Sample(FREE, (place,), usage.free)
            yield Sample(SIZE, (place,), usage.total)
    yield Sample(LOG, (), writable(settings.log_path))


def existing(path: Path) -> Path:
    """The path, or what of it exists already."""
    return next(one for one in (path, *path.parents) if one.exists())


def takes_files(folder: Path) -> bool:
    """Whether a file can be made in it, by making one without a name: root may write anywhere on
    paper, and /proc or a disk that is mounted read-only refuses all the same."""
    with suppress(OSError), tempfile.TemporaryFile(dir=folder):
        return os.access(folder, os.W_OK | os.X_OK)
    return False


def writable(path: Path) -> bool:
    """Whether a line could be appended: to the file, or to one made in its folder."""
    with suppress(OSError):
        return os.access(path, os.W_OK) if path.exists() else takes_files(existing(path.parent))
    return False
