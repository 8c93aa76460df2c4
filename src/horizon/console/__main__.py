"""``python -m horizon.console --port N``: the console alone, with settings from the environment."""

from __future__ import annotations

import sys

from horizon import settings
from horizon.console.server import run
from horizon.starting import ended, listening


def main() -> None:
    loaded = settings.load()
    options = listening(__doc__, loaded.LISTEN_HOST, loaded.CONSOLE_PORT).parse_args()
    run(loaded, options.host, options.port)


if __name__ == "__main__":
    sys.exit(ended(main))
