"""``python -m horizon.observe.shipper``: follows the log, with settings from the environment."""

from __future__ import annotations

import signal
import sys
import threading

from horizon import settings
from horizon.errors import HorizonError
from horizon.observe.shipper.run import Shipper


def main() -> int:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        shipper = Shipper(settings.load(), once=False, stop=stop)
        shipper.run(ready=lambda: print("ready", flush=True))
    except HorizonError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
