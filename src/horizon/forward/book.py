"""Forwards as the operator adds, changes and looks at them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import msgspec

from horizon.errors import ForbiddenTargetError, UsageError
from horizon.events.sources import find_source
from horizon.forward.rules import place_of
from horizon.forward.secret import close_key
from horizon.forward.spans import QUERIES, sources_of
from horizon.keys import Keys
from horizon.outbound.rules import read_target
from horizon.postgres.database import Connection, row_dicts

MOST_COUNTED = 1_000_000
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")

Row = dict[str, Any]


@dataclass(frozen=True)
class NewForward:
    url: str
    key: str
    name: str | None = None
    source: str | None = None
    allow_private: bool = False
    from_at: datetime | None = None  # none: from now on


def add(tx: Connection, keys: Keys, new: NewForward, clock: datetime) -> str:
    """Its name. Raises UsageError."""
    name = new.name or read_address(new.url).lower()
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"A forward is not called {name!r}: give --name with a to z, 0 to 9, dots, - and _, at "
            "most 63 of them."
        )
    check_key(new.key)
    found = tx.execute(QUERIES["add"], {
        "name": name, "url": new.url, "source_id": _source_id(tx, new.source),
        "allow_private": new.allow_private, "clock": clock,
    }).fetchone()  # fmt: skip
    if found is None:
        raise UsageError(f"There is a forward {name!r} already: choose another with --name.")
    box = close_key(keys, new.url, new.key)
    tx.execute(QUERIES["put_key"], {"forward_id": found.forward_id, "box": box})
    values = {"forward_id": found.forward_id, "from_at": new.from_at, "clock": clock}
    tx.execute(QUERIES["add_live"], values)
    return name


def read_address(url: str) -> str:
    """The host. Raises UsageError for what is no address of a web server."""
    scheme, found, _ = url.partition("://")
    if not found:
        raise UsageError(
            "The address has no scheme: write https:// before it, or http:// for an endpoint of "
            "yours without TLS."
        )
    if scheme.lower() not in ("http", "https"):
        raise UsageError(
            f"Events are not sent by {scheme}: give the endpoint's web address, like https://HOST."
        )
    try:
        return read_target(url).host
    except ForbiddenTargetError as exc:
        raise UsageError(str(exc)) from exc


def check_key(key: str) -> None:
    if not key.strip() or not key.isascii() or not key.isprintable() or ":" in key:
        raise UsageError(
            "The key is empty or has characters that no write key has: give it as the receiver "
            "shows it."
        )


def _source_id(tx: Connection, name: str | None) -> int | None:
    if name is None:
        return None
    source = find_source(tx, name)
    if source is None:
        raise UsageError(f"There is no source {name!r}: `horizon source list` shows them.")
    if source.kind == "internal":
        raise UsageError(
            f"{name!r} is what Horizon itself notes of people, which no other endpoint knows by a "
            "user id: choose a source of yours."
        )
    return source.source_id


def change(
    tx: Connection,
    keys: Keys,
    name: str,
    *,
    key: str,
    url: str | None = None,
    allow_private: bool | None = None,
) -> None:
    """The key is always given: it is kept for its address alone, and so is the word that an address
    may be private. Raises UsageError."""
    check_key(key)
    if url is not None:
        read_address(url)
        allow_private = bool(allow_private)
    values = {"name": name, "url": url, "allow_private": allow_private}
    row = tx.execute(QUERIES["change"], values).fetchone()
    if row is None:
        raise _unknown(name)
    tx.execute(
        QUERIES["put_key"],
        {"forward_id": row.forward_id, "box": close_key(keys, row.url, key)},
    )


def set_state(tx: Connection, name: str, state: str) -> None:
    if tx.execute(QUERIES["set_state"], {"name": name, "state": state}).rowcount == 0:
        raise _unknown(name)


def remove(tx: Connection, name: str) -> None:
    if tx.execute(QUERIES["remove"], {"name": name}).rowcount == 0:
        raise _unknown(name)


def replay(tx: Connection, name: str, from_at: datetime, to_at: datetime, clock: datetime) -> None:
    if from_at >= to_at:
        raise UsageError("--from is not before --to: give an earlier one.")
    values = {"name": name, "from_at": from_at, "to_at": to_at, "clock": clock}
    if tx.execute(QUERIES["add_replay"], values).fetchone() is None:
        raise _unknown(name)


def _unknown(name: str) -> UsageError:
    return UsageError(f"There is no forward {name!r}: `horizon forward list` shows them.")


def listed(tx: Connection) -> list[Row]:
    rows = row_dicts(tx.execute(QUERIES["list"]))
    return [{**row, "url": place_of(row["url"])} for row in rows]


class Standing(msgspec.Struct, frozen=True):
    """``lag_events`` counts to MOST_COUNTED; ``lag_s`` is how long the oldest event waits."""

    name: str
    state: str
    lag_s: float
    lag_events: int
    sent: int
    refused: int
    looped: int
    sent_again: int
    replays: int
    last_sent_at: datetime | None
    error: str | None
    error_since: datetime | None
    attempt: int
    next_try_at: datetime | None


def standings(
    tx: Connection, clock: datetime, *, running: bool, most: int = MOST_COUNTED
) -> list[Standing]:
    rows = row_dicts(tx.execute(QUERIES["standings"], {"clock": clock, "most": most}))
    for row in rows:
        row["lag_s"] = round(max(0.0, row["lag_s"] or 0.0), 3)
        if row["state"] == "on" and not running:
            row["state"] = "not running"
    return [Standing(**row) for row in rows]


def refused(tx: Connection, name: str, most: int) -> list[Row]:
    find(tx, name)
    return row_dicts(tx.execute(QUERIES["refused"], {"name": name, "most": most}))


def compare(tx: Connection, name: str, first_day: date, last_day: date) -> list[Row]:
    """By day and type what was accepted here, and what came of it there."""
    values = {
        "name": name, "first_day": first_day, "last_day": last_day,
        "sources": sources_of(tx, find(tx, name).source_id),
    }  # fmt: skip
    rows = row_dicts(tx.execute(QUERIES["compare"], values))
    for row in rows:
        row["left"] = row["accepted"] - row["sent"] - row["refused"] - row["looped"]
    return rows


def find(tx: Connection, name: str) -> Any:
    row = tx.execute(QUERIES["find"], {"name": name}).fetchone()
    if row is None:
        raise _unknown(name)
    return row
