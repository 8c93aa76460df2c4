"""One Horizon: its settings, database, keys and log, opened together."""

from __future__ import annotations

from dataclasses import dataclass

from horizon import keys as keyring
from horizon import log as event_log
from horizon.keys import Keys
from horizon.log import LineFile, Logger
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

    @property
    def runner(self) -> Runner:
        return Runner(self.database, self.log, self.lines)

    def era(self) -> int:
        with self.database.transaction(Role.WORKER) as tx:
            return current_era(tx)


def open_installation(settings: Settings, database: str | None = None) -> Installation:
    """Open, and on the first use make, the installation of the settings.

    ``database`` names another database of the same server. Raises HorizonError.
    """
    keyring.make(settings.home)
    found = databases.find(settings)
    if database is not None:
        found = found.named(database)
        found.make()
    prepare(found)
    lines = LineFile(settings.log_path, settings.LOG_MAX_BYTES, settings.LOG_KEEP)
    return Installation(
        settings, found, keyring.load(settings.home), event_log.log_to(lines), lines
    )


def prepare(database: Database) -> None:
    """Bring the schema up to date and open the first era."""
    migrate(database)
    with database.transaction(Role.OWNER) as tx:
        tx.execute("LOCK TABLE eras IN EXCLUSIVE MODE")
        if tx.execute("SELECT FROM eras LIMIT 1").fetchone() is None:
            open_era(tx, "init")
        current_era(tx)
