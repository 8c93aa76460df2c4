"""A column's lineage as a picture: layers from left to right, the asked column in its middle."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path

from horizon.errors import UsageError
from horizon.observe.lineage.graph import Direction, Graph, Step
from horizon.observe.lineage.model import Column

GLYPH_PX = 7.3  # a character of the monospace faces below at 12 px; none is wider
PAD_PX, BOX_PX, ROW_PX, GAP_PX, MARGIN_PX = 10, 40, 52, 90, 24
LEGEND_PX = 56
ROUNDS = 8  # of putting each box near the ones it is joined with

_STYLE = """
svg { --page: #ffffff; --box: #f3f5f8; --line: #8793a3; --text: #17202b; --dim: #566273;
      --asked: #0b5cad; --direct: #3c6e9f; --decides: #a86400; background: var(--page);
      font: 12px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
@media (prefers-color-scheme: dark) { svg { --page: #12161c; --box: #1d242e; --line: #6b7787;
      --text: #e6ebf2; --dim: #a3afbf; --asked: #7db8f5; --direct: #7fb0dc; --decides: #e0a552; } }
rect { fill: var(--box); stroke: var(--line); }
.asked rect { stroke: var(--asked); stroke-width: 2.5; }
text { fill: var(--text); }
.dim { fill: var(--dim); font-size: 11px; }
path { fill: none; stroke: var(--direct); stroke-width: 1.5; }
path.decides { stroke: var(--decides); stroke-dasharray: 5 4; }
path.masked { stroke-width: 3; stroke-dasharray: 1 4; stroke-linecap: round; }
"""


@dataclass
class Box:
    column: Column
    layer: int
    note: str
    x: float = 0
    y: float = 0
    width: float = 0  # of its layer: a line to the next one passes behind no box

    @property
    def needs(self) -> float:
        return max(len(str(self.column)), len(self.note)) * GLYPH_PX + 2 * PAD_PX


def write(graph: Graph, column: Column, path: Path) -> None:
    """Raises UsageError where the file cannot be written."""
    if path.suffix != ".svg":
        raise UsageError(f"--out {path.name!r} is no picture of ours: name it FILE.svg.")
    try:
        path.write_text(draw(graph, column))
    except OSError as exc:
        raise UsageError(
            f"{path} cannot be written ({exc.strerror}): name a file in a folder that is yours."
        ) from exc


def draw(graph: Graph, column: Column) -> str:
    up, below, circles = _ways(graph, column, "up")
    down, above, more_circles = _ways(graph, column, "down")
    layers = down | {one: -away for one, away in up.items()}
    boxes = {one: Box(one, layer, _note(graph, one)) for one, layer in layers.items()}
    forward = [one for one in below | above if layers[one.source] < layers[one.target]]
    back = len(_pairs((below | above | circles | more_circles) - set(forward)))
    width, height = _place(boxes, forward)
    lines = [_line(pair, found, boxes) for pair, found in _pairs(forward).items()]
    drawn = [_box(box, asked=box.column == column) for box in boxes.values()]
    width = max(width, 640)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" role="img">'
        f"<title>Lineage of {escape(str(column))}</title><style>{_STYLE}</style>"
        f"{''.join(lines)}{''.join(drawn)}{_legend(height, back)}</svg>\n"
    )


def _ways(
    graph: Graph, column: Column, direction: Direction
) -> tuple[dict[Column, int], set[Step], set[Step]]:
    """How far away each column is by its longest way, the steps, and those that close a circle."""
    away: dict[Column, int] = {}
    steps: set[Step] = set()
    circles: set[Step] = set()
    order: list[Column] = []

    def visit(one: Column, above: frozenset[Column]) -> None:
        above |= {one}
        away[one] = 0
        for near, taken in graph.neighbours(one, direction).items():
            (circles if near in above else steps).update(taken)
            if near not in away:
                visit(near, above)
        order.append(one)

    visit(column, frozenset())
    for one in reversed(order):  # so that every way to a column is measured before it goes on
        for near, taken in graph.neighbours(one, direction).items():
            if circles.isdisjoint(taken):
                away[near] = max(away[near], away[one] + 1)
    return away, steps - circles, circles


def _note(graph: Graph, column: Column) -> str:
    writers = graph.writers(column)
    more = f" and {len(writers) - 2} more" if len(writers) > 2 else ""
    return ", ".join(writers[:2]) + more


def _place(boxes: Mapping[Column, Box], steps: Iterable[Step]) -> tuple[float, float]:
    """Set x by layer and y by the neighbours' mean; the picture's width and height."""
    layers: dict[int, list[Box]] = defaultdict(list)
    for box in sorted(boxes.values(), key=lambda one: one.column):
        layers[box.layer].append(box)
    x = float(MARGIN_PX)
    tallest = max(len(layer) for layer in layers.values())
    for number in sorted(layers):
        layer = layers[number]
        top = MARGIN_PX + (tallest - len(layer)) * ROW_PX / 2
        widest = max(box.needs for box in layer)
        for row, box in enumerate(layer):
            box.x, box.y, box.width = x, top + row * ROW_PX, widest
        x += widest + GAP_PX
    near = _near(boxes, steps)
    for _ in range(ROUNDS):
        for number in sorted(layers):
            _settle(layers[number], near)
    lowest = max(box.y for box in boxes.values())
    return x - GAP_PX + MARGIN_PX, lowest + BOX_PX + MARGIN_PX + LEGEND_PX


def _near(boxes: Mapping[Column, Box], steps: Iterable[Step]) -> dict[Column, list[Box]]:
    near: dict[Column, list[Box]] = defaultdict(list)
    for step in steps:
        near[step.source].append(boxes[step.target])
        near[step.target].append(boxes[step.source])
    return near


def _settle(layer: list[Box], near: Mapping[Column, list[Box]]) -> None:
    """Order a layer by where its neighbours are. The rows stay, so that no two boxes touch."""
    rows = sorted(box.y for box in layer)

    def wanted(box: Box) -> tuple[float, Column]:
        joined = near.get(box.column, [box])
        return sum(one.y for one in joined) / len(joined), box.column

    for box, y in zip(sorted(layer, key=wanted), rows, strict=True):
        box.y = y


def _pairs(steps: Iterable[Step]) -> dict[tuple[Column, Column], list[Step]]:
    pairs: dict[tuple[Column, Column], list[Step]] = defaultdict(list)
    for step in sorted(steps):
        pairs[step.source, step.target].append(step)
    return pairs


def _line(pair: tuple[Column, Column], steps: list[Step], boxes: Mapping[Column, Box]) -> str:
    source, target = boxes[pair[0]], boxes[pair[1]]
    x1, y1 = source.x + source.width, source.y + BOX_PX / 2
    x2, y2 = target.x, target.y + BOX_PX / 2
    bend = (x2 - x1) / 2
    direct = [one for one in steps if one.kind.direct]
    kind = "decides" if not direct else "masked" if all(one.masking for one in direct) else ""
    told = "; ".join(f"{one.job}: {one.said}" for one in steps)
    title = escape(f"{pair[0]} to {pair[1]} ({told})")
    return (
        f'<path class="{kind}" d="M{x1:.1f} {y1:.1f}C{x1 + bend:.1f} {y1:.1f} {x2 - bend:.1f} '
        f'{y2:.1f} {x2:.1f} {y2:.1f}"><title>{title}</title></path>'
    )


def _box(box: Box, *, asked: bool) -> str:
    return (
        f'<g class="{"asked" if asked else "column"}">'
        f'<rect x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{BOX_PX}" rx="5"/>'
        f'<text x="{box.x + PAD_PX:.1f}" y="{box.y + 17:.1f}">{escape(str(box.column))}</text>'
        f'<text class="dim" x="{box.x + PAD_PX:.1f}" y="{box.y + 32:.1f}">{escape(box.note)}</text>'
        "</g>"
    )


def _legend(height: float, back: int) -> str:
    y = height - MARGIN_PX - 20
    parts = []
    for x, kind, said in (
        (MARGIN_PX, "", "the value"),
        (MARGIN_PX + 150, "decides", "decides which value"),
        (MARGIN_PX + 380, "masked", "hashed or shortened"),
    ):
        parts.append(
            f'<path class="{kind}" d="M{x} {y:.1f}h36"/>'
            f'<text class="dim" x="{x + 44}" y="{y + 4:.1f}">{said}</text>'
        )
    if back:
        parts.append(
            f'<text class="dim" x="{MARGIN_PX}" y="{y + 24:.1f}">Not drawn: {back} ways back to a '
            "column that is nearer; the text names them.</text>"
        )
    return "".join(parts)
