"""What every test may ask for: a real PostgreSQL with a database of its own, keys, settings.

One server runs for the whole session. A template database is migrated once and cloned for each
test that asks for ``database``; under pytest-xdist each worker has a server of its own.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import socket
import tempfile
import tomllib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from importlib import resources
from pathlib import Path

import pytest

from horizon import keys as horizon_keys
from horizon.delivery.channels import sections
from horizon.events.sources import add_source
from horizon.keys import Keys
from horizon.log import LineFile
from horizon.pipeline.installation import Installation, open_installation
from horizon.postgres.database import Connection, Database, Role, closing_connection
from horizon.postgres.embedded import EmbeddedPostgres
from horizon.postgres.era import open_era
from horizon.postgres.migrate import migrate
from horizon.section import Section
from horizon.settings import Settings
from tests.ingesting import ingest as ingest
from tests.parts import system_program
from tests.search_server import (
    elasticsearch as elasticsearch,
)
from tests.search_server import (
    elasticsearch_server as elasticsearch_server,
)
from tests.search_server import (
    opensearch as opensearch,
)
from tests.search_server import (
    opensearch_server as opensearch_server,
)
from tests.search_server import (
    search_server as search_server,
)
from tests.servers.collector import Collector
from tests.world import World

TEMPLATE = "template_horizon"
CATALOGUE = tomllib.loads((resources.files("horizon.privacy") / "catalogue.toml").read_text())
LOG_FIELDS = set(CATALOGUE["log"])

# What the person running the tests has set is theirs: no test may read their database or logs.
_KINDS: list[type[Section]] = [Settings, *sections()]
for _kind in _KINDS:
    for _name in [*_kind.__struct_fields__, *(f"{name}_FILE" for name in _kind.secrets)]:
        os.environ.pop(_name, None)
for _name in [name for name in os.environ if name.startswith("PG") and name.isupper()]:
    del os.environ[_name]


@pytest.fixture(autouse=True)
def _log_fields_are_declared(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every line that a stage logs in a test has only fields of the privacy catalogue."""
    undeclared: set[str] = set()
    plain = LineFile.msg

    def msg(self: LineFile, line: str) -> None:
        fields = json.loads(line)
        if "stage" in _names(fields):
            undeclared.update(_names(fields) - LOG_FIELDS)
        plain(self, line)

    for name in ("msg", "debug", "info", "warning", "error", "critical"):
        monkeypatch.setattr(LineFile, name, msg)
    yield
    assert not undeclared, "privacy/catalogue.toml does not declare these log fields"


def _names(line: object) -> set[str]:
    """The line's fields, and those of the records that one of them lists."""
    if not isinstance(line, dict):
        return set()
    records = [item for value in line.values() if isinstance(value, list) for item in value]
    return set(line).union(*map(_names, records))


@pytest.fixture(scope="session")
def server() -> Iterator[EmbeddedPostgres]:
    """The session's PostgreSQL, with a migrated template database in it."""
    home = Path(tempfile.mkdtemp(prefix="horizon-tests-", dir=_quickest_folder()))
    home.chmod(0o755)  # root's unprivileged account has to walk through it
    embedded = EmbeddedPostgres(home)
    try:
        embedded.start()
        _make_quick(embedded)
        _make_template(Database(embedded.dsn).named(TEMPLATE))
        yield embedded
    finally:
        embedded.stop()
        shutil.rmtree(embedded.socket_folder, ignore_errors=True)
        shutil.rmtree(embedded.data, ignore_errors=True)
        shutil.rmtree(home, ignore_errors=True)


MEMORY = Path("/dev/shm")
ROOM_BYTES = 2_000_000_000


def _quickest_folder() -> Path | None:
    """Memory, where a database is cloned in 10 ms and on a busy disk in 40 to 200."""
    if not os.access(MEMORY, os.W_OK) or shutil.disk_usage(MEMORY).free < ROOM_BYTES:
        return None
    return MEMORY


# A database is made and dropped for each test: writing nothing to the disk, and looking through few
# buffers, that takes a third of the time. Little is kept of the log, which may lie in memory.
FOR_TESTS = """fsync = off
full_page_writes = off
shared_buffers = '128MB'
max_wal_size = '256MB'
"""


def _make_quick(embedded: EmbeddedPostgres) -> None:
    with (embedded.data / "horizon.conf").open("a") as file:
        file.write(FOR_TESTS)
    embedded.stop()
    embedded.start()


