"""Whether a server may listen at its port."""

from __future__ import annotations

import errno
import socket

from horizon.errors import HorizonError, PortInUseError

_SETTINGS = {
    "collector": "COLLECTOR_PORT",
    "profile API": "API_PORT",
    "console": "CONSOLE_PORT",
}


def check_port(host: str, port: int, who: str = "collector") -> None:
    """Raises PortInUseError, HorizonError.

    Granian shares a port that another process holds, and each would get some of the requests.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as exc:
        if exc.errno == errno.EADDRINUSE:
            raise PortInUseError(
                f"The {who} cannot start, port {port} is in use: stop the program that "
                f"listens there or set {_SETTINGS[who]} to a free port."
            ) from exc
        raise HorizonError(
            f"The {who} cannot listen on {host} port {port} ({exc.strerror}): give it an "
            "address of this machine, for example 127.0.0.1, and a port above 1023."
        ) from exc
