"""The current view: every event once, in the lake or still hot, and whose each one is now.

All of it is read in one REPEATABLE READ transaction. The lake's files are then read outside of it:
none of them changes, and each is named by the snapshot that this transaction sees.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
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


def current_view(
    tx: Connection, settings: Settings, *, at_rest_before: datetime | None = None
) -> View:
    """What this transaction sees.

    ``at_rest_before``: of the events before that time the definition needs each list of nodes' last
    activity and no more; it comes from a summary where there is one, and the files stay unread.
    Raises LakeError.
    """
    pointer = _pointer(tx, "events")
    if pointer is None:
        return _of_the_database(tx, {"era": 0, "seen": "1:1:", **_NO_WINDOW})
    # Only here: it takes 0.5 s to import, and before the first archive nothing asks for it.
    from horizon.lake import files, planning

    properties = files.properties(settings)
    planned = planning.plan(pointer, _pointer(tx, "resting"), properties, at_rest_before)
    view = _of_the_database(tx, asdict(planned.watermark))
    return View(
        view.tail, view.map, view.dead, planned.lake, pointer, planned.snapshot_id, properties
    )


_TAIL = {"node": "uuid", "time": "time", "received_at": "time", "activity": "bool"}
_MAP = {"node": "uuid", "profile_id": "int", "first_seen": "time"}
_DEAD = {"node": "uuid"}
_NO_WINDOW = {"until_era": None, "until": None, "upto": None}


def _pointer(tx: Connection, table: str) -> str | None:
    names = {"catalog": "horizon", "namespace": "horizon", "table": table}
    row = tx.execute(QUERIES["pointer"], names).fetchone()
    return row.metadata_location if row else None


def _of_the_database(tx: Connection, mark: Mapping[str, Any]) -> View:
    return View(
        tail=packed.read(tx, QUERIES["tail"], mark, **_TAIL),
        map=packed.read(tx, QUERIES["map"], {}, **_MAP),
        dead=packed.read(tx, QUERIES["dead"], {}, **_DEAD),
    )


def of_the_lake_alone(lake: tuple[Files, ...], properties: Mapping[str, str]) -> View:
    """For what only asks the relation ``lake`` of an engine."""
    tail, known, dead = (packed.nothing(**kinds) for kinds in (_TAIL, _MAP, _DEAD))
    return View(tail, known, dead, lake, properties=properties)
