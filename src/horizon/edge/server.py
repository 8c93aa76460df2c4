"""Makes the edge, and serves it: one process, one event loop, one writer thread."""

from __future__ import annotations

import asyncio

from horizon import keys
from horizon.counters import open_counters
from horizon.edge.admission import Admission
from horizon.edge.app import App
from horizon.edge.confirm import ConfirmLink
from horizon.edge.erased_nodes import ErasedNodes
from horizon.edge.group_commit import GroupCommit
from horizon.edge.known_sources import KnownSources
from horizon.edge.limits import Limits
from horizon.edge.pages import Pages
from horizon.edge.preferences import PreferencesLink
from horizon.edge.responses import Recorder
from horizon.edge.room import Room
from horizon.edge.segment import SegmentApi
from horizon.edge.sites import Sites
from horizon.edge.targets import Targets
from horizon.edge.tracking import TrackingLinks
from horizon.edge.unsubscribe import UnsubscribeLink
from horizon.edge.watch import Watch
from horizon.events.kinds import kinds_of
from horizon.keys import Keys
from horizon.log import open_log
from horizon.postgres.database import Database, Role, find
from horizon.serving.held import Desk, HeldConnection
from horizon.serving.port import check_port
from horizon.serving.server import check_database, serve
from horizon.settings import Settings


def run(settings: Settings, host: str, port: int, *, shared: bool = False) -> None:
    """Serve until SIGTERM or SIGINT, from the main thread.

    ``shared``: other collectors of this home listen there too, and each gets some connections.
    Prints ``ready port=PORT`` when it listens. Raises PortInUseError, DatabaseError, HorizonError.
    """
    own_keys = keys.load(settings.home)
    database = find(settings)
    check_database(database, Role.EDGE)
    if not shared:
        check_port(host, port)
    serve(lambda: make_app(settings, own_keys, database), host, port)


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
