"""What holds for the address that a mail went to, and how its owner's wish is written down."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from horizon import clock
from horizon.edge.wishes import Change, State, Wish, change_of
from horizon.errors import HorizonError
from horizon.events.model import internal_event
from horizon.events.sources import find_source
from horizon.events.store import store
from horizon.postgres.database import Connection
from horizon.postgres.queries import Queries

# A purpose and the operator's titles of it: the sentence that was agreed to, or not.
Wording = Callable[[str, Mapping[str, str]], str]

WAY = "preferences"

_queries = Queries("horizon.edge")


@dataclass(frozen=True, slots=True)
class Holding:
    target: Any  # a row of preference_target
    message_id: UUID
    titles: Mapping[str, Mapping[str, str]]  # by purpose, then language
    stopped: bool  # by more than the owner's own no: whatever is chosen, nothing is sent
    state: State


@dataclass(frozen=True, slots=True)
class Saved:
    holding: Holding  # as it is afterwards
    change: Change
    now: datetime

    @property
    def stayed_off(self) -> list[str]:
        """Purposes that were agreed to and still are not allowed: another record says no."""
        return [name for name in self.change.granted if not self.holding.state.granted[name]]


def look(tx: Connection, message_id: UUID, now: datetime) -> Holding | None:
    """None for an unknown message, and for one about nobody: the mails of demo mode."""
    values = {"message_id": message_id, "now": now}
    target = tx.execute(_queries["preference_target"], values).fetchone()
    if target is None:
        return None
    purposes = tx.execute(_queries["consent_states"], values).fetchall()
    wish = tx.execute(_queries["latest_preference"], target._asdict()).fetchone()
    granted = {row.purpose: row.granted for row in purposes}
    return Holding(
        target=target,
        message_id=message_id,
        titles={row.purpose: row.titles or {} for row in purposes},
        stopped=any(row.stopped for row in purposes),
        state=State(granted, wish.every_days, wish.paused_until) if wish else State(granted),
    )


def save(
    tx: Connection, message_id: UUID, wish: Wish, wording: Wording, *, era: int
) -> Saved | None:
    """Write what differs, once; None as ``look`` has it."""
    target = tx.execute(_queries["preference_target"], {"message_id": message_id}).fetchone()
    if target is None:
        return None
    tx.execute(_queries["lock_address"], target._asdict())
    now = clock.now()  # not before the lock: of two saves the later one has the later time
    before = look(tx, message_id, now)
    if before is None:
        return None
    change = change_of(wish, before.state, now)
    if change:
        _write(tx, before, change, wording, now, era=era)
    if wish.everything:  # a purpose that was refused elsewhere need not be suppressed yet
        _each(tx, "suppress", before.state.granted, _values(before, now))
    return Saved(look(tx, message_id, now) or before, change, now)


def _write(
    tx: Connection, holding: Holding, change: Change, wording: Wording, now: datetime, *, era: int
) -> None:
    values = {**_values(holding, now), "event_id": _tell(tx, holding, change, now, era=era)}
    for purpose in (*change.granted, *change.refused):
        answer = {
            "purpose": purpose,
            "granted": purpose in change.granted,
            "wording": wording(purpose, holding.titles[purpose]),
        }
        tx.execute(_queries["record_consent"], {**values, **answer})
        if answer["granted"]:
            tx.execute(_queries["lift_refusals"], {**values, **answer})
    _each(tx, "lift_unsubscribed", change.granted, values)
    _each(tx, "suppress", change.refused, values)
    if change.preference:
        every_days, paused_until = change.preference
        wanted = {"every_days": every_days, "paused_until": paused_until}
        tx.execute(_queries["record_preference"], {**values, **wanted})


def _tell(tx: Connection, holding: Holding, change: Change, now: datetime, *, era: int) -> UUID:
    """One event a save; gives its id."""
    source = find_source(tx, "horizon")
    if source is None:
        raise HorizonError("The source named horizon is missing: run `horizon init`.")
    properties: dict[str, object] = {
        "message_id": str(holding.message_id),
        "campaign": holding.target.campaign,
        "channel": holding.target.channel,
        "way": WAY,
        "granted": list(change.granted),
        "refused": list(change.refused),
    }
    if change.preference:
        every_days, paused_until = change.preference
        properties["every_days"] = every_days
        properties["paused_until"] = paused_until.isoformat() if paused_until else None
    event = internal_event(
        source, "Preferences Changed", message_id=f"preferences:{uuid4()}",
        node=holding.target.node, time=now, properties=properties,
    )  # fmt: skip
    store(tx, [event], era=era)
    return event.event_id


def _values(holding: Holding, now: datetime) -> dict[str, object]:
    own = {"message_id": holding.message_id, "time": now, "way": WAY}
    return {**holding.target._asdict(), **own}


def _each(
    tx: Connection, query: str, purposes: Iterable[str], values: Mapping[str, object]
) -> None:
    for purpose in purposes:  # a handful
        tx.execute(_queries[query], {**values, "purpose": purpose})
