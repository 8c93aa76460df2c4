"""Makes the console's tables, and serves it: threads in one process."""

from __future__ import annotations

import contextlib
import signal
import sys
from typing import Any

from horizon.console.project import setup
from horizon.console.schema import migrate_console
from horizon.postgres.database import Role, find
from horizon.serving.port import check_port
from horizon.serving.server import check_database
from horizon.settings import Settings

THREADS = 8
CONNECTIONS = 200  # open at once; who comes after them waits
BODY_BYTES = 2_000_000
HEAD_BYTES = 65_536
SILENT_S = 30


def run(settings: Settings, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT, from the main thread.

    Prints ``ready port=PORT`` when it listens. Raises PortInUseError, DatabaseError, HorizonError.
    """
    database = find(settings)
    check_database(database, Role.CONSOLE)
    if port:
        check_port(host, port, "console")
    setup(settings, database)
    migrate_console(database)
    _serve(settings, host, port)


def application() -> Any:
    """The WSGI application, with its files gathered under names that tell their content."""
    from django.core.management import call_command
    from django.core.wsgi import get_wsgi_application
    from django.urls import get_resolver

    _ = get_resolver().url_patterns  # what cannot be imported is told now, not at each request
    call_command("clearsessions")  # those that nobody ended, whose time is over
    call_command("collectstatic", verbosity=0, interactive=False, clear=True)
    return get_wsgi_application()


def _serve(settings: Settings, host: str, port: int) -> None:
    from waitress.server import create_server

    server = create_server(
        application(), host=host, port=port, threads=THREADS, ident=None,
        # TLS ends at a proxy in front, where CONSOLE_URL says so.
        url_scheme=settings.console_url.partition(":")[0],
        connection_limit=CONNECTIONS, channel_timeout=SILENT_S, max_request_body_size=BODY_BYTES,
        max_request_header_size=HEAD_BYTES, clear_untrusted_proxy_headers=True,
    )  # fmt: skip
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    print(f"ready port={server.effective_port}", flush=True)
    with contextlib.suppress(SystemExit):
        server.run()
    server.close()
