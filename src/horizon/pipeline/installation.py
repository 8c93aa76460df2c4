"""One Horizon: its settings, database, keys and log, opened together."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from horizon import keys as keyring
from horizon import log as event_log
from horizon.counters import Counters, open_counters
from horizon.errors import HorizonError
from horizon.events.kinds import Kinds, kinds_of
from horizon.keys import Keys
from horizon.log import LineFile, Logger
from horizon.observe.lineage.kept import DatabaseKept
from horizon.observe.lineage.queue import queue_of
from horizon.observe.lineage.runs import Lineage, NullLineage, QueuedLineage
from horizon.pipeline.runner import Runner
from horizon.postgres import database as databases
from horizon.postgres.database import Database, Role
from horizon.postgres.era import current_era, open_era
from horizon.postgres.migrate import migrate
from horizon.settings import Settings


@dataclass(frozen=True)
class Installation:
    settings: Settings
    database: Database
    keys: Keys
    log: Logger
    lines: LineFile
    role: str = "command"  # as which its counters are kept

    @property
    def runner(self) -> Runner:
        return Runner(self.database, self.log, self.lines, self.lineage, self.counters)

    @cached_property
    def kinds(self) -> Kinds:
        """Which identifiers its events have, and whom it believes."""
        return kinds_of(self.settings.IDENTIFIERS, self.settings.VERIFIED_ONLY)

    @cached_property
    def counters(self) -> Counters:
        """One file of counters, as long as this process lives."""
        return open_counters(self.settings, self.role)

    @cached_property
    def lineage(self) -> Lineage:
        if self.settings.LINEAGE_TO == "off":
            return NullLineage()
        queue = queue_of(self.settings)
        kept = DatabaseKept(lambda: self.database, queue.name)
        return QueuedLineage(queue, (self.database.server_url, self.database.name), kept)

    def era(self) -> int:
        with self.database.transaction(Role.WORKER) as tx:
            return current_era(tx)


def open_installation(
    settings: Settings, database: str | None = None, *, make: bool = False
) -> Installation:
    """Open, and on the first use make, the installation of the settings.

    ``database`` names another database of the same server; ``make`` makes it where there is none.
    Raises HorizonError.
    """
    keyring.make(settings.home)
    found = databases.find(settings)
    if database is not None:
        found = found.named(database)
        if make:
            found.make()
    loaded = keyring.load(settings.home)
    prepare(found)
    _know_the_keys(found, loaded, settings)
    # Several databases may write one log: a dashboard must not add up their numbers.
    other = {} if database is None else {"database": database}
    lines = LineFile(settings.log_path, settings.LOG_MAX_BYTES, settings.LOG_KEEP, other)
    return Installation(settings, found, loaded, event_log.log_to(lines), lines)


def prepare(database: Database) -> None:
    """Bring the schema up to date and open the first era."""
    migrate(database)
    with database.transaction(Role.OWNER) as tx:
        tx.execute("LOCK TABLE eras IN EXCLUSIVE MODE")
        if tx.execute("SELECT FROM eras LIMIT 1").fetchone() is None:
            open_era(tx, "init")
        current_era(tx)


def _know_the_keys(database: Database, keys: Keys, settings: Settings) -> None:
    """Refuse keys that are not the database's: with others nobody would be known again, and who
    unsubscribed would be written to."""
    with database.transaction(Role.OWNER) as tx:
        tx.execute(
            "INSERT INTO installation (node_key_check) VALUES (%s) ON CONFLICT DO NOTHING",
            [keys.check],
        )
        row = tx.execute("SELECT node_key_check FROM installation").fetchone()
    if row is None or bytes(row.node_key_check) != keys.check:
        raise HorizonError(
            f"The database was made with other keys than those in {settings.home / 'keys'}: set "
            "HORIZON_HOME to the folder that has them, or put them back from a backup's FILE.keys; "
            "without them only another database or HORIZON_HOME helps."
        )
