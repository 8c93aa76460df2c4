"""Room on the disk of a database that is on this machine."""

from __future__ import annotations

import os
from pathlib import Path

from horizon.postgres.embedded import EmbeddedPostgres
from horizon.settings import Settings


def database_folders(settings: Settings) -> list[Path]:
    """Where the embedded server keeps tables and its log of changes; none of one elsewhere."""
    if settings.PG_DSN:
        return []
    data = EmbeddedPostgres(settings.home).data
    return [data, data / "pg_wal"]  # often moved to a disk of its own


def free_share(folder: Path) -> float:
    """How much of the folder's disk an ordinary account may still take; 1 where nobody can say."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return 1.0
    return found.f_bavail / found.f_blocks if found.f_blocks else 1.0
