"""[identity.cold] and [identity.steady]: the identity stage on a graph of some size.

The reference of a cold build is the least that anybody would have to do for it: read the events'
nodes, find connected components with scipy, write the map back by COPY. No limits, no provenance.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from bench.harness import Figure, scratch_installation, seconds
from horizon import clock
from horizon.identity.wire import read
from horizon.pipeline.installation import Installation
from horizon.pipeline.runner import Stage
from horizon.pipeline.stages import identity_stage
from horizon.postgres.database import Role
from horizon.postgres.queries import Queries

QUERIES = Queries("bench")

FULL = (
    400_000,
    4_000_000,
    10_000_000,
)  # events, a tenth as many people: 100,000 to 2.6 M identifiers
QUICK = (100_000, 500_000)
BATCH = 30_000
BATCHES = 7
NEW = 0.05  # of a batch's events bring an edge that was not there


@dataclass(frozen=True)
class _Size:
    events: int
    people: int

    @property
    def cookies(self) -> int:
        return self.people * 11 // 10


def figures(quick: bool) -> Iterator[Figure]:
    """The steady rate's reference is that at the smallest size: the cost must not grow with it."""
    sizes = [_Size(events, events // 10) for events in (QUICK if quick else FULL)]
    smallest = 0.0
    for size in sizes:
        with scratch_installation() as horizon:
            _fill(horizon, size)
            stage = identity_stage(horizon.keys, horizon.settings)
            reference = seconds(partial(_bare, horizon))
            cold = seconds(partial(horizon.runner.run, stage))
            if size is sizes[-1]:
                yield Figure("identity.cold", round(cold, 2), "s", round(reference, 2), size.events)
            rate = _steady(horizon, stage, size)
            smallest = smallest or rate
            yield Figure("identity.steady", round(rate), "events/s", round(smallest), size.people)


def _parameters(size: _Size) -> dict[str, Any]:
    return {
        "events": size.events, "people": size.people, "cookies": size.cookies,
        "now": clock.now(), "properties": '{"price": 12.5, "note": "' + "x" * 200 + '"}',
    }  # fmt: skip


def _fill(horizon: Installation, size: _Size) -> None:
    with horizon.database.transaction(Role.OWNER) as tx:
        tx.execute("SELECT ensure_partitions((now() - interval '31 days')::date, now()::date)")
        tx.execute("INSERT INTO sources (name, kind) VALUES ('bench', 'server')")
        tx.execute(QUERIES["fill_identity"], {**_parameters(size), "first": 1, "last": size.events})
    with horizon.database.connect(autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE events")


def _bare(horizon: Installation) -> None:
    with horizon.database.transaction(Role.OWNER) as tx:
        tx.execute("CREATE TABLE bare (node uuid PRIMARY KEY, profile_id bigint NOT NULL)")
        first, other = _ties(tx)
        nodes, number = np.unique(np.concatenate((first, other)), return_inverse=True)
        a, b = number[: len(first)], number[len(first) :]
        ones = np.ones(len(a), np.bool_)
        _, label = connected_components(
            coo_array((ones, (a, b)), (len(nodes), len(nodes))), directed=False
        )
        with tx.cursor() as cursor, cursor.copy("COPY bare FROM STDIN (FORMAT binary)") as copy:
            copy.write(_rows(nodes, label.astype(np.int64)))
        tx.execute("DROP TABLE bare")


def _ties(tx: Any) -> tuple[Any, Any]:
    """The first node of each event with each node of it."""
    return tuple(read(tx, "SELECT nodes[1] AS a, unnest(nodes) AS b FROM events", "uuid", "uuid"))


def _rows(nodes: Any, label: Any) -> bytes:
    form = [("n", ">i2"), ("a", ">i4"), ("node", "S16"), ("b", ">i4"), ("profile", ">i8")]
    rows = np.empty(len(nodes), np.dtype(form))
    rows["n"], rows["a"], rows["b"] = 2, 16, 8
    rows["node"], rows["profile"] = nodes, label
    return b"PGCOPY\n\xff\r\n\0" + bytes(8) + rows.tobytes() + struct.pack(">h", -1)


def _steady(horizon: Installation, stage: Stage, size: _Size) -> float:
    """Events a second through the stage, of batches of which a twentieth brings a new edge."""
    with horizon.database.connect(autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE nodes, edges, profiles")
    times = []
    for number in range(BATCHES):
        first = size.events + 1 + number * BATCH
        batch = {**_parameters(size), "first": first, "last": first + BATCH - 1}
        with horizon.database.transaction(Role.OWNER) as tx:
            tx.execute(QUERIES["fill_identity"], batch)
            tx.execute(QUERIES["freshen"], {**batch, "apart": round(1 / NEW)})
        times.append(seconds(lambda: horizon.runner.run(stage)))
    return BATCH / sorted(times)[BATCHES // 2]
