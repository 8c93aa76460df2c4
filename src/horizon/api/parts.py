"""The parts of a profile: what each takes, reads and answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import msgspec

from horizon import clock
from horizon.api import cursor, shapes
from horizon.api.address import Query, page_url
from horizon.api.cursor import Place
from horizon.api.scopes import Scope
from horizon.postgres.database import Connection
from horizon.postgres.queries import Queries
from horizon.serving.http import Refusal

SEEN_EVENTS: Final = 1_000  # that one page looks at for those it was asked for
PAGE_BYTES: Final = 4_000_000  # of events' properties, traits and contexts
RECENT: Final = timedelta(days=8)
MANY_DAYS: Final = timedelta(days=60)  # fewer are opened at once: that takes 10 us each
AHEAD: Final = timedelta(days=1)  # no event's time is further ahead of its receipt
EVENT_TYPES: Final = ("track", "page", "screen", "identify", "group", "alias")

_queries = Queries("horizon.api")
_EVENTS: Final = _queries["events"].replace("{events}", "first_node_events")
_ALL_EVENTS: Final = _queries["events"].replace("{events}", "profile_events")

Read = Callable[[Connection, int], msgspec.Struct]


@dataclass(frozen=True)
class Part:
    """``prepare`` reads the request's parameters, and gives what reads the answer from the
    database; it is given the path, for the next page's address."""

    name: str
    scope: Scope
    shape: type[msgspec.Struct]
    prepare: Callable[[Query, str], Read]


def traits(query: Query, path: str) -> Read:
    limit = query.number("limit", 100, 200)
    after = cursor.read_name(query.one("cursor"))
    include, verbose = query.several("include"), query.flag("verbose")
    query.done("limit, cursor, include and verbose")

    def read(tx: Connection, profile_id: int) -> shapes.Traits:
        values = {
            "profile_id": profile_id, "after": after, "include": include, "limit": limit + 1
        }  # fmt: skip
        rows = _rows(tx, "traits", values)
        more, rows = len(rows) > limit, rows[:limit]
        place = cursor.write_name(rows[-1].name) if more else None
        asked = {"limit": limit, "include": include, "verbose": "true" if verbose else None}
        return shapes.Traits(
            {row.name: msgspec.Raw(row.value.encode()) for row in rows},
            _cursor(path, asked, limit, place),
            {row.name: shapes.Provenance(row.time, row.event_id) for row in rows}
            if verbose
            else msgspec.UNSET,
        )

    return read


def identifiers(query: Query, path: str) -> Read:
    limit, place = _page(query)
    query.done("limit and cursor")

    def read(tx: Connection, profile_id: int) -> shapes.Identifiers:
        rows = _rows(tx, "identifiers", _placed(profile_id, place, limit + 1))
        return shapes.Identifiers(
            [shapes.Identifier(row.kind, row.value, row.first_seen) for row in rows[:limit]],
            _next(path, {"limit": limit}, limit, rows, "first_seen", "node"),
        )

    return read


def events(query: Query, path: str) -> Read:
    limit, place = _page(query)
    asked = {name: query.several(name) for name in ("include", "exclude", "type")}
    query.done("limit, cursor, include, exclude and type")
    if set(asked["type"] or ()) - set(EVENT_TYPES):
        raise Refusal(400, "bad_parameter", f"type is one of {', '.join(EVENT_TYPES)}.")
    most = limit + 1 if all(names is None for names in asked.values()) else SEEN_EVENTS

    def read(tx: Connection, profile_id: int) -> shapes.Events:
        values = {
            **_placed(profile_id, place, limit), "include": asked["include"],
            "exclude": asked["exclude"], "types": asked["type"], "most": most,
            "most_bytes": PAGE_BYTES,
        }  # fmt: skip
        rows = _newest(tx, values, place, most)
        looked = rows[0]
        found = [row for row in rows if row.number is not None]
        last = None
        if found and found[-1].number < looked.picked:
            last = Place(found[-1].time, found[-1].event_id)
        elif looked.seen == most:  # of the rest nothing is known yet
            last = Place(looked.last_time, looked.last_id)
        text = None if last is None else cursor.write_place(last)
        return shapes.Events(
            [_event(row) for row in found], _cursor(path, {"limit": limit, **asked}, limit, text)
        )

    return read


