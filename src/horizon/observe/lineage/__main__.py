"""``python -m horizon.observe.lineage``: delivers until SIGTERM; a child of `horizon up`."""

from __future__ import annotations

import signal
import sys
import threading

from horizon import settings as setting
from horizon.errors import HorizonError
from horizon.observe.lineage.courier import open_courier
from horizon.observe.lineage.delivery import open_target

# What `horizon up` passes on to its terminal begins so.
SAID = "horizon lineage: "


def main() -> int:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        settings = setting.load()
        courier = open_courier(settings, open_target(settings, sys.stderr, SAID))
    except HorizonError as exc:
        print(f"horizon: {exc}", file=sys.stderr)
        return exc.exit_code
    print("ready", flush=True)
    courier.serve(stop, lambda why: print(f"{SAID}{why}", file=sys.stderr, flush=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
