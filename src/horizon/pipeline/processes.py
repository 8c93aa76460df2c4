"""Horizon's own processes: started, watched, stopped by their ids."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from horizon.alone import alone
from horizon.errors import HorizonError, PortInUseError
from horizon.settings import Settings

READY_TIMEOUT_S = 30
STOP_TIMEOUT_S = 40


@dataclass
class Child:
    """A process that prints ``ready ...`` when it serves; what else it says goes to stderr."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[str] | None = None

    def start(self) -> str:
        """Start it and wait until it serves; give back its ready line. Raises HorizonError."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "horizon.pipeline.child", str(os.getpid()), *self.arguments],
            env={**os.environ, **self.environment}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        said: list[str] = []
        threading.Thread(target=_drain, args=(self.process.stderr, said), daemon=True).start()
        killer = threading.Timer(READY_TIMEOUT_S, self.process.kill)
        killer.start()
        try:
            for line in self.process.stdout or ():
                if line.startswith("ready"):
                    threading.Thread(
                        target=_drain, args=(self.process.stdout, []), daemon=True
                    ).start()
                    return line.strip()
        finally:
            killer.cancel()
        self.process.wait()
        time.sleep(0.05)
        last = (
            said[-1].removeprefix("horizon: ")
            if said
            else f"it ended with {self.process.returncode}"
        )
        if last.startswith(f"the {self.name}"):
            raise HorizonError(f"T{last[1:]}")
        raise HorizonError(f"The {self.name} does not start: {last}")

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def stop(self) -> None:
        if self.process is None:
            return
        if self.alive():
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _drain(stream: object, said: list[str]) -> None:
    """Pass a child's words on, so that its pipe never fills."""
    for line in stream:  # type: ignore[attr-defined]
        said.append(line.rstrip())
        del said[:-20]
        if line.startswith("horizon"):
            print(line, end="", file=sys.stderr)


def collector(port: int, environment: Mapping[str, str], *, shared: bool = False) -> Child:
    """``shared``: with others, at a port that was found free before the first of them."""
    more = ["--shared"] if shared else []
    return Child("collector", ["horizon.edge", "--port", str(port), *more], environment)


def api(port: int, environment: Mapping[str, str]) -> Child:
    return Child("profile API", ["horizon.api", "--port", str(port)], environment)


def console(port: int, environment: Mapping[str, str]) -> Child:
    return Child("console", ["horizon.console", "--port", str(port)], environment)


def catcher(folder: Path, smtp_port: int, page_port: int) -> Child:
    return Child(
        "mail catcher",
        ["horizon.catcher", "--folder", str(folder),
         "--smtp-port", str(smtp_port), "--page-port", str(page_port)],
    )  # fmt: skip


def worker(environment: Mapping[str, str]) -> Child:
    return Child("worker", ["horizon.pipeline.worker"], environment)


def metrics(environment: Mapping[str, str]) -> Child:
    return Child("metrics", ["horizon.observe.metrics"], environment)


def shipper(environment: Mapping[str, str]) -> Child:
    return Child("shipper", ["horizon.observe.shipper"], environment)


def lineage_courier(environment: Mapping[str, str]) -> Child:
    return Child("lineage courier", ["horizon.observe.lineage"], environment)


def forwarder(environment: Mapping[str, str]) -> Child:
    return Child("forwarder", ["horizon.pipeline.forwarder"], environment)


def environment_of(settings: Settings, **changes: object) -> dict[str, str]:
    """The settings as a child's environment, so that it sees what its parent saw."""

    values = {**msgspec.structs.asdict(settings), **changes}
    return {name: str(value) for name, value in values.items() if value is not None}


def free_port(wanted: int, host: str = "127.0.0.1") -> int:
    """``wanted`` where nobody listens there, else any free port."""
    for port in (wanted, 0):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            return int(probe.getsockname()[1])
    raise PortInUseError(f"No port of {host} is free: stop some program that listens there.")


@contextlib.contextmanager
def only_one(home: Path) -> Iterator[None]:
    """Serve a home once. Raises AlreadyRunningError, which names the process that does."""
    home.mkdir(parents=True, exist_ok=True)
    with alone(home / "up.lock", lambda process: (
        f"Horizon serves {home} already ({process}): stop that one with Ctrl-C, or set "
        "HORIZON_HOME to another folder."
    )):  # fmt: skip
        yield
