"""Where boxes and lines stand: layers from left to right, and no line behind a box.

A line that passes a layer has a narrow place of its own there (Sugiyama's way), shared by the
lines of its kind from the same box.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

BOX_PX, BOX_GAP_PX, PASS_PX = 40, 12, 12
LAYER_GAP_PX, MARGIN_PX = 80, 24
ROUNDS = 12  # of putting each box near the ones that it is joined with


@dataclass(eq=False)
class Spot:
    """A box, or where a line passes a layer (without a name)."""

    name: str
    layer: int
    height: float
    needs: float = 0  # its own width; ``width`` is its layer's
    x: float = 0
    y: float = 0
    width: float = 0
    near: list[Spot] = field(default_factory=list)

    @property
    def middle(self) -> float:
        return self.y + self.height / 2


@dataclass(frozen=True)
class Layout:
    boxes: Mapping[str, Spot]
    routes: Mapping[tuple[str, str], list[Spot]]
    width: float
    height: float


def lay_out(
    widths: Mapping[str, float], layers: Mapping[str, int], lines: Mapping[tuple[str, str], str]
) -> Layout:
    """``lines``: (from, to) -> kind, each to a later layer."""
    boxes = {name: Spot(name, layers[name], BOX_PX, widths[name]) for name in sorted(widths)}
    spots = list(boxes.values())
    routes = _routes(boxes, spots, lines)
    columns: dict[int, list[Spot]] = defaultdict(list)
    for spot in spots:
        columns[spot.layer].append(spot)
    _set_x(columns)
    for _ in range(ROUNDS):
        for number in [*sorted(columns), *sorted(columns, reverse=True)]:
            _order(columns[number])
            _set_y(columns[number])
    top = min(spot.y for spot in spots) - MARGIN_PX
    for spot in spots:
        spot.y -= top
    width = max(spot.x + spot.width for spot in spots) + MARGIN_PX
    return Layout(boxes, routes, width, max(spot.y + spot.height for spot in spots) + MARGIN_PX)


def _routes(
    boxes: Mapping[str, Spot], spots: list[Spot], lines: Mapping[tuple[str, str], str]
) -> dict[tuple[str, str], list[Spot]]:
    """Each line's spots from its box to its box; adds the ones in between to ``spots``."""
    passes: dict[tuple[str, str, int], Spot] = {}
    routes = {}
    for (source, target), kind in sorted(lines.items()):
        route = [boxes[source]]
        for layer in range(boxes[source].layer + 1, boxes[target].layer):
            key = (source, kind, layer)
            if key not in passes:
                passes[key] = Spot("", layer, PASS_PX)
                spots.append(passes[key])
            route.append(passes[key])
        route.append(boxes[target])
        for one, other in pairwise(route):
            one.near.append(other)
            other.near.append(one)
        routes[source, target] = route
    return routes


def _set_x(columns: Mapping[int, Iterable[Spot]]) -> None:
    x = float(MARGIN_PX)
    for number in sorted(columns):
        width = max(spot.needs for spot in columns[number])
        for spot in columns[number]:
            spot.x, spot.width = x, width
        x += width + LAYER_GAP_PX


def _order(column: list[Spot]) -> None:
    def wanted(spot: Spot) -> tuple[float, str]:
        near = spot.near or [spot]
        return sum(one.middle for one in near) / len(near), spot.name

    column.sort(key=wanted)


def _set_y(column: list[Spot]) -> None:
    """One below the other, the layer's middle at 0."""
    height = sum(spot.height for spot in column) + BOX_GAP_PX * (len(column) - 1)
    y = -height / 2
    for spot in column:
        spot.y = y
        y += spot.height + BOX_GAP_PX
