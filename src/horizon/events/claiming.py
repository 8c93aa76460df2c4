"""Claims ids: of several transactions with the same one, the first that commits has it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import psycopg

from horizon.events import rows
from horizon.events.homes import Homes
from horizon.events.ids import time_of
from horizon.events.partitions import ensure_ids_partition
from horizon.postgres.database import Connection
from horizon.postgres.queries import Queries

_queries = Queries("horizon.events")


def claim(
    tx: Connection, keys: Sequence[bytes], received_on: date, *, careful: bool
) -> Sequence[bytes]:
    """Of the sorted keys those that nobody had, sorted; they are taken now.

    Not ``careful``, raises UniqueViolation where somebody has one.
    """
    homes = Homes(received_on)
    if homes.sure(keys):
        return _take(tx, keys, careful=careful)
    ensure_ids_partition(tx, homes.period_on)
    had = _had_elsewhere(tx, homes, list(homes.doubtful(keys)))
    own = {homes.home(key): key for key in keys if key not in had}
    return sorted(own[home] for home in _take(tx, sorted(own), careful=careful))


def _had_elsewhere(tx: Connection, homes: Homes, keys: Sequence[bytes]) -> set[bytes]:
    places = {place: key for key in keys for place in homes.elsewhere(key)}
    asked = sorted(places)
    values = {"keys": asked, "first": time_of(asked[0]), "last": time_of(asked[-1])}
    found = tx.execute(_queries["known_ids"], values)
    had = {places[bytes(row.key)] for row in found}
    if homes.turning:  # who writes there still is waited for
        ensure_ids_partition(tx, homes.period_before_on)
        last = {homes.before(key): key for key in keys if key not in had}
        had |= set(last.values()) - {last[place] for place in _insert(tx, sorted(last))}
    return had


def _take(tx: Connection, keys: Sequence[bytes], *, careful: bool) -> Sequence[bytes]:
    if not careful:
        _copy(tx, keys)
        return keys
    try:
        with tx.transaction():
            _copy(tx, keys)
    except (psycopg.errors.UniqueViolation, psycopg.errors.CheckViolation):
        # CheckViolation: while we waited, the default partition gave rows away to a new one.
        return _insert(tx, keys)
    return keys


def _insert(tx: Connection, keys: Sequence[bytes]) -> Sequence[bytes]:
    return sorted(bytes(row.key) for row in tx.execute(_queries["claim_ids"], {"keys": list(keys)}))


def _copy(tx: Connection, keys: Sequence[bytes]) -> None:
    with tx.cursor() as cursor, cursor.copy(_queries["copy_ids"]) as copy:
        copy.write(rows.ids_copy(keys))
