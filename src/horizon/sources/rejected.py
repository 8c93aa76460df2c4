"""Events that were refused: found again, and read again after something was mended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from horizon.errors import UsageError
from horizon.events.kinds import BUILT_IN, Kinds
from horizon.events.model import Event, Source, read_message
from horizon.events.rejection import Rejected
from horizon.events.store import store
from horizon.events.tombstones import Tombstones
from horizon.postgres.database import Connection, row_dicts
from horizon.postgres.queries import Queries
from horizon.sources.bad_line import line_id, place_in
from horizon.sources.mending import Mending, mended

BATCH = 500

_queries = Queries("horizon.sources")


class Wanted(NamedTuple):
    """Which ones; None is no condition."""

    ids: Sequence[int] | None = None
    source: str | None = None
    code: str | None = None
    since: datetime | None = None

    def parameters(self) -> dict[str, Any]:
        return {**self._asdict(), "ids": None if self.ids is None else list(self.ids)}


@dataclass
class Replayed:
    """Of those read again each is a new event, one that was known, or refused again."""

    new: int = 0
    known: int = 0
    refused: int = 0
    reasons: Counter[str] = field(default_factory=Counter)  # by "code: message"

    @property
    def read(self) -> int:
        return self.new + self.known + self.refused


@dataclass(frozen=True)
class Again:
    """What a reading anew needs; ``body`` stands in for what was kept."""

    node_key: bytes
    era: int
    now: datetime
    mending: Mending
    body: bytes | None = None
    tombstones: Tombstones = field(default_factory=Tombstones)
    kinds: Kinds = BUILT_IN


class _Unread(Rejected):
    """What is kept cannot be read; its first reason stays."""


def listed(
    tx: Connection, wanted: Wanted, *, most: int, replayed_too: bool
) -> list[dict[str, Any]]:
    values = {**wanted.parameters(), "most": most, "replayed_too": replayed_too}
    return row_dicts(tx.execute(_queries["rejected"], values))


def counted(tx: Connection, wanted: Wanted, *, replayed_too: bool) -> list[dict[str, Any]]:
    values = {**wanted.parameters(), "replayed_too": replayed_too}
    return row_dicts(tx.execute(_queries["rejected_counts"], values))


def one(tx: Connection, rejected_id: int) -> dict[str, Any]:
    """All about one of them. Raises UsageError."""
    rows = row_dicts(tx.execute(_queries["rejected_one"], {"rejected_id": rejected_id}))
    if not rows:
        raise UsageError(
            f"There is no rejected event {rejected_id}: `horizon rejected list` shows those that "
            "are kept."
        )
    return rows[0]


def replay(
    begin: Callable[[], Any], wanted: Wanted, again: Again, *, dry: bool = False
) -> Replayed:
    """Read those that are not events yet again, a batch a transaction of ``begin``."""
    done, after = Replayed(), 0
    while True:
        with begin() as tx:
            values = {**wanted.parameters(), "after": after, "most": BATCH}
            rows = tx.execute(_queries["rejected_to_replay"], values).fetchall()
            if not rows:
                return done
            after = rows[-1].rejected_id
            _replay(tx, rows, again, done, dry=dry)


def _replay(
    tx: Connection, rows: Sequence[Any], again: Again, done: Replayed, *, dry: bool
) -> None:
    read: list[tuple[Any, Event]] = []
    refused: list[tuple[Any, Rejected]] = []
    again.tombstones.read(tx, again.era)
    for row in rows:
        try:
            event = _read(row, again)
            again.tombstones.refuse(event, again.node_key)
        except Rejected as reason:
            refused.append((row, reason))
        else:
            read.append((row, event))
    new = len(read) if dry else store(tx, [event for _, event in read], era=again.era)
    done.new += new
    done.known += len(read) - new
    done.refused += len(refused)
    done.reasons.update(f"{reason.code}: {reason.message}" for _, reason in refused)
    if not dry:
        _note(tx, read, refused, again.now)


def _read(row: Any, again: Again) -> Event:
    """The original time of receipt and messageId stay: what is read twice counts once."""
    if again.body is None and row.cut:
        raise _Unread("body_cut", "Only its beginning was kept: give all of it with --with FILE.")
    if again.body is None and row.kind == "file":
        raise _Unread(
            row.code,
            f"{row.message.rstrip('.')}. It is a line of a file: where the mapping is wrong, mend "
            "it and `horizon ingest` the file again; where the line is, give the event as JSON "
            "with --with FILE. An edited file is another one, whose good lines come in again.",
        )
    body = row.body if again.body is None else again.body.decode(errors="replace")
    return read_message(
        mended(body, again.mending, _message_id(row)),
        source=Source(row.source_id, row.source, row.kind), received_at=row.received_at,
        sent_at=row.sent_at, node_key=again.node_key, message_type=row.call,
        kinds=again.kinds,
        context=row.context.encode() if row.context else None,
    )  # fmt: skip


def _message_id(row: Any) -> str:
    """For one that has none: of a file's line the one that reading the file again gives it."""
    if row.file_digest is not None:
        return line_id(row.file_digest, row.position)
    return f"rejected-{row.rejected_id}"


def _placed(row: Any, message: str) -> str:
    """The new reason; of a file's line with its place, by which the line is found."""
    found = place_in(row.message) if row.kind == "file" else None
    return (found.text if found else "") + message


def _note(
    tx: Connection,
    read: Sequence[tuple[Any, Event]],
    refused: Sequence[tuple[Any, Rejected]],
    now: datetime,
) -> None:
    ids = {"event_ids": [event.event_id for _, event in read], "now": now}
    tx.execute(_queries["note_replayed"], {**_keys([row for row, _ in read]), **ids})
    mine = [one for one in refused if not isinstance(one[1], _Unread)]
    reasons = {
        "codes": [reason.code for _, reason in mine],
        "messages": [_placed(row, reason.message) for row, reason in mine],
    }
    tx.execute(_queries["note_refused_again"], {**_keys([row for row, _ in mine]), **reasons})


def _keys(rows: Sequence[Any]) -> dict[str, list[Any]]:
    return {
        "ids": [row.rejected_id for row in rows], "times": [row.received_at for row in rows],
    }  # fmt: skip
