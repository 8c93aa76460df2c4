"""The sources as their operator keeps them: keys changed, limits set, switched off and on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from horizon.clock import utc_text
from horizon.errors import HorizonError, UsageError
from horizon.events.sources import new_key
from horizon.postgres.database import Connection, row_dicts
from horizon.postgres.queries import Queries

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

_queries = Queries("horizon.sources")


class OldKey(NamedTuple):
    hint: str
    last_used_at: datetime | None


def sources(tx: Connection, name: str | None = None) -> list[dict[str, Any]]:
    """A row a source, or the one of this name. Raises UsageError where there is none."""
    rows = row_dicts(tx.execute(_queries["sources"], {"name": name}))
    if name is not None and not rows:
        raise unknown(name)
    return rows


def enable(tx: Connection, name: str, *, enabled: bool) -> None:
    """Raises UsageError, also where nobody sends with a key: no request would ask for it."""
    _locked(tx, name)
    tx.execute(_queries["enable_source"], {"name": name, "enabled": enabled})


def change(
    tx: Connection,
    name: str,
    *,
    origins: Sequence[str] | None = None,
    rate: float | None = None,
    burst: float | None = None,
) -> dict[str, Any]:
    """What is None stays; no origin allows all, and a rate of 0 is no limit. Raises UsageError."""
    _locked(tx, name)
    values = {"name": name, "rate": rate, "burst": burst}
    listed = None if origins is None else sorted(set(origins))
    return row_dicts(tx.execute(_queries["change_source"], {**values, "origins": listed}))[0]


def rename(tx: Connection, name: str, new: str) -> None:
    """Raises UsageError."""
    _not_our_own(name)
    check_name(new)
    sources(tx, name)
    if tx.execute(_queries["rename_source"], {"name": name, "new": new}).rowcount == 0:
        raise UsageError(f"There is a source {new!r} already: choose another name.")


def remove(tx: Connection, name: str) -> None:
    """One of which nothing came, as the owner. Raises UsageError, HorizonError."""
    _not_our_own(name)
    sources(tx, name)
    tx.execute(_queries["lock_source"], {"name": name})
    row = tx.execute(_queries["needs_source"], {"name": name}).fetchone()
    assert row is not None
    if row.forward:
        raise HorizonError(
            f"Forward {row.forward} sends the events of {name} on: `horizon forward remove "
            f"{row.forward}` first."
        )
    if row.events:
        raise HorizonError(
            f"{name} has sent something, which would belong to nobody: `horizon source disable "
            f"{name}` refuses what else it sends."
        )
    for query in ("remove_keys", "remove_secrets", "remove_files", "remove_source"):
        tx.execute(_queries[query], {"name": name})


def check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be typed well: name it with letters, digits, dots, - and _."
        )


def _not_our_own(name: str) -> None:
    if name == "horizon":
        raise UsageError("Source horizon is Horizon's own, of what it writes itself: it stays.")


def rotate(tx: Connection, name: str, *, now: datetime, old_until: datetime) -> str:
    """A new key; the one before is taken until ``old_until``. Raises UsageError."""
    source_id = _locked(tx, name)
    tx.execute(_queries["drop_ended_keys"], {"source_id": source_id, "now": now})
    (row,) = sources(tx, name)
    if row["old_key"] is not None:
        raise UsageError(
            f"{name!r} has two keys: the old one, {row['old_key']}..., is taken until "
            f"{utc_text(row['old_until'])}. `horizon source rotate {name} --finish` ends it."
        )
    tx.execute(_queries["end_key"], {"source_id": source_id, "until": old_until})
    return new_key(tx, source_id)


def finish_rotation(tx: Connection, name: str, *, now: datetime, force: bool = False) -> OldKey:
    """End the old key now. Raises UsageError, without ``force`` also where all senders may still
    have the old one."""
    source_id = _locked(tx, name)
    if not force:
        _check_new_key_is_used(tx, name, now)
    row = tx.execute(_queries["end_old_key"], {"source_id": source_id, "now": now}).fetchone()
    if row is None:
        raise UsageError(f"{name!r} has one key only: there is no old one to end.")
    return OldKey(row.hint, row.last_used_at)


def _check_new_key_is_used(tx: Connection, name: str, now: datetime) -> None:
    (row,) = sources(tx, name)
    old_is_taken = row["old_key"] is not None and row["old_until"] > now
    if old_is_taken and row["last_used"] is None and row["old_last_used"] is not None:
        raise UsageError(
            f"The new key {row['key']}... of {name} was never used, and the old one was last used "
            f"{utc_text(row['old_last_used'])}: give its senders the new one first, or end the old "
            "one all the same with --force."
        )


def _locked(tx: Connection, name: str) -> int:
    row = tx.execute(_queries["lock_source"], {"name": name}).fetchone()
    if row is None:
        raise unknown(name)
    if row.kind not in ("public", "server"):
        raise UsageError(
            f"{name!r} is a source of kind {row.kind} and has no key: nobody sends with one, so "
            "there is nothing to change, limit or disable."
        )
    return int(row.source_id)


def with_secret(tx: Connection, name: str) -> int:
    """The id of a source whose users' ids can be signed. Raises UsageError."""
    source_id = _locked(tx, name)
    (row,) = sources(tx, name)
    if row["kind"] != "public":
        raise UsageError(
            f"{name!r} is a server source: its key is secret, so that it is believed unsigned."
        )
    return source_id


def unknown(name: str) -> UsageError:
    return UsageError(f"There is no source {name!r}: `horizon source list` shows those there are.")
