"""Writes opens and clicks, in groups and behind the answer: nobody waits for it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID, uuid4

from horizon.edge.machines import Machine
from horizon.events.model import Event, Source, internal_event
from horizon.events.sources import find_source
from horizon.events.store import store
from horizon.log import Logger
from horizon.postgres.database import Connection
from horizon.postgres.queries import Queries
from horizon.serving.held import Desk, Unavailable

Kind = Literal["open", "click"]

GROUP_S = 0.1  # how long one waits for others
GROUP_FETCHES = 1_000
CAPACITY_FETCHES = 20_000  # waiting while the database is away: some minutes of a large campaign
RETRY_S = 1.0

_NAMES: Mapping[Kind, str] = {"open": "Message Opened", "click": "Message Clicked"}

_queries = Queries("horizon.edge")


class Fetch(NamedTuple):
    """One request for a pixel or a link. Who asked, and from where, is not in it."""

    kind: Kind
    message_id: UUID
    target_id: int | None
    url: str | None
    machine: Machine | None
    time: datetime


class Recorder:
    """Best effort: what does not fit while the database is away is counted as lost."""

    def __init__(self, desk: Desk, log: Logger) -> None:
        self._desk = desk
        self._log = log
        self._waiting: deque[tuple[UUID, Fetch]] = deque()
        self._lost = 0
        self._stopping = False
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Write what waits, if the database takes it. A second call finds nothing to do."""
        self._stopping = True
        self._changed.set()
        if self._task is not None:
            await self._task
        self._desk.close()

    def note(self, fetch: Fetch) -> None:
        if len(self._waiting) >= CAPACITY_FETCHES:
            self._lost += 1
            return
        self._waiting.append((uuid4(), fetch))
        self._changed.set()

    async def _run(self) -> None:
        while not self._stopping or self._waiting:
            await self._changed.wait()
            if not self._stopping:
                await asyncio.sleep(GROUP_S)
            group = [self._waiting.popleft() for _ in range(min(len(self._waiting), GROUP_FETCHES))]
            if not self._waiting and not self._stopping:
                self._changed.clear()
            if group:
                await self._write(group)
        self._tell_lost(None)

    async def _write(self, group: Sequence[tuple[UUID, Fetch]]) -> None:
        try:
            await self._desk.ask(lambda tx, era: record(tx, group, era=era))
        except Unavailable:
            if self._stopping:
                self._lost += len(group)
                return
            self._waiting.extendleft(reversed(group))
            self._changed.set()
            await asyncio.sleep(RETRY_S)
        except Exception as exc:  # noqa: BLE001 - another try would end the same, and others wait
            self._lost += len(group)
            self._tell_lost(type(exc).__name__)
        else:
            self._tell_lost(None)

    def _tell_lost(self, error: str | None) -> None:
        if self._lost:
            self._log.error("responses_lost", count=self._lost, error=error)
            self._lost = 0


def record(tx: Connection, group: Sequence[tuple[UUID, Fetch]], *, era: int) -> int:
    """Write the group's fetches whose persons agree to be counted; say how many those are.

    Of the same fetch several times in one group the first counts: a double click is one click.
    """
    first: dict[tuple[Any, ...], tuple[UUID, Fetch]] = {}
    for fetch_id, fetch in group:
        first.setdefault(fetch[:-1], (fetch_id, fetch))
    asked = list(first.values())
    allowed = tx.execute(
        _queries["may_track"],
        {
            "message_ids": [fetch.message_id for _, fetch in asked],
            "times": [fetch.time for _, fetch in asked],
        },
    ).fetchall()
    source = find_source(tx, "horizon")
    if not allowed or source is None:
        return 0
    fetches = [asked[row.number - 1] for row in allowed]
    events = [
        _event_of(source, fetch_id, fetch, row)
        for (fetch_id, fetch), row in zip(fetches, allowed, strict=True)
    ]
    store(tx, events, era=era)
    tx.execute(_queries["record_responses"], _columns([one for _, one in fetches], events, allowed))
    return len(events)


def _event_of(source: Source, fetch_id: UUID, fetch: Fetch, allowed: Any) -> Event:
    properties: dict[str, object] = {
        "message_id": str(fetch.message_id), "campaign_id": allowed.campaign,
        "machine": fetch.machine,
    }  # fmt: skip
    if fetch.url is not None:
        properties["url"] = fetch.url
    return internal_event(
        source,
        _NAMES[fetch.kind],
        message_id=f"{fetch.kind}:{fetch_id}",
        node=allowed.node,
        time=fetch.time,
        original=fetch.time,
        properties=properties,
    )


def _columns(
    fetches: Sequence[Fetch], events: Sequence[Event], allowed: Sequence[Any]
) -> dict[str, list[Any]]:
    return {
        "message_ids": [fetch.message_id for fetch in fetches],
        "campaigns": [row.campaign for row in allowed],
        "kinds": [fetch.kind for fetch in fetches],
        "target_ids": [fetch.target_id for fetch in fetches],
        "machines": [fetch.machine for fetch in fetches],
        "times": [fetch.time for fetch in fetches],
        "event_ids": [event.event_id for event in events],
    }
