"""A file brought in as a test's own source, without the commands around it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from horizon.keys import Keys
from horizon.postgres.database import Database, Role, row_dicts
from horizon.postgres.era import current_era
from horizon.sources.files import FileResult, ingest_file
from horizon.sources.mapping import read_mapping
from horizon.sources.stored import LocalFile

RECEIVED = datetime(2026, 1, 2, tzinfo=UTC)

Ingest = Callable[..., FileResult]


@pytest.fixture
def ingest(database: Database, keys: Keys) -> Ingest:
    """Brings a file in by a mapping's text, or as messages; received at RECEIVED."""
    with database.transaction(Role.WORKER) as tx:
        era = current_era(tx)

    def run(path: Path, mapping: str = "", **values: Any) -> FileResult:
        given = {"source_name": "shop", "now": RECEIVED, **values}
        chosen = read_mapping(mapping, "shop.toml") if mapping else None
        with closing(LocalFile(str(path))) as stored:
            return ingest_file(database, stored, chosen, node_key=keys.node, era=era, **given)

    return run


def rows(database: Database, query: str) -> list[dict[str, Any]]:
    with database.transaction(Role.WORKER) as tx:
        return row_dicts(tx.execute(query.encode()))
