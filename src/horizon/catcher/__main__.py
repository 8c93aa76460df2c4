"""``python -m horizon.catcher --folder F --smtp-port N --page-port N``: the catcher alone."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from horizon.catcher.run import run_catcher
from horizon.starting import ended


def port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 65535:
        raise ValueError(text)
    return number


def main() -> None:
    parser = argparse.ArgumentParser(prog="horizon.catcher", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="where the mails are kept")
    parser.add_argument("--smtp-port", type=port, default=1025, help="0 means any free port")
    parser.add_argument("--page-port", type=port, default=8025, help="0 means any free port")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on")
    options = parser.parse_args()
    run_catcher(options.folder, options.smtp_port, options.page_port, options.host)


if __name__ == "__main__":
    sys.exit(ended(main))
