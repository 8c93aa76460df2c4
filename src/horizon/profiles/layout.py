"""Where boxes, lines and labels stand: Graphviz' dot, of which no text is asked, only places.

It is given numbers and sizes alone, so that nothing that people are called gets into its language,
and no fonts are looked for: the same profile has the same picture on every machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import pygraphviz

INCH_PX = 72.0

Size = tuple[float, float]  # width and height in px
Point = tuple[float, float]


@dataclass(frozen=True)
class Way:
    """A line's cubic Bezier points, and the middle of its label."""

    points: Sequence[Point]
    label: Point


@dataclass(frozen=True)
class Layout:
    boxes: Mapping[int, Point]  # their middles
    ways: Sequence[Way]
    size: Size


def lay_out(boxes: Mapping[int, Size], lines: Sequence[tuple[int, int, Size]]) -> Layout:
    """``lines``: from, to (more to the right), and the size of the label."""
    graph = pygraphviz.AGraph(
        directed=True, strict=False, rankdir="LR", nodesep="0.22", ranksep="0.35", splines="true"
    )
    graph.node_attr.update(shape="box", fixedsize="true", label="")
    graph.edge_attr.update(dir="none")
    for number, (width, height) in boxes.items():
        graph.add_node(
            str(number), width=f"{width / INCH_PX:.3f}", height=f"{height / INCH_PX:.3f}"
        )
    for place, (source, target, size) in enumerate(lines):
        graph.add_edge(str(source), str(target), key=str(place), id=str(place), label=_room(size))
    told = msgspec.json.decode(graph.draw(format="json", prog="dot"))
    height = float(told["bb"].split(",")[3])
    return Layout(
        {int(one["name"]): _point(one["pos"], height) for one in told.get("objects", ())},
        _ways(told.get("edges", ()), len(lines), height),
        (float(told["bb"].split(",")[2]), height),
    )


def _room(size: Size) -> str:
    """An empty table: the one label whose size is said and not measured."""
    return (
        f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" FIXEDSIZE="TRUE" '
        f'WIDTH="{size[0]:.0f}" HEIGHT="{size[1]:.0f}"><TR><TD></TD></TR></TABLE>>'
    )


def _ways(edges: Sequence[Mapping[str, str]], many: int, height: float) -> list[Way]:
    ways: dict[int, Way] = {}
    for edge in edges:
        points = [_point(text, height) for text in edge["pos"].split()]
        ways[int(edge["id"])] = Way(points, _point(edge["lp"], height))
    return [ways[place] for place in range(many)]


def _point(text: str, height: float) -> Point:
    """Graphviz counts upwards."""
    x, y = text.split(",")[:2]
    return float(x), height - float(y)
