"""The horizon command as a person types it, in a home of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from horizon.settings import Settings


class Command:
    """Runs ``horizon ...`` in ``folder`` with the given settings in its environment."""

    def __init__(self, folder: Path, settings: Settings, **more: object) -> None:
        self.folder = folder
        values = {name: getattr(settings, name) for name in (
            "PG_DSN", "HORIZON_HOME", "LOG_PATH", "COLLECTOR_PORT", "API_PORT", "CATCHER_SMTP_PORT", "CATCHER_PAGE_PORT",
            "CONSOLE_PORT", "METRICS_PORT",
        )}  # fmt: skip
        self.environment = {**os.environ, **{
            name: str(value) for name, value in {**values, **more}.items() if value is not None
        }}  # fmt: skip

    def __call__(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._words(*arguments), cwd=self.folder, env={**self.environment, **environment},
            capture_output=True, text=True, check=False, timeout=120, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    @contextmanager
    def up(self) -> Iterator[subprocess.Popen[str]]:
        """``horizon up`` from its greeting to Ctrl-C."""
        process = subprocess.Popen(
            self._words("up"), cwd=self.folder, env=self.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if line.startswith("Ctrl-C"):
                    break
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)

    @staticmethod
    def _words(*arguments: str) -> list[str]:
        return [sys.executable, "-m", "horizon.cli", *arguments]


def wait_until(what: object, timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not what():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.1)
