"""A profile's graph as an SVG that needs nothing else, in light and dark."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from horizon.profiles import words
from horizon.profiles.graph import Box, Line, Picture
from horizon.profiles.layout import Point, Size, Way, lay_out
from horizon.profiles.model import Cut

VALUE_PX, SMALL_PX = 7.3, 6.7  # a character of the faces below at 12 and 11 px; none is wider
LINE_PX, PAD_PX, MARGIN_PX, TOP_PX, LEGEND_PX = 15.0, 10.0, 20.0, 58.0, 26.0
LEAST_PX, LEGEND_MOST_PX = 560.0, 900.0
LINE_LENGTH = 84  # characters of the description above the picture

STYLE: Final = """
.evidence { --page: #ffffff; --box: #f3f5f8; --line: #7a8798; --text: #17202b; --dim: #566273;
  --user: #0b5cad; --mail: #1b7a5c; --phone: #7a4bb0; --other: #8a6100; --visit: #66738a;
  --no: #b3301f; --hub: #a85000; background: var(--page);
  font: 12px ui-monospace, "SFMono-Regular", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
@media (prefers-color-scheme: dark) { .evidence { --page: #12161c; --box: #1d242e; --line: #7f8b9c;
  --text: #e6ebf2; --dim: #a3afbf; --user: #7db8f5; --mail: #5fc8a5; --phone: #c09df0;
  --other: #e0b04f; --visit: #a5b0c6; --no: #ff8f7d; --hub: #f2a65a; } }
.evidence text { fill: var(--text); }
.evidence .dim { fill: var(--dim); font-size: 11px; }
.evidence .head { font-size: 15px; font-weight: 650; }
.evidence .box rect, .evidence .box path { fill: var(--box); stroke: var(--line); }
.evidence .box .kind { stroke: none; fill: var(--visit); }
.evidence .user_id .kind { fill: var(--user); } .evidence .email .kind { fill: var(--mail); }
.evidence .phone .kind { fill: var(--phone); } .evidence .custom .kind { fill: var(--other); }
.evidence .anchor > rect:first-of-type { stroke: var(--user); stroke-width: 2.5; }
.evidence .elsewhere > rect:first-of-type { stroke-dasharray: 5 4; fill: var(--page); }
.evidence .hub > path { stroke: var(--hub); stroke-width: 2; }
.evidence .way { fill: none; stroke: var(--line); stroke-width: 1.6; }
.evidence .sure { stroke: var(--mail); stroke-width: 2.6; }
.evidence .refused { stroke: var(--no); stroke-dasharray: 6 4; }
.evidence .cut { stroke: var(--no); stroke-width: 2.6; stroke-dasharray: 2 5;
  stroke-linecap: round; }
.evidence .no { fill: var(--no); font-size: 11px; }
"""

_KINDS = {
    "user_id": "user_id", "email": "email", "phone": "phone", "anonymous_id": "visit",
    "device_id": "visit", "advertising_id": "visit",
}  # fmt: skip


@dataclass(frozen=True)
class Stroke:
    """A line as it is drawn, of an edge or a cut: its look, its label, and all of it in a title."""

    source: int
    target: int
    kind: str
    texts: Sequence[str]
    whole: str


def draw(picture: Picture, *, headed: bool = True) -> str:
    """``headed``: with its title and numbers above it, as a file of its own needs them."""
    texts = {box.number: words.of_box(box, picture.sizes) for box in picture.boxes}
    strokes = [_edges(line) for line in picture.lines]
    strokes += [_cut(anchor, node, cut) for node, anchor, cut in picture.cuts]
    laid = lay_out(
        {number: _box_size(said) for number, said in texts.items()},
        [(one.source, one.target, _label_size(one.texts)) for one in strokes],
    )
    parts = [_stroke(way, one) for way, one in zip(laid.ways, strokes, strict=True)]
    parts += [
        _box(box, laid.boxes[box.number], texts[box.number], anchor=box.number == picture.anchor)
        for box in picture.boxes
    ]
    return _whole(picture, laid.size, "".join(parts), headed=headed)


def _whole(picture: Picture, size: Size, drawn: str, *, headed: bool) -> str:
    head, told = words.title(picture), words.description(picture)
    above, top = _head(head, told) if headed else ("", MARGIN_PX)
    legend, legend_size = _legend(picture, min(max(size[0], LEAST_PX), LEGEND_MOST_PX))
    width = max(size[0], legend_size[0]) + 2 * MARGIN_PX
    height = top + size[1] + legend_size[1] + 2 * MARGIN_PX
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="evidence" role="img" '
        f'aria-labelledby="evidence-title evidence-told" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}">'
        f'<title id="evidence-title">{escape(head)}</title>'
        f'<desc id="evidence-told">{escape(told)}</desc><style>{STYLE}</style>{above}'
        f'<g transform="translate({MARGIN_PX:.0f} {top:.0f})">{drawn}</g>'
        f'<g transform="translate({MARGIN_PX:.0f} {top + size[1] + 1.6 * MARGIN_PX:.0f})">{legend}'
        "</g></svg>\n"
    )


def _head(head: str, told: str) -> tuple[str, float]:
    """The words above the picture, and how far down they reach."""
    texts = textwrap.wrap(told, LINE_LENGTH)
    lede = "".join(
        f'<text class="dim" x="{MARGIN_PX}" y="{44 + place * LINE_PX:.0f}">{escape(text)}</text>'
        for place, text in enumerate(texts)
    )
    title = f'<text class="head" x="{MARGIN_PX}" y="24">{escape(head)}</text>'
    return title + lede, TOP_PX + LINE_PX * (len(texts) - 1)


def _box_size(texts: Sequence[str]) -> Size:
    return _size(texts, VALUE_PX, PAD_PX + 4)


def _label_size(texts: Sequence[str]) -> Size:
    return _size(texts, SMALL_PX, 4)


def _size(texts: Sequence[str], glyph_px: float, pad_px: float) -> Size:
    return max(map(len, texts)) * glyph_px + 2 * pad_px, len(texts) * LINE_PX + pad_px


def _box(box: Box, middle: Point, texts: Sequence[str], *, anchor: bool) -> str:
    width, height = _box_size(texts)
    x, y = middle[0] - width / 2, middle[1] - height / 2
    names = ["box", _KINDS.get(box.first.kind, "custom")]
    names += ["hub"] if box.place == "hub" else ["elsewhere"] if box.place != "own" else []
    names += ["anchor"] if anchor else []
    whole = f"{box.first}, first seen {words.day(box.first.first_seen)}"
    told = "".join(
        f'<text class="{"dim" if place < len(texts) - 1 else "value"}" '
        f'x="{x + PAD_PX + 6:.1f}" y="{y + 19 + place * LINE_PX:.1f}">{escape(text)}</text>'
        for place, text in enumerate(texts)
    )
    return (
        f'<g class="{" ".join(names)}"><title>{escape(whole)}</title>'
        f"{_outline(box, x, y, width, height)}"
        f'<rect class="kind" x="{x + 5:.1f}" y="{y + 7:.1f}" width="4" height="{height - 14:.1f}" '
        f'rx="2"/>{told}</g>'
    )


def _outline(box: Box, x: float, y: float, width: float, height: float) -> str:
    if box.place == "hub":  # a corner cut off at each end: told apart without its colour
        return (
            f'<path d="M{x + 9:.1f} {y:.1f}h{width - 18:.1f}l9 9v{height - 18:.1f}l-9 9'
            f'h{18 - width:.1f}l-9 -9v{18 - height:.1f}z"/>'
        )
    size = f'width="{width:.1f}" height="{height:.1f}" rx="5"'
    behind = f'<rect x="{x + 4:.1f}" y="{y + 4:.1f}" {size}/>' if len(box.nodes) > 1 else ""
    return f'{behind}<rect x="{x:.1f}" y="{y:.1f}" {size}/>'


def _edges(line: Line) -> Stroke:
    first, texts = line.edges[0], words.of_line(line)
    kind = "refused" if line.refused_by else "sure" if line.how != "event" else "event"
    refusal = f" ({first.why})" if first.why else ""
    whole = f"{first.strong} – {first.weak}: {', '.join(texts)}{refusal}"
    return Stroke(line.strong, line.weak, kind, texts, whole)


def _cut(anchor: int, node: int, cut: Cut) -> Stroke:
    texts = words.of_cut(cut)
    whole = f"{cut.node} is never of one profile with {cut.anchor}: {', '.join(texts)}"
    return Stroke(anchor, node, "cut", texts, whole)


def _stroke(way: Way, stroke: Stroke) -> str:
    start, *rest = (f"{x:.1f} {y:.1f}" for x, y in way.points)
    bends = "".join(f"C{' '.join(rest[at : at + 3])}" for at in range(0, len(rest), 3))
    return (
        f'<path class="way {stroke.kind}" d="M{start}{bends}"><title>{escape(stroke.whole)}</title>'
        f"</path>{_label(way.label, stroke)}"
    )


def _label(middle: Point, stroke: Stroke) -> str:
    """Of what is refused the last line, which says why, is in its colour; of a cut both are."""
    width, height = _label_size(stroke.texts)
    x, y = middle[0] - width / 2 + 4, middle[1] - height / 2
    red = {"refused": len(stroke.texts) - 1, "cut": 0}.get(stroke.kind, len(stroke.texts))
    return "".join(
        f'<text class="{"no" if place >= red else "dim"}" x="{x:.1f}" '
        f'y="{y + 13 + place * LINE_PX:.1f}">{escape(text)}</text>'
        for place, text in enumerate(stroke.texts)
    )


_SAMPLES: Final = {
    "event": '<path class="way event" d="M0 0h30"/>',
    "sure": '<path class="way sure" d="M0 0h30"/>',
    "refused": '<path class="way refused" d="M0 0h30"/>',
    "cut": '<path class="way cut" d="M0 0h30"/>',
    "anchor": '<g class="box anchor"><rect y="-8" width="28" height="16" rx="4"/></g>',
    "hub": '<g class="box hub"><path d="M5 -8h18l5 5v6l-5 5h-18l-5 -5v-6z"/></g>',
    "other": '<g class="box elsewhere"><rect y="-8" width="28" height="16" rx="4"/></g>',
}
_SAID: Final = {
    "event": "an event ties them", "sure": "surely one: alias, spelling, by hand",
    "refused": "refused", "cut": "cut by hand", "anchor": "strongest, then oldest",
    "hub": "hub, shared by many", "other": "of another profile",
}  # fmt: skip


def _legend(picture: Picture, width: float) -> tuple[str, Size]:
    """What occurs in the picture, in lines of that width."""
    there = {"anchor", *(_edges(line).kind for line in picture.lines)}
    there |= {box.place for box in picture.boxes} | ({"cut"} if picture.cuts else set())
    parts, x, y, widest = [], 0.0, 0.0, 0.0
    for kind in (kind for kind in _SAID if kind in there):
        needs = 37 + len(_SAID[kind]) * SMALL_PX
        if x and x + needs > width:
            x, y = 0.0, y + LEGEND_PX
        parts.append(f'<g transform="translate({x:.0f} {y:.0f})">{_SAMPLES[kind]}'
                     f'<text class="dim" x="37" y="4">{_SAID[kind]}</text></g>')  # fmt: skip
        widest = max(widest, x + needs)
        x += needs + 22
    return "".join(parts), (widest, y + LEGEND_PX)
