"""Who listens to lineage: a server of OpenLineage, a file, a terminal."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TextIO
from urllib.parse import urlsplit

from horizon.errors import HorizonError, OutboundError
from horizon.observe.lineage.queue import append_whole
from horizon.outbound.client import HttpOutbound, Outbound
from horizon.outbound.rules import AllowList, read_target
from horizon.settings import Settings

TIMEOUT_S = 10.0
PATH = "/api/v1/lineage"

# About us, the address or the moment, not about this event: the next one would fare no better.
_NOT_THE_EVENT = frozenset({401, 403, 404, 405, 407, 408, 421, 425, 429})


class AwayError(HorizonError):
    """Who listens does not take events now: nothing is lost, they wait."""


class RefusedError(HorizonError):
    """Who listens will never take this event."""


class Target(Protocol):
    def send(self, event: bytes) -> None:
        """Raises AwayError or RefusedError."""

    def close(self) -> None:
        """Let go of connections; the next event may open one again."""


class NullTarget:
    """Takes everything and tells nobody."""

    def send(self, event: bytes) -> None:
        pass

    def close(self) -> None:
        pass


@dataclass
class StreamTarget:
    """A line an event."""

    stream: TextIO
    prefix: str = ""

    def send(self, event: bytes) -> None:
        print(f"{self.prefix}{event.decode()}", file=self.stream, flush=True)

    def close(self) -> None:
        pass


@dataclass
class FileTarget:
    path: Path

    def send(self, event: bytes) -> None:
        if not self.path.parent.is_dir():  # mistyped, or a disk that is not mounted yet
            raise AwayError(
                f"There is no folder {self.path.parent} for lineage: make it, or set LINEAGE_TO to "
                "a file in one that is there."
            )
        try:
            self._write(event + b"\n")
        except OSError as exc:
            raise AwayError(
                f"{self.path} takes no lineage ({exc.strerror}): free some disk, or set LINEAGE_TO."
            ) from exc

    def _write(self, line: bytes) -> None:
        if self.path.exists() and not self.path.is_file():  # a pipe: nothing can be taken back
            with self.path.open("ab") as pipe:
                pipe.write(line)
        else:
            append_whole(self.path, line, 0o666)  # less the umask, since others read it

    def close(self) -> None:
        pass


@dataclass
class HttpTarget:
    url: str
    outbound: Outbound
    api_key: str | None = None

    def send(self, event: bytes) -> None:
        headers = {"Content-Type": "application/json"}
        if self.api_key:
            headers["Authorization"] = f"Bearer {self.api_key}"
        try:
            answer = self.outbound.post(self.url, event, headers)
        except OutboundError as exc:
            raise AwayError(f"{exc}: look at LINEAGE_TO.") from exc
        if 200 <= answer.status < 300:
            return
        said = f"{urlsplit(self.url).hostname} answered {answer.status}"
        if 400 <= answer.status < 500 and answer.status not in _NOT_THE_EVENT:
            raise RefusedError(said)
        raise AwayError(f"{said}: look at LINEAGE_TO and LINEAGE_API_KEY.")

    def close(self) -> None:
        self.outbound.close()


def open_target(settings: Settings, stream: TextIO = sys.stdout, prefix: str = "") -> Target:
    """What LINEAGE_TO names."""
    to = settings.LINEAGE_TO
    if to == "off":
        return NullTarget()
    if to == "console":
        return StreamTarget(stream, prefix)
    if to.startswith("file:"):
        return FileTarget(Path(to.removeprefix("file:")).expanduser())
    url = to if urlsplit(to).path.strip("/") else to.rstrip("/") + PATH
    # The operator named it: that allows it, wherever it is.
    allow = AllowList.read([*settings.outbound_allow, read_target(url).place])
    return HttpTarget(url, HttpOutbound(allow, timeout_s=TIMEOUT_S), settings.LINEAGE_API_KEY)