def _make_template(template: Database) -> None:
    template.make()
    migrate(template)
    with template.transaction(Role.OWNER) as tx:
        open_era(tx, "tests")
    with _server_connection(template) as connection:
        connection.execute(f"ALTER DATABASE {TEMPLATE} ALLOW_CONNECTIONS false")


def _server_connection(database: Database) -> AbstractContextManager[Connection]:
    return closing_connection(database.named("postgres").connect(autocommit=True))


@pytest.fixture(scope="session")
def _clone(server: EmbeddedPostgres) -> Iterator[Callable[[], Database]]:
    """Gives a fresh, migrated database a call. The next one is made while the test runs."""
    numbers = itertools.count(1)
    origin = Database(server.dsn)
    with _server_connection(origin) as connection, ThreadPoolExecutor(1, "clone") as pool:

        def make() -> Database:
            name = f"test_{next(numbers)}"
            # By copying files: through the WAL it takes three times as long.
            connection.execute(
                f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} STRATEGY FILE_COPY".encode()
            )
            return origin.named(name)

        ahead = deque([pool.submit(make)])

        def clone() -> Database:
            ahead.append(pool.submit(make))
            return ahead.popleft().result()

        yield clone


@pytest.fixture
def database(_clone: Callable[[], Database]) -> Iterator[Database]:
    """A migrated, empty database with an open era, of this test alone."""
    with dropped_in_the_end(_clone()) as cloned:
        yield cloned


@pytest.fixture(scope="module")
def module_database(_clone: Callable[[], Database]) -> Iterator[Database]:
    """A database that a module's tests share: each of them rolls back what it does."""
    with dropped_in_the_end(_clone()) as cloned:
        yield cloned


@contextmanager
def dropped_in_the_end(cloned: Database) -> Iterator[Database]:
    try:
        yield cloned
    finally:
        cloned.drop()


@pytest.fixture
def worker(database: Database) -> Iterator[Connection]:
    """A connection in the worker's role; what the test leaves uncommitted is rolled back."""
    with closing_connection(database.connect(Role.WORKER)) as connection:
        yield connection


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A HORIZON_HOME with keys, and no server in it: the database is the session's."""
    folder = tmp_path / "home"
    horizon_keys.make(folder)
    return folder


@pytest.fixture
def keys(home: Path) -> Keys:
    return horizon_keys.load(home)


@pytest.fixture
def settings(
    home: Path, tmp_path: Path, database: Database, free_port: Callable[[], int]
) -> Settings:
    """Settings of an installation of this test alone."""
    return Settings(
        PG_DSN=database.dsn,
        HORIZON_HOME=str(home),
        LOG_PATH=str(tmp_path / "logs" / "cdp_events.log"),
        COLLECTOR_PORT=free_port(),
        API_PORT=free_port(),
        CONSOLE_PORT=free_port(),
        CATCHER_SMTP_PORT=free_port(),
        CATCHER_PAGE_PORT=free_port(),
        METRICS_PORT=free_port(),
    )


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """Names a port of 127.0.0.1 that nobody listens on; never the same one twice.

    Nor one that another worker of this run may name: each has every so many of them. Linux gives
    out odd ones first, hence not by the port itself.
    """
    given: set[int] = set()
    mine = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))

    def find() -> int:
        while True:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = int(probe.getsockname()[1])
            if port // 2 % workers == mine and port not in given:
                given.add(port)
                return port

    return find


@pytest.fixture(scope="session")
def chromium() -> Path:
    """The browser for playwright's ``executable_path``; it needs ``--no-sandbox`` as root."""
    return system_program(("chromium", "chromium-browser"), package="chromium")


@pytest.fixture
def horizon(settings: Settings) -> Installation:
    """The installation of ``settings``."""
    return open_installation(settings)


@pytest.fixture
def world(horizon: Installation) -> World:
    """People in that installation, at a time that stands still."""
    return World(horizon)


@pytest.fixture
def key(database: Database) -> str:
    """The write key of a server source named shop."""
    with database.transaction(Role.WORKER) as tx:
        return add_source(tx, "shop", "server")


@pytest.fixture
def collector(settings: Settings) -> Iterator[Collector]:
    """In a process of its own."""
    with Collector(settings) as running:
        yield running


@pytest.fixture
def here(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Commands that a test runs in its own process run on its installation."""
    settings = world.horizon.settings
    for name in ("PG_DSN", "HORIZON_HOME", "LOG_PATH", "COLLECTOR_PORT", "API_PORT"):
        monkeypatch.setenv(name, str(getattr(settings, name)))
    monkeypatch.setenv("COLUMNS", "1000")
    monkeypatch.chdir(tmp_path)
    return world
