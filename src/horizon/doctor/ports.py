"""Our ports: free, or ours."""

from __future__ import annotations

import contextlib
import errno
import http.client
import socket
from collections.abc import Iterator, Mapping
from typing import Final

from horizon.doctor.finding import Case, Finding, ok, problem
from horizon.pipeline.standing import serving_pid
from horizon.settings import Settings

PART: Final = "ports"
ANSWER_S: Final = 2.0
# What is asked of each port, and what only ours answers.
SIGNS: Final[Mapping[str, tuple[str, bytes]]] = {
    "COLLECTOR_PORT": ("/healthz", b'"ok"'),
    "API_PORT": ("/healthz", b'"ok"'),
    "METRICS_PORT": ("/healthz", b'"ok"'),
    "CATCHER_PAGE_PORT": ("/", b"Horizon"),
    "CATCHER_SMTP_PORT": ("", b"Horizon mail catcher"),
}


def check_ports(case: Case) -> Iterator[Finding]:
    settings = case.settings
    up = serving_pid(settings.home) is not None
    names = ["COLLECTOR_PORT", "API_PORT", "METRICS_PORT"]
    if settings.SMTP_HOST is None:
        names += ["CATCHER_SMTP_PORT", "CATCHER_PAGE_PORT"]
    found = [one for name in names for one in _port(settings, name, up=up)]
    fine = "`horizon up` listens on all of them" if up else "all are free for `horizon up`"
    yield from found or [ok(PART, fine)]


def _port(settings: Settings, name: str, *, up: bool) -> Iterator[Finding]:
    host, port = host_of(settings, name), int(getattr(settings, name))
    try:
        _bind(host, port)
    except OSError as exc:
        if exc.errno == errno.EADDRINUSE:
            if not up:
                yield problem(
                    PART, f"another program listens on port {port}",
                    f"Stop it, or set {name} to a free port.",
                )  # fmt: skip
            elif not is_ours(host, port, name):
                yield problem(
                    PART, f"what listens on port {port} does not answer as ours does",
                    f"Start `horizon up` again; if the port is another program's, set {name}.",
                )  # fmt: skip
        elif exc.errno == errno.EACCES:
            yield problem(
                PART, f"this user may not listen on port {port}", f"Set {name} to one above 1023."
            )
        else:
            yield problem(
                PART, f"{host} is no address to listen on here ({exc.strerror})",
                "Set LISTEN_HOST and METRICS_HOST to addresses of this machine.",
            )  # fmt: skip
    else:
        if up:
            yield problem(
                PART, f"`horizon up` runs, and nobody listens on port {port} ({name})",
                "See what it says on stderr, and start it again.",
            )  # fmt: skip


def host_of(settings: Settings, name: str) -> str:
    if name == "METRICS_PORT":
        return settings.METRICS_HOST
    return settings.LISTEN_HOST if name in ("COLLECTOR_PORT", "API_PORT") else "127.0.0.1"


def _bind(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))


def is_ours(host: str, port: int, name: str) -> bool:
    """Whether it answers as ours does."""
    path, sign = SIGNS[name]
    host = "127.0.0.1" if host == "0.0.0.0" else host  # noqa: S104
    with contextlib.suppress(OSError, http.client.HTTPException):
        if not path:
            with socket.create_connection((host, port), ANSWER_S) as line:
                return sign in line.recv(1000)
        asked = http.client.HTTPConnection(host, port, timeout=ANSWER_S)
        with contextlib.closing(asked):
            asked.request("GET", path)
            return sign in asked.getresponse().read(100_000)
    return False
