"""``python -m horizon.pipeline.forwarder``: sends events on until SIGTERM; a child of `horizon up`.

A process of its own, so that neither a pass of the worker's holds it up nor it the collector.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

from horizon import settings as setting
from horizon.alone import alone, holder
from horizon.errors import HorizonError
from horizon.forward.serve import Forwarder
from horizon.pipeline.installation import Installation, open_installation
from horizon.postgres.database import Role
from horizon.postgres.queries import Queries

SAID = "horizon forwarder: "
LOCK = "forward.lock"
NICE = 5  # where processors are short the collector goes first


def wanted_file(home: Path) -> Path:
    """Is there since the first forward was added: `horizon up` starts the forwarder then."""
    return home / "forward.wanted"


def runs(home: Path) -> bool:
    return holder(home / LOCK) is not None


def is_wanted(horizon: Installation) -> bool:
    if wanted_file(horizon.settings.home).exists():
        return True
    with horizon.database.transaction(Role.WORKER) as tx:
        row = tx.execute(Queries("horizon.forward")["any"]).fetchone()
    return row is not None and bool(row.found)


def main() -> int:
    os.nice(NICE)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        horizon = open_installation(setting.load())
        with alone(horizon.settings.home / LOCK, _runs_already):
            forwarder = Forwarder(
                horizon.settings, horizon.database, horizon.keys, horizon.log,
                lambda why: print(f"{SAID}{why}", file=sys.stderr, flush=True),
            )  # fmt: skip
            print("ready", flush=True)
            forwarder.serve(stop)
    except HorizonError as exc:
        print(f"horizon: {exc}", file=sys.stderr)
        return exc.exit_code
    return 0


def _runs_already(process: str) -> str:
    return f"A forwarder runs already ({process}; `horizon up` starts one): stop that one first."


if __name__ == "__main__":
    sys.exit(main())
