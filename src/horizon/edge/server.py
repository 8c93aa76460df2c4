"""Serves the edge: one process, one event loop, one writer thread."""

from __future__ import annotations

import asyncio
import resource
import signal
import sys

import psycopg
import uvloop
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server

from horizon import keys
from horizon.counters import open_counters
from horizon.edge.admission import Admission
from horizon.edge.app import App
from horizon.edge.confirm import ConfirmLink
from horizon.edge.erased_nodes import ErasedNodes
from horizon.edge.group_commit import GroupCommit
from horizon.edge.held import Desk, HeldConnection
from horizon.edge.known_sources import KnownSources
from horizon.edge.limits import Limits
from horizon.edge.pages import Pages
from horizon.edge.port import check_port
from horizon.edge.preferences import PreferencesLink
from horizon.edge.responses import Recorder
from horizon.edge.room import Room
from horizon.edge.segment import SegmentApi
from horizon.edge.sites import Sites
from horizon.edge.targets import Targets
from horizon.edge.tracking import TrackingLinks
from horizon.edge.unsubscribe import UnsubscribeLink
from horizon.edge.watch import Watch
from horizon.errors import DatabaseError
from horizon.events.kinds import kinds_of
from horizon.keys import Keys
from horizon.log import open_log
from horizon.postgres.database import Database, Role, find
from horizon.postgres.era import current_era
from horizon.settings import Settings

CONNECTIONS = 4096  # open at once, 20 KB each; who comes after them waits
OTHER_FILES = 200  # that a process has open besides
LISTEN_QUEUE = 1024
# Before and within a request's head, so that silent connections make room. A load balancer in
# front has to let go of an idle connection earlier than this.
IDLE_TIMEOUT_S = 30
HEAD_BYTES = 65_536
GRACE_S = 5  # for requests under way when it is told to stop
# While the event loop reads requests, the writer's thread waits so long for the interpreter after
# each of its ten waits a group: with Python's 5 ms the database idled half of the time.
SWITCH_S = 0.0005


def run(settings: Settings, host: str, port: int, *, shared: bool = False) -> None:
    """Serve until SIGTERM or SIGINT, from the main thread.

    ``shared``: other collectors of this home listen there too, and each gets some connections.
    Prints ``ready port=PORT`` when it listens. Raises PortInUseError, DatabaseError, HorizonError.
    """
    own_keys = keys.load(settings.home)
    database = find(settings)
    _check_database(database)
    if not shared:
        check_port(host, port)
    sys.setswitchinterval(SWITCH_S)
    uvloop.run(_serve(settings, own_keys, database, host, port))


async def _serve(
    settings: Settings, own_keys: Keys, database: Database, host: str, port: int
) -> None:
    app = make_app(settings, own_keys, database)
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


def make_app(settings: Settings, own_keys: Keys, database: Database) -> App:
    """The application with everything it needs; call it where its event loop runs."""
    log = open_log(settings).bind(stage="ingest", component="collector")
    watch = Watch(open_counters(settings, "collector"))
    commit = GroupCommit(HeldConnection(database, log), log, watch)
    desk = Desk(HeldConnection(database, log))
    erased, room = ErasedNodes(desk), Room(settings, log)
    pages = Pages(settings.BRAND)
    # A thread and a connection of its own: a group of responses holds up nobody's question.
    recorder = Recorder(Desk(HeldConnection(database, log)), log)
    sources = KnownSources(desk, own_keys.link)
    tracking = TrackingLinks(Targets(desk), recorder, [own_keys.link], pages)
    admission = Admission(sources, Limits(settings.home))
    kinds = kinds_of(settings.IDENTIFIERS, settings.VERIFIED_ONLY)
    segment = SegmentApi(commit, admission, erased, room, own_keys.node, kinds)
    return App(
        segment,
        {
            "/u/": UnsubscribeLink(desk, [own_keys.link], pages).answer,
            "/p/": PreferencesLink(desk, [own_keys.link], pages).answer,
            "/y/": ConfirmLink(desk, [own_keys.link], pages).answer,
            "/c/": tracking.click,
            "/o/": tracking.open,
        },
        desk,
        _Life(commit, tracking, sources, erased, desk),
        log,
        room,
        watch,
        Sites(segment, admission, settings.public_url),
    )


class _Life:
    def __init__(
        self,
        commit: GroupCommit,
        tracking: TrackingLinks,
        sources: KnownSources,
        erased: ErasedNodes,
        desk: Desk,
    ) -> None:
        self._commit = commit
        self._tracking = tracking
        self._sources = sources
        self._erased = erased
        self._desk = desk

    async def start(self) -> None:
        await self._erased.start()
        self._commit.start()
        self._tracking.start()

    async def stop(self) -> None:
        """Write what waits. A second call finds nothing to do."""
        await asyncio.get_running_loop().run_in_executor(None, self._commit.stop)
        await self._tracking.stop()
        await self._erased.stop()
        await self._sources.stop()
        self._desk.close()


def _check_database(database: Database) -> None:
    try:
        with database.transaction(Role.EDGE) as tx:
            current_era(tx)
    except psycopg.errors.UndefinedTable as exc:
        raise DatabaseError("The database is not set up: run `horizon init`.") from exc
