"""``python -m horizon.edge --port N``: the collector alone, with settings from the environment."""

from __future__ import annotations

import argparse
import sys

from horizon import settings
from horizon.edge.server import run
from horizon.errors import HorizonError


def main() -> int:
    parser = argparse.ArgumentParser(prog="horizon.edge", description=__doc__)
    parser.add_argument("--port", type=int, help="default: COLLECTOR_PORT")
    parser.add_argument("--host", help="the address to listen on; default: LISTEN_HOST")
    parser.add_argument(
        "--shared", action="store_true", help="another collector of this home may listen there too"
    )
    options = parser.parse_args()
    try:
        loaded = settings.load()
        run(
            loaded, options.host or loaded.LISTEN_HOST, options.port or loaded.COLLECTOR_PORT,
            shared=options.shared,
        )  # fmt: skip
    except HorizonError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
