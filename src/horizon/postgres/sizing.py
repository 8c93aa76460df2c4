"""The embedded server's settings. PostgreSQL's defaults (128 MB buffers, 1 GB of WAL) are for
nobody."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path


def server_settings() -> str:
    memory_mb = _memory_mb()
    buffers_mb = max(128, min(2048, memory_mb // 8))
    return (
        f"shared_buffers = '{buffers_mb}MB'\n"
        f"effective_cache_size = '{max(512, memory_mb // 2)}MB'\n"
        f"work_mem = '{max(16, min(128, memory_mb // 128))}MB'\n"
        f"maintenance_work_mem = '{max(64, min(512, memory_mb // 32))}MB'\n"
        f"dynamic_shared_memory_type = '{_shared_memory_type()}'\n"
        "max_wal_size = '4GB'\n"
        "min_wal_size = '256MB'\n"
        # No wal_compression: this build has pglz alone, which took two thirds of an index's time.
        "max_connections = 200\n"
        "jit = off\n"  # compiling cost 0.3 to 1 s a query on set-based stages of 1 s
        "timezone = 'UTC'\n"
        "lc_messages = 'C'\n"
        "log_line_prefix = '%m [%p] %u@%d '\n"
        # DETAIL and CONTEXT quote rows, and rows are about people.
        "log_error_verbosity = terse\n"
        "log_parameter_max_length_on_error = 0\n"
    )


def _memory_mb() -> int:
    """The machine's memory, or less where a container is given less."""
    size_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with contextlib.suppress(OSError, ValueError):  # "max": no limit
        size_bytes = min(size_bytes, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return size_bytes // 2**20


def _shared_memory_type() -> str:
    """Files where /dev/shm is small: Docker gives 64 MB, and one parallel hash join wants more."""
    with contextlib.suppress(OSError):
        if shutil.disk_usage("/dev/shm").total >= 2**30:  # noqa: S108
            return "posix"
    return "mmap"
