"""Everything about one profile that a person asks for first."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from horizon.events.kinds import rank_of
from horizon.personal import masked
from horizon.profiles.evidence import QUERIES, Evidence
from horizon.profiles.model import (
    Absorbed,
    Edge,
    Event,
    Identifier,
    Node,
    Profile,
    Score,
    Trait,
)
from horizon.profiles.people import Person

MOST_SHOWN = 1_000  # identifiers; the picture groups what is alike
MOST_REFUSED = 100


def gather(evidence: Evidence, person: Person, events: int) -> Profile:
    row = evidence.tx.execute(QUERIES["profile"], {"profile_id": person.profile_id}).fetchone()
    assert row is not None, "a node names no profile without a row"
    nodes = evidence.profile_nodes(person.profile_id, MOST_SHOWN + 1)
    more, nodes = len(nodes) > MOST_SHOWN, nodes[:MOST_SHOWN]
    ids = [node.node for node in nodes]
    edges = evidence.edges(ids, {node.node: node for node in nodes})
    refused = sorted((edge for edge in edges if edge.refused_by is not None), key=in_order)
    return Profile(
        profile_id=person.profile_id, asked=person.asked,
        created_at=row.created_at, first_seen=row.first_seen,
        identifiers=_identifiers(evidence, nodes, edges), more_identifiers=more,
        traits=_traits(evidence, person.profile_id), score=_score(evidence, person.profile_id),
        last_events=_last_events(evidence, person.profile_id, events),
        absorbed=_absorbed(evidence, person.profile_id, ids),
        refused=evidence.with_events(refused[:MOST_REFUSED]), cuts=evidence.cuts(ids),
    )  # fmt: skip


def _identifiers(
    evidence: Evidence, nodes: Sequence[Node], edges: Sequence[Edge]
) -> list[Identifier]:
    """Each with the event that it was first seen in: its own, or the first that tied it."""
    first: dict[UUID, Edge] = {}
    for edge in edges:
        for end in edge.ends:
            if edge.event.event_id and (end not in first or edge.time < first[end].time):
                first[end] = edge
    ids = [node.node for node in nodes]
    rows = evidence.tx.execute(QUERIES["first_events"], {"nodes": ids})
    events = {row.node: Event(row.event_id, row.type, row.name, row.source, row.time)
              for row in rows}  # fmt: skip
    wanted = [node.node for node in nodes if node.node not in events and node.node in first]
    told = evidence.with_events([first[node] for node in wanted])
    events |= {node: edge.event for node, edge in zip(wanted, told, strict=True)}
    spellings = {edge.strong.node for edge in edges if edge.how == "same"} - events.keys()
    found = [
        Identifier(node.kind, node.value, node.node, node.first_seen, events.get(node.node),
                   node.node in spellings)
        for node in nodes
    ]  # fmt: skip
    return sorted(found, key=_strongest_first)


def _strongest_first(one: Identifier) -> tuple[int, str, datetime, bool, str, UUID]:
    """As they came, before the spelling that was made of one."""
    return rank_of(one.kind), one.kind, one.first_seen, one.spelling, one.value, one.node


def _traits(evidence: Evidence, profile_id: int) -> list[Trait]:
    rows = evidence.tx.execute(QUERIES["traits"], {"profile_id": profile_id})
    plain = evidence.unmasked
    return [
        Trait(row.name, row.value if plain else hidden(row.value, row.name), row.time)
        for row in rows
    ]


def in_order(edge: Edge) -> tuple[datetime, object, object]:
    return edge.time, edge.strong.strength, edge.weak.strength


def hidden(value: Any, name: str) -> Any:
    """Addresses and phone numbers masked, however deep they lie."""
    if isinstance(value, str):
        return masked(value, name)
    if isinstance(value, dict):
        return {key: hidden(one, key) for key, one in value.items()}
    if isinstance(value, list):
        return [hidden(one, name) for one in value]
    return value


def _score(evidence: Evidence, profile_id: int) -> Score | None:
    row = evidence.tx.execute(QUERIES["score"], {"profile_id": profile_id}).fetchone()
    return Score(row.score, row.tier, row.scored_at) if row else None


def _last_events(evidence: Evidence, profile_id: int, most: int) -> list[Event]:
    values = {"profile_id": profile_id, "most": most}
    rows = evidence.tx.execute(QUERIES["last_events"], values)
    return [Event(row.event_id, row.type, row.name, row.source, row.time) for row in rows]


def _absorbed(evidence: Evidence, profile_id: int, nodes: Sequence[UUID]) -> list[Absorbed]:
    when: dict[int, datetime] = {}
    for row in evidence.tx.execute(QUERIES["told"], {"nodes": nodes}):
        absorbed = (row.properties or {}).get("absorbed")
        if row.name == "Profiles Merged" and isinstance(absorbed, int):
            when[absorbed] = row.time
    rows = evidence.tx.execute(QUERIES["absorbed"], {"profile_id": profile_id})
    return [Absorbed(row.profile_id, row.created_at, when.get(row.profile_id)) for row in rows]
