"""What every bench needs: a figure's line, a database of its own, a stopwatch."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from horizon.pipeline.installation import Installation, open_installation
from horizon.postgres.embedded import EmbeddedPostgres
from horizon.settings import Settings


@dataclass(frozen=True)
class Figure:
    """``ratio`` is value over reference, both in ``unit``, measured in the same run."""

    figure: str
    value: float
    unit: str
    reference: float
    size: int

    def line(self) -> str:
        fields = asdict(self)
        size = fields.pop("size")
        ratio = round(self.value / self.reference, 3)
        return json.dumps({**fields, "ratio": ratio, "cores": os.cpu_count(), "size": size})


@contextmanager
def scratch_installation(changed: Mapping[str, object] | None = None) -> Iterator[Installation]:
    """A Horizon in a folder of its own, gone afterwards."""
    home = Path(tempfile.mkdtemp(prefix="horizon-bench-"))
    home.chmod(0o755)  # so that root's unprivileged server can reach its data
    settings = Settings(HORIZON_HOME=str(home), LOG_PATH=str(home / "log.jsonl"))
    settings = settings.changed(**(changed or {}))
    try:
        yield open_installation(settings)
    finally:
        server = EmbeddedPostgres(home)
        server.stop()
        shutil.rmtree(server.data, ignore_errors=True)
        shutil.rmtree(home, ignore_errors=True)


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def medians(
    pairs: int,
    first: Callable[[], object],
    second: Callable[[], object],
) -> tuple[float, float]:
    """Median seconds of both, run in turn, since the machine's speed drifts."""
    times = [(seconds(first), seconds(second)) for _ in range(pairs)]
    middle = pairs // 2
    return sorted(a for a, _ in times)[middle], sorted(b for _, b in times)[middle]
