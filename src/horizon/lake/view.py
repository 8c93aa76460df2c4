"""The current view: every event once, in the lake or still hot, and whose each one is now.

All of it is read in one REPEATABLE READ transaction. The lake's files are then read outside of it:
none of them changes, and each is named by the snapshot that this transaction sees.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa

from horizon.lake import packed
from horizon.postgres.database import Connection
from horizon.postgres.queries import Queries
from horizon.settings import Settings

QUERIES = Queries("horizon.lake")


@dataclass(frozen=True)
class File:
    location: str
    size_bytes: int
    rows: int


@dataclass(frozen=True)
class Files:
    """Parquet files of one table; ``ids`` are its columns' field ids, as Iceberg gave them."""

    ids: Mapping[str, int]
    files: tuple[File, ...]


@dataclass(frozen=True)
class View:
    """``lake``: columns node (the first), nodes, time, received_at, activity. An engine takes the
    first of nodes that is not in ``dead``; in ``tail`` that is done.

    ``metadata_location`` and ``snapshot_id`` are for an engine that reads Iceberg by itself.
    """

    tail: pa.Table  # node, time, received_at, activity
    map: pa.Table  # node, profile_id, first_seen: of live nodes
    dead: pa.Table  # node
    lake: tuple[Files, ...] = ()
    metadata_location: str | None = None
    snapshot_id: int | None = None
    properties: Mapping[str, str] = field(default_factory=dict)  # what files are reached with


def current_view(tx: Connection, settings: Settings) -> View:
    """What this transaction sees.

    Raises LakeError.
    """
    pointer = _pointer(tx)
    if pointer is None:
        return _of_the_database(tx, {"era": 0, "seen": "1:1:", **_NO_WINDOW})
    # Only here: it takes 0.5 s to import, and before the first archive nothing asks for it.
    from horizon.lake import files, planning

    properties = files.properties(settings)
    planned = planning.plan(pointer, properties)
    view = _of_the_database(tx, asdict(planned.watermark))
    return View(
        view.tail, view.map, view.dead, planned.lake, pointer, planned.snapshot_id, properties
    )


_NO_WINDOW = {"until_era": None, "until": None, "upto": None}


def _pointer(tx: Connection) -> str | None:
    names = {"catalog": "horizon", "namespace": "horizon", "table": "events"}
    row = tx.execute(QUERIES["pointer"], names).fetchone()
    return row.metadata_location if row else None


def _of_the_database(tx: Connection, mark: Mapping[str, Any]) -> View:
    return View(
        tail=packed.read(
            tx, QUERIES["tail"], mark, node="uuid", time="time", received_at="time", activity="bool"
        ),
        map=packed.read(tx, QUERIES["map"], {}, node="uuid", profile_id="int", first_seen="time"),
        dead=packed.read(tx, QUERIES["dead"], {}, node="uuid"),
    )
