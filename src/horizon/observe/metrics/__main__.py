"""``python -m horizon.observe.metrics``: the metrics' port alone, settings from the environment."""

from __future__ import annotations

import argparse
import sys

from horizon import settings
from horizon.errors import HorizonError
from horizon.observe.metrics.server import run


def main() -> int:
    parser = argparse.ArgumentParser(prog="horizon.observe.metrics", description=__doc__)
    parser.add_argument("--port", type=int, help="default: METRICS_PORT")
    parser.add_argument("--host", help="the address to listen on; default: METRICS_HOST")
    options = parser.parse_args()
    try:
        loaded = settings.load()
        port = loaded.METRICS_PORT if options.port is None else options.port
        run(loaded, options.host or loaded.METRICS_HOST, port)
    except HorizonError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
