"""Makes the profile API, and serves it."""

from __future__ import annotations

from horizon import keys
from horizon.api.app import Api
from horizon.api.openapi import document
from horizon.api.readers import Readers
from horizon.api.tokens import Token, known_tokens, note_token_use
from horizon.counters import families as f
from horizon.counters import open_counters
from horizon.keys import Keys
from horizon.log import open_log
from horizon.postgres.database import Database, Role, find
from horizon.serving.held import Desk, HeldConnection
from horizon.serving.known_keys import KnownKeys
from horizon.serving.port import check_port
from horizon.serving.requests import Requests
from horizon.serving.server import check_database, serve
from horizon.settings import Settings


def run(settings: Settings, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT, from the main thread.

    Prints ``ready port=PORT`` when it listens. Raises PortInUseError, DatabaseError, HorizonError.
    """
    own_keys = keys.load(settings.home)
    database = find(settings)
    check_database(database, Role.READER)
    check_port(host, port, "profile API")
    serve(lambda: make_app(settings, own_keys, database), host, port)


def make_app(settings: Settings, own_keys: Keys, database: Database) -> Api:
    """The application with everything it needs; call it where its event loop runs."""
    log = open_log(settings).bind(stage="serve", component="api")
    desk = Desk(HeldConnection(database, log, Role.READER))
    known: KnownKeys[Token] = KnownKeys(desk, known_tokens, note_token_use)
    counters = open_counters(settings, "api")
    return Api(
        Readers(database, log), known, own_keys.node, document(), log,
        Requests(counters, f.API_REQUESTS, f.API_REQUEST_SECONDS), desk.close,
    )  # fmt: skip
