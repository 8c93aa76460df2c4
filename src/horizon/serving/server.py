"""Serves an application: one process, one event loop."""

from __future__ import annotations

import asyncio
import resource
import signal
import sys
from collections.abc import Callable

import psycopg
import uvloop
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server

from horizon.errors import DatabaseError
from horizon.postgres.database import Database, Role
from horizon.postgres.era import current_era
from horizon.serving.application import Application

CONNECTIONS = 4096  # open at once, 20 KB each; who comes after them waits
OTHER_FILES = 200  # that a process has open besides
LISTEN_QUEUE = 1024
# Before and within a request's head, so that silent connections make room. A load balancer in
# front has to let go of an idle connection earlier than this.
IDLE_TIMEOUT_S = 30
HEAD_BYTES = 65_536
GRACE_S = 5  # for requests under way when it is told to stop
# While the event loop reads requests, a thread waits so long for the interpreter after each wait
# for the database, the collector's writer ten times a group: with Python's 5 ms it idled half of
# the time.
SWITCH_S = 0.0005


def serve(make: Callable[[], Application], host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT, from the main thread; ``make`` runs where the event loop does.

    Prints ``ready port=PORT`` when it listens.
    """
    sys.setswitchinterval(SWITCH_S)
    uvloop.run(_serve(make, host, port))


async def _serve(make: Callable[[], Application], host: str, port: int) -> None:
    app = make()
    # In this process and not in a worker's: one kill ends it, and no orphan holds the port.
    server = Server(
        app, address=host, port=port, interface=Interfaces.ASGI, http=HTTPModes.http1,
        websockets=False, backlog=LISTEN_QUEUE, backpressure=_connections(), log_enabled=False,
        http1_settings=HTTP1Settings(
            header_read_timeout=IDLE_TIMEOUT_S * 1000, max_buffer_size=HEAD_BYTES
        ),
    )  # fmt: skip
    server.workers_kill_timeout = GRACE_S
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stop)
    greeting = loop.create_task(_greet(host, port))
    try:
        await server.serve()
    except TimeoutError:  # a client was slower than the grace, and Granian gave it up
        # It tells a future that is cancelled by now that it has ended: nobody need read that.
        loop.set_exception_handler(lambda *_: None)
    greeting.cancel()
    await app.stop()


def _connections() -> int:
    """CONNECTIONS, or as many as this process may have files open."""
    wanted = CONNECTIONS + OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:  # often 1,024, and the hard one far above
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return (
        CONNECTIONS
        if soft == resource.RLIM_INFINITY
        else max(1, min(CONNECTIONS, soft - OTHER_FILES))
    )


async def _greet(host: str, port: int) -> None:
    """Say when it listens: Granian does so some time after the application has started."""
    while True:
        try:
            _, writer = await asyncio.open_connection(host, port)
        except OSError:
            await asyncio.sleep(0.01)
        else:
            writer.close()
            print(f"ready port={port}", flush=True)
            return


def check_database(database: Database, role: Role) -> None:
    """Raises DatabaseError."""
    try:
        with database.transaction(role) as tx:
            current_era(tx)
    except psycopg.errors.UndefinedTable as exc:
        raise DatabaseError("The database is not set up: run `horizon init`.") from exc
