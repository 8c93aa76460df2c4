"""A console that the tests of a module share, each with people of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from horizon import keys
from horizon.postgres.database import Database
from horizon.settings import Settings
from tests.servers.console import Console


@pytest.fixture(scope="module")
def console(
    module_database: Database,
    tmp_path_factory: pytest.TempPathFactory,
    free_port: Callable[[], int],
) -> Iterator[Console]:
    with Console(
        console_settings(module_database, tmp_path_factory.mktemp("console"), free_port())
    ) as one:
        yield one


def console_settings(database: Database, folder: Path, port: int) -> Settings:
    keys.make(folder / "home")
    return Settings(
        PG_DSN=database.dsn, HORIZON_HOME=str(folder / "home"), LOG_PATH=str(folder / "log"),
        CONSOLE_PORT=port,
    )  # fmt: skip
