"""Horizon's mail catcher in a process of its own, for tests."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import smtplib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import horizon

_SOURCES = str(Path(horizon.__file__).resolve().parents[1])
_END_S = 20.0


class Catcher:
    """Starts ``python -m horizon.catcher`` on free ports; ``kill`` and ``stop`` end it."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self._options = options
        self.smtp_port = self.page_port = 0

    def __enter__(self) -> Catcher:
        self.process = launch(self.folder, *self._options)
        assert self.process.stdout is not None
        ready = re.fullmatch(r"ready smtp=(\d+) page=(\d+)\n", self.process.stdout.readline())
        assert ready, self.process.communicate()
        self.smtp_port, self.page_port = int(ready[1]), int(ready[2])
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end(signal.SIGTERM)

    def end(self, number: signal.Signals) -> tuple[int, str, str]:
        """Send the signal; give back exit code, what was printed, and what was complained."""
        if self.process.returncode is None:
            self.process.send_signal(number)
            self._said = self.process.communicate(timeout=_END_S)
        return self.process.returncode, *self._said

    def smtp(self) -> smtplib.SMTP:
        return smtplib.SMTP("127.0.0.1", self.smtp_port, timeout=_END_S)

    def send(self, content: bytes, to: Sequence[str] = ("ada@example.com",)) -> None:
        with self.smtp() as client:
            client.sendmail("shop@example.com", list(to), content, ["BODY=8BITMIME"])

    def get(
        self, path: str, host: str | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers by lower-case name, body; the path goes out as it is."""
        connection = http.client.HTTPConnection("127.0.0.1", self.page_port, timeout=_END_S)
        try:
            connection.putrequest("GET", path, skip_host=True, skip_accept_encoding=True)
            named = f"localhost:{self.page_port}" if host is None else host
            for name, value in {"Host": named, **headers}.items():
                connection.putheader(name.replace("_", "-"), value)
            connection.endheaders()
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return response.status, found, response.read()
        finally:
            connection.close()

    def mails(self, query: str = "") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.get(f"/api/mails{query}")[2])
        return found


def launch(folder: Path, *options: str) -> subprocess.Popen[str]:
    """The process as it is; without options it takes any free ports."""
    ports = () if "--smtp-port" in options else ("--smtp-port", "0", "--page-port", "0")
    command = [sys.executable, "-m", "horizon.catcher", "--folder", str(folder), *ports, *options]
    return subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": _SOURCES},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
