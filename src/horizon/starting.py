"""How a process of Horizon's own begins and ends."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable
from threading import Event

from horizon.errors import HorizonError


def until_stopped() -> Event:
    """Set by SIGTERM and by Ctrl-C."""
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def ended(work: Callable[[], None]) -> int:
    """Do it; an error of ours is a sentence on stderr and its exit code."""
    try:
        work()
    except HorizonError as exc:
        print(exc, file=sys.stderr)
        return exc.exit_code
    return 0


def listening(about: str | None, host: str, port: int) -> argparse.ArgumentParser:
    """Of a command line with --host and --port, which else are these."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--port", type=int, default=port, help="default: the setting's")
    parser.add_argument("--host", default=host, help="the address to listen on")
    return parser
