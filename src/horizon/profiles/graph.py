"""What a profile's picture shows: boxes, lines between them, and cuts. Pure.

Up to FEW identifiers each has a box. Of more, those that are alike share one: of the same kind, and
tied in the same ways to what is alike itself, as far as ROUNDS ties away (colour refinement).
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from horizon.profiles.model import Cut, Edge, Node

FEW = 40  # identifiers that have a box each
ALONE = 3  # so many that are alike still have
MOST = 120  # boxes: more are no picture
ROUNDS = 12  # a path of thousands takes that many, and is drawn as one box all the same


@dataclass(frozen=True)
class Box:
    """``place``: own, other (of another profile), hub, or dead."""

    number: int
    nodes: Sequence[Node]
    place: str

    @property
    def first(self) -> Node:
        return self.nodes[0]


@dataclass(frozen=True)
class Line:
    """The edges of one way and one fate between two boxes, the earliest first."""

    strong: int
    weak: int
    how: str
    refused_by: str | None
    edges: Sequence[Edge]

    @property
    def since(self) -> datetime:
        return self.edges[0].time


@dataclass(frozen=True)
class Picture:
    profile_id: int
    made_at: datetime
    anchor: int  # the number of the box with the strongest oldest identifier
    boxes: Sequence[Box]
    lines: Sequence[Line]
    cuts: Sequence[tuple[int, int, Cut]]
    sizes: Mapping[UUID, int]  # neighbours of each hub
    identifiers: int
    edges: Sequence[Edge]
    untold: int  # ties that say no more than those that are drawn
    left_out: int  # identifiers further away than the picture reaches


def place_of(node: Node, profile_id: int) -> str:
    if node.profile_id == profile_id:
        return "own"
    return {"hub": "hub", None: "other"}.get(node.dead, "dead")


def picture(
    profile_id: int, nodes: Sequence[Node], edges: Sequence[Edge], cuts: Sequence[Cut],
    sizes: Mapping[UUID, int], made_at: datetime,
) -> Picture:  # fmt: skip
    """``nodes``: the profile's own, the strongest first; others come with the edges and cuts."""
    standing = [cut for cut in cuts if cut.lifted_at is None]
    ends = [end for edge in edges for end in (edge.weak, edge.strong)]
    ends += [end for cut in standing for end in (cut.node, cut.anchor)]
    everyone = {node.node: node for node in (*ends, *nodes)}
    named = {nodes[0].node, *(end.node for cut in standing for end in (cut.node, cut.anchor))}
    groups = _groups(list(everyone.values()), edges, named, profile_id)
    boxes = [Box(number, group, place_of(group[0], profile_id))
             for number, group in enumerate(groups)]  # fmt: skip
    at = {node.node: box.number for box in boxes for node in box.nodes}
    telling = _telling(edges)
    lines = _lines(telling, at)
    shown = _nearest(boxes, lines, at[nodes[0].node])
    return Picture(
        profile_id, made_at, at[nodes[0].node], [box for box in boxes if box.number in shown],
        [line for line in lines if {line.strong, line.weak} <= shown],
        [(at[cut.node.node], at[cut.anchor.node], cut) for cut in standing
         if {at[cut.node.node], at[cut.anchor.node]} <= shown],
        sizes, len(nodes), edges, len(edges) - len(telling),
        sum(len(box.nodes) for box in boxes if box.number not in shown and box.place == "own"),
    )  # fmt: skip


def _groups(
    nodes: Sequence[Node], edges: Iterable[Edge], named: set[UUID], profile_id: int
) -> list[list[Node]]:
    nodes = sorted(nodes, key=lambda one: one.strength)
    if len(nodes) <= FEW:
        return [[node] for node in nodes]
    colours = _colours(nodes, edges, named, profile_id)
    alike: dict[int, list[Node]] = defaultdict(list)
    for node in nodes:
        alike[colours[node.node]].append(node)
    groups: list[list[Node]] = []
    for group in alike.values():
        groups += [group] if len(group) > ALONE else [[node] for node in group]
    return groups


def _colours(
    nodes: Sequence[Node], edges: Iterable[Edge], named: set[UUID], profile_id: int
) -> dict[UUID, int]:
    """Two have the same colour where nothing but their values tells them apart."""
    near: dict[UUID, list[tuple[UUID, str]]] = defaultdict(list)
    for edge in edges:
        fate = f"{edge.how} {edge.refused_by or ''}"
        near[edge.weak.node].append((edge.strong.node, fate))
        near[edge.strong.node].append((edge.weak.node, fate))
    colours = _numbered({
        node.node: (node.kind, node.dead, node.profile_id == profile_id,
                    str(node.node) if node.node in named or node.dead == "hub" else "")
        for node in nodes
    })  # fmt: skip
    for _ in range(ROUNDS):
        finer = _numbered({
            node.node: (colours[node.node],
                        tuple(sorted((colours[end], fate) for end, fate in near[node.node])))
            for node in nodes
        })  # fmt: skip
        stable = len(set(finer.values())) == len(set(colours.values()))
        colours = finer
        if stable:
            break
    return colours


def _numbered(marks: Mapping[UUID, tuple[object, ...]]) -> dict[UUID, int]:
    numbers: dict[tuple[object, ...], int] = {}
    return {node: numbers.setdefault(mark, len(numbers)) for node, mark in marks.items()}


def _telling(edges: Sequence[Edge]) -> list[Edge]:
    """Without those whose two ends a stronger identifier ties as well, as early or earlier.

    An event of four identifiers makes six edges; three of them tell it. What is kept still holds
    the same identifiers together: each edge left out has two to a stronger one in its place.
    """
    joining: dict[UUID, dict[UUID, Edge]] = defaultdict(dict)
    for edge in edges:
        if edge.refused_by is None:
            ways = joining[edge.weak.node]
            known = ways.get(edge.strong.node)
            ways[edge.strong.node] = min(known or edge, edge, key=lambda one: one.time)

    def told_otherwise(edge: Edge) -> bool:
        mine, other = joining[edge.weak.node], joining[edge.strong.node]
        return any(
            mine[end].time <= edge.time and mine[end].strong.strength < edge.strong.strength
            for end in mine.keys() & other.keys()
        )

    return [
        edge for edge in edges
        if edge.refused_by is not None or edge.how != "event" or not told_otherwise(edge)
    ]  # fmt: skip


def _lines(edges: Iterable[Edge], at: Mapping[UUID, int]) -> list[Line]:
    found: dict[tuple[int, int, str, str | None], list[Edge]] = defaultdict(list)
    for edge in edges:
        key = at[edge.strong.node], at[edge.weak.node], edge.how, edge.refused_by
        found[key].append(edge)
    return [
        Line(*key, sorted(group, key=lambda one: (one.time, one.ends)))
        for key, group in found.items()
    ]


def _nearest(boxes: Sequence[Box], lines: Iterable[Line], start: int) -> set[int]:
    """The boxes that one meets first, going from the strongest identifier."""
    near: dict[int, set[int]] = defaultdict(set)
    for line in lines:
        near[line.strong].add(line.weak)
        near[line.weak].add(line.strong)
    met = {start: None}
    waiting = deque([start])
    while waiting:
        for number in sorted(near[waiting.popleft()]):
            if number not in met:
                met[number] = None
                waiting.append(number)
    for box in boxes:  # tied by nothing that is kept
        met.setdefault(box.number)
    return set(list(met)[:MOST])
