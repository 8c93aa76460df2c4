"""``python -m horizon.observe.metrics``: the metrics' port alone, settings from the environment."""

from __future__ import annotations

import sys

from horizon import settings
from horizon.observe.metrics.server import run
from horizon.starting import ended, listening


def main() -> None:
    loaded = settings.load()
    options = listening(__doc__, loaded.METRICS_HOST, loaded.METRICS_PORT).parse_args()
    run(loaded, options.host, options.port)


if __name__ == "__main__":
    sys.exit(ended(main))