def _newest(tx: Connection, values: Mapping[str, object], place: Place, most: int) -> list[Any]:
    """Of who does much for long the last days are enough: what happened in them was received in
    them, or later. Of others all days since they were first seen are opened."""
    (row,) = _rows(tx, "first_seen", {"profile_id": values["profile_id"]})
    begun = row.first_seen or cursor.FIRST.time  # no node lives: there are no events
    query = _ALL_EVENTS if row.behind_dead else _EVENTS
    recent = min(place.time, clock.now()) - RECENT
    if recent - MANY_DAYS > begun:
        asked = {**values, "received_from": recent, "time_from": recent + AHEAD}
        rows = tx.execute(query, asked, prepare=True).fetchall()
        if rows[0].seen == most:
            return rows
    asked = {**values, "received_from": begun, "time_from": cursor.LONG_AGO}
    return tx.execute(query, asked, prepare=True).fetchall()


def _event(row: Any) -> shapes.Event:
    return shapes.Event(
        row.event_id, row.type, row.name, row.message_id, row.time, row.received_at, row.source,
        row.user_id, row.anonymous_id, row.group_id,
        _raw(row.properties), _raw(row.traits), _raw(row.context),
    )  # fmt: skip


def _raw(text: str | None) -> msgspec.Raw | None:
    """JSON as it is kept."""
    return None if text is None else msgspec.Raw(text.encode())


def segments(query: Query, _: str) -> Read:
    query.done("no parameters")

    def read(tx: Connection, profile_id: int) -> shapes.Segments:
        """None yet but the tier that the score puts a person in."""
        rows = _rows(tx, "scores", {"profile_id": profile_id})
        return shapes.Segments(
            [shapes.Segment(f"risk:{row.tier}", "score", row.computed_at) for row in rows]
        )

    return read


def scores(query: Query, _: str) -> Read:
    query.done("no parameters")

    def read(tx: Connection, profile_id: int) -> shapes.Scores:
        return shapes.Scores(
            [
                shapes.Score(**row._asdict())
                for row in _rows(tx, "scores", {"profile_id": profile_id})
            ]
        )

    return read


def messages(query: Query, path: str) -> Read:
    limit, place = _page(query)
    query.done("limit and cursor")

    def read(tx: Connection, profile_id: int) -> shapes.Messages:
        rows = _rows(tx, "messages", _placed(profile_id, place, limit + 1))
        return shapes.Messages(
            [shapes.Message(**row._asdict()) for row in rows[:limit]],
            _next(path, {"limit": limit}, limit, rows, "planned_at", "message_id"),
        )

    return read


PARTS: Final[Mapping[str, Part]] = {
    part.name: part
    for part in (
        Part("traits", Scope.TRAITS, shapes.Traits, traits),
        Part("events", Scope.EVENTS, shapes.Events, events),
        Part("identifiers", Scope.IDENTIFIERS, shapes.Identifiers, identifiers),
        Part("segments", Scope.SEGMENTS, shapes.Segments, segments),
        Part("scores", Scope.SCORES, shapes.Scores, scores),
        Part("messages", Scope.MESSAGES, shapes.Messages, messages),
    )
}


def whole(tx: Connection, profile_id: int, links: Mapping[str, str]) -> shapes.Profile | None:
    rows = _rows(tx, "profile", {"profile_id": profile_id})
    return shapes.Profile(**rows[0]._asdict(), links=dict(links)) if rows else None


def profile_of(tx: Connection, node: UUID) -> tuple[int | None, str | None]:
    """The node's profile, and what it is dead of."""
    row = tx.execute(_queries["find_node"], {"node": node}, prepare=True).fetchone()
    return (row.profile_id, row.dead) if row else (None, None)


def profile_numbered(tx: Connection, profile_id: int) -> int | None:
    values = {"profile_id": profile_id}
    row = tx.execute(_queries["find_profile"], values, prepare=True).fetchone()
    return int(row.profile_id) if row else None


def can_read(tx: Connection) -> bool:
    return bool(_rows(tx, "can_read", {}))


def _rows(tx: Connection, query: str, values: Mapping[str, object]) -> list[Any]:
    return tx.execute(_queries[query], values, prepare=True).fetchall()


def _page(query: Query) -> tuple[int, Place]:
    return query.number("limit", 10, 100), cursor.read_place(query.one("cursor"))


def _placed(profile_id: int, place: Place, limit: int) -> dict[str, object]:
    return {"profile_id": profile_id, "time": place.time, "id": place.id, "limit": limit}


def _next(
    path: str, asked: Mapping[str, object], limit: int, rows: list[Any], time: str, id_: str
) -> shapes.Cursor:
    """Of rows that are one more than the page where there is another page."""
    more = len(rows) > limit
    last = rows[limit - 1] if more else None
    text = cursor.write_place(Place(getattr(last, time), getattr(last, id_))) if more else None
    return _cursor(path, asked, limit, text)


def _cursor(path: str, asked: Mapping[str, object], limit: int, place: str | None) -> shapes.Cursor:
    url = page_url(path, {**asked, "cursor": place}) if place else None
    return shapes.Cursor(url, place is not None, place, limit)
