"""Whether the collector may listen at its port."""

from __future__ import annotations

import errno
import socket

from horizon.errors import HorizonError, PortInUseError


def check_port(host: str, port: int) -> None:
    """Raises PortInUseError, HorizonError.

    Granian shares a port that another process holds, and each would get some of the events.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as exc:
        if exc.errno == errno.EADDRINUSE:
            raise PortInUseError(
                f"The collector cannot start, port {port} is in use: stop the program that "
                "listens there or set COLLECTOR_PORT to a free port."
            ) from exc
        raise HorizonError(
            f"The collector cannot listen on {host} port {port} ({exc.strerror}): give it an "
            "address of this machine, for example 127.0.0.1, and a port above 1023."
        ) from exc
