"""A column's lineage as a picture: layers from left to right, the asked column in its middle."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from html import escape
from itertools import pairwise
from pathlib import Path

from horizon.errors import UsageError
from horizon.observe.lineage.graph import Direction, Graph, Step
from horizon.observe.lineage.layout import MARGIN_PX, Spot, lay_out
from horizon.observe.lineage.model import Column

GLYPH_PX = 7.3  # a character of the monospace faces below at 12 px; none is wider
PAD_PX, LEGEND_PX, LEAST_PX = 10, 60, 640

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
    pairs = _pairs(below | above | circles | more_circles)
    forward = {pair: steps for pair, steps in pairs.items() if layers[pair[0]] < layers[pair[1]]}
    notes = {one: _note(graph, one) for one in layers}
    laid = lay_out(
        {str(one): max(len(str(one)), len(note)) * GLYPH_PX + 2 * PAD_PX
         for one, note in notes.items()},
        {str(one): layer for one, layer in layers.items()},
        {(str(source), str(target)): _kind(steps) for (source, target), steps in forward.items()},
    )  # fmt: skip
    lines = [
        _line(laid.routes[str(pair[0]), str(pair[1])], pair, steps)
        for pair, steps in forward.items()
    ]
    drawn = [_box(laid.boxes[str(one)], notes[one], asked=one == column) for one in sorted(layers)]
    width, height = max(laid.width, LEAST_PX), laid.height + LEGEND_PX
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" role="img">'
        f"<title>Lineage of {escape(str(column))}</title><style>{_STYLE}</style>"
        f"{''.join(lines)}{''.join(drawn)}{_legend(laid.height, len(pairs) - len(forward))}</svg>\n"
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


def _pairs(steps: Iterable[Step]) -> dict[tuple[Column, Column], list[Step]]:
    pairs: dict[tuple[Column, Column], list[Step]] = defaultdict(list)
    for step in sorted(steps):
        pairs[step.source, step.target].append(step)
    return pairs


def _kind(steps: Iterable[Step]) -> str:
    direct = [one for one in steps if one.kind.direct]
    if not direct:
        return "decides"
    return "masked" if all(one.masking for one in direct) else "value"


def _line(route: Sequence[Spot], pair: tuple[Column, Column], steps: Sequence[Step]) -> str:
    """Through the layers that it passes: straight within one, bent between two."""
    first = route[0]
    drawn = [f"M{first.x + first.width:.1f} {first.middle:.1f}"]
    for one, other in pairwise(route):
        x1, x2 = one.x + one.width, other.x
        bend = (x2 - x1) / 2
        drawn.append(
            f"C{x1 + bend:.1f} {one.middle:.1f} {x2 - bend:.1f} {other.middle:.1f} "
            f"{x2:.1f} {other.middle:.1f}"
        )
        if other is not route[-1]:
            drawn.append(f"H{other.x + other.width:.1f}")
    told = "; ".join(f"{one.job}: {one.said}" for one in steps)
    title = escape(f"{pair[0]} to {pair[1]} ({told})")
    return f'<path class="{_kind(steps)}" d="{"".join(drawn)}"><title>{title}</title></path>'


def _box(box: Spot, note: str, *, asked: bool) -> str:
    x = box.x + PAD_PX
    return (
        f'<g class="{"asked" if asked else "column"}"><rect x="{box.x:.1f}" y="{box.y:.1f}" '
        f'width="{box.width:.1f}" height="{box.height:.1f}" rx="5"/>'
        f'<text x="{x:.1f}" y="{box.y + 17:.1f}">{escape(box.name)}</text>'
        f'<text class="dim" x="{x:.1f}" y="{box.y + 32:.1f}">{escape(note)}</text></g>'
    )


def _legend(top: float, back: int) -> str:
    y = top + 8
    parts = []
    for x, kind, said in (
        (MARGIN_PX, "value", "the value"),
        (MARGIN_PX + 150, "decides", "decides which value"),
        (MARGIN_PX + 380, "masked", "hashed or shortened"),
    ):
        parts.append(
            f'<path class="{kind}" d="M{x} {y:.1f}h36"/>'
            f'<text class="dim" x="{x + 44}" y="{y + 4:.1f}">{said}</text>'
        )
    if back:
        parts.append(
            f'<text class="dim" x="{MARGIN_PX}" y="{y + 24:.1f}">Not drawn: {back} ways that '
            "lead back to where they came from; the text names them.</text>"
        )
    return "".join(parts)
