"""``python -m horizon.edge --port N``: the collector alone, with settings from the environment."""

from __future__ import annotations

import sys

from horizon import settings
from horizon.edge.server import run
from horizon.starting import ended, listening


def main() -> None:
    loaded = settings.load()
    parser = listening(__doc__, loaded.LISTEN_HOST, loaded.COLLECTOR_PORT)
    parser.add_argument(
        "--shared", action="store_true", help="another collector of this home may listen there too"
    )
    options = parser.parse_args()
    run(loaded, options.host, options.port, shared=options.shared)


if __name__ == "__main__":
    sys.exit(ended(main))
