"""``python -m horizon.observe.lineage``: delivers until SIGTERM; a child of `horizon up`."""

from __future__ import annotations

import sys

from horizon import settings as setting
from horizon.observe.lineage.courier import open_courier
from horizon.observe.lineage.delivery import open_target
from horizon.starting import ended, until_stopped

# What `horizon up` passes on to its terminal begins so.
SAID = "horizon lineage: "


def main() -> None:
    stop = until_stopped()
    settings = setting.load()
    courier = open_courier(settings, open_target(settings, sys.stderr, SAID))
    print("ready", flush=True)
    courier.serve(stop, lambda why: print(f"{SAID}{why}", file=sys.stderr, flush=True))


if __name__ == "__main__":
    sys.exit(ended(main))
