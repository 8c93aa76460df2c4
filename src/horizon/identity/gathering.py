"""What a window's events say of who is who: nodes and edges that are not known yet."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from horizon.events.nodes import node_of
from horizon.identity.mapping import QUERIES, make_room, touch
from horizon.identity.rules import Rules
from horizon.identity.spelling import spelled
from horizon.postgres.database import Connection
from horizon.stage import Window


@dataclass
class _Found:
    """Nodes and edges, column by column as the queries take them."""

    events: int = 0
    nodes: list[tuple[UUID, str, str, datetime]] = field(default_factory=list)
    edges: list[tuple[UUID, UUID, str, datetime, UUID | None, int | None]] = field(
        default_factory=list
    )

    def write(self, tx: Connection) -> None:
        if self.nodes:
            tx.execute(
                QUERIES["add_named"], _columns(("nodes", "kinds", "values", "times"), self.nodes)
            )
        if self.edges:
            names = ("weak", "strong", "how", "times", "event_ids", "source_ids")
            tx.execute(QUERIES["say_edges"], _columns(names, self.edges))


def _columns(names: tuple[str, ...], rows: list[Any]) -> dict[str, list[Any]]:
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))


def gather(
    tx: Connection, window: Window, rules: Rules, node_key: bytes, region: str | None
) -> Any:
    """Fills the rooms with what is fresh and with all that it may move; counts by name."""
    make_room(tx)
    tx.execute(QUERIES["gather"], window.parameters())
    tx.execute(QUERIES["name_nodes"])
    aliases = _aliases(tx, window)
    aliases.write(tx)
    tx.execute(QUERIES["look_up_nodes"])
    spellings = _spellings(tx, node_key, region)
    if spellings.nodes:
        spellings.write(tx)
        named = {"nodes": [node for node, *_ in spellings.nodes]}
        tx.execute(QUERIES["look_up_more"], named)
    tx.execute(QUERIES["find_fresh_nodes"])
    moved = tx.execute(QUERIES["move_first_seen"]).fetchall()
    tx.execute(QUERIES["find_fresh_edges"])
    # A limit that counts by the calendar asks when a node was seen first.
    touch(
        tx,
        [
            row.node
            for row in moved
            if rules.of(row.kind).limit and rules.of(row.kind).window != "ever"
        ],
    )
    return tx.execute(QUERIES["counted"], {"aliases": aliases.events}).fetchone()


def _aliases(tx: Connection, window: Window) -> _Found:
    """Of an alias call its own identifier and the previous one, as both kinds that may be meant."""
    found = _Found()
    for row in tx.execute(QUERIES["aliases"], window.parameters()):
        found.events += 1
        named = _named(row)
        found.nodes += [(node, kind, value, row.sighted_at) for node, kind, value in named]
        if not named:
            continue
        own = named[0][0]
        for node, kind, value in named[1:]:
            previous = value == row.previous_id and kind in ("user_id", "anonymous_id")
            how = "alias" if previous and row.trusted else "event"
            found.edges.append((node, own, how, row.sighted_at, row.event_id, row.source_id))
    return found


def _named(row: Any) -> list[tuple[UUID, str, str]]:
    if row.identifiers is None:
        return []
    return [
        (node, kind, value)
        for node, (kind, value) in zip(row.nodes, json.loads(row.identifiers), strict=False)
    ]


def _spellings(tx: Connection, node_key: bytes, region: str | None) -> _Found:
    found = _Found()
    for row in tx.execute(QUERIES["spelled"]).fetchall():
        other = spelled(row.kind, row.value, region)
        node = node_of(node_key, row.kind, other) if other else row.node
        if other and node != row.node:
            found.nodes.append((node, row.kind, other, row.time))
            found.edges.append((row.node, node, "same", row.time, None, None))
    return found
