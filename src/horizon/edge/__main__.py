"""``python -m horizon.edge --port N``: the collector alone, with settings from the environment."""

from __future__ import annotations

import sys

from horizon import settings
from horizon.edge.server import run
from horizon.starting import ended, listening


def main() -> None:
    loaded = settings.load()
    run(loaded, *listening(__doc__, loaded.LISTEN_HOST, loaded.COLLECTOR_PORT))


if __name__ == "__main__":
    sys.exit(ended(main))
