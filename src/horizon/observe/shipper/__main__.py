"""``python -m horizon.observe.shipper``: follows the log, with settings from the environment."""

from __future__ import annotations

import sys

from horizon import settings
from horizon.observe.shipper.run import Shipper
from horizon.starting import ended, until_stopped


def main() -> None:
    shipper = Shipper(settings.load(), once=False, stop=until_stopped())
    shipper.run(ready=lambda: print("ready", flush=True))


if __name__ == "__main__":
    sys.exit(ended(main))
