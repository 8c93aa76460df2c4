"""The page's pictures as numbers: where each shape of the flow and of the histograms lies.

Nothing here knows HTML. A flow is drawn once lying, for a wide window, and once upright, for a
phone: the same stops and streams with the two axes exchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

Point = tuple[float, float]


@dataclass(frozen=True)
class Stop:
    """Something counted at a stage; ``count`` is its bar's length, ``kind`` its colour."""

    key: str
    stage: int
    count: int
    name: str
    note: str = ""
    kind: str = "plain"
    shown: str = ""  # in place of the count


@dataclass(frozen=True)
class Stream:
    source: str
    target: str
    count: int
    kind: str = "plain"


@dataclass(frozen=True)
class Style:
    """Lengths in the picture's own units. ``extent`` is how long the largest stage's bars are."""

    upright: bool
    step: float  # from stage to stage
    extent: float
    bar: float = 8
    gap: float = 14
    room: float = 50  # what a label needs beside the next bar
    margin: float = 150  # for the labels of the last stage
    head: float = 34  # before the first stage's bars


LYING = Style(upright=False, step=160, extent=230)
UPRIGHT = Style(upright=True, step=102, extent=228, room=78, margin=46, head=18)
LANE = Style(upright=False, step=160, extent=96, gap=0, room=40, margin=164)  # beside LYING


@dataclass(frozen=True)
class Bar:
    stop: Stop
    x: float
    y: float
    width: float
    height: float
    label: Point


@dataclass(frozen=True)
class Band:
    kind: str
    path: str
    title: str


@dataclass(frozen=True)
class Head:
    """A stage's name, where it stands."""

    name: str
    x: float
    y: float


@dataclass(frozen=True)
class Flow:
    width: float
    height: float
    bars: Sequence[Bar]
    bands: Sequence[Band]
    heads: Sequence[Head]


@dataclass
class _Laid:
    """Along the stages lies ``stage``, across them ``start`` to ``start + length``."""

    stop: Stop
    start: float
    length: float
    left: float = field(init=False)  # where the next stream leaves, and where one arrives
    right: float = field(init=False)

    def __post_init__(self) -> None:
        self.left = self.right = self.start


def flow(
    stages: Sequence[str], stops: Sequence[Stop], streams: Sequence[Stream], style: Style
) -> Flow:
    """Lay a flow out. Stops and streams without a count are left away."""
    stops = [stop for stop in stops if stop.count]
    streams = [stream for stream in streams if stream.count]
    scale = style.extent / _largest_stage(stops)
    laid = _lay(stops, streams, style, scale)
    across = max((one.start + max(one.length, style.room) for one in laid.values()), default=0)
    along = style.head * style.upright + style.step * (len(stages) - 1) + style.margin
    bands = [_band(stream, laid, style, scale) for stream in streams]
    width, height = _turned(along, across, style)
    heads = [_head(name, place, style) for place, name in enumerate(stages)]
    return Flow(width, height, [_bar(one, style) for one in laid.values()], bands, heads)


def _largest_stage(stops: Sequence[Stop]) -> int:
    counts: dict[int, int] = {}
    for stop in stops:
        counts[stop.stage] = counts.get(stop.stage, 0) + stop.count
    return max(counts.values(), default=1)


def _lay(
    stops: Sequence[Stop], streams: Sequence[Stream], style: Style, scale: float
) -> dict[str, _Laid]:
    """Each stage's bars in order, each as near as may be to where its first stream comes from."""
    laid: dict[str, _Laid] = {}
    free: dict[int, float] = {}
    for stop in sorted(stops, key=lambda stop: stop.stage):
        wanted = next((laid[one.source].start for one in streams if one.target == stop.key), 0.0)
        start = max(free.get(stop.stage, 0.0 if style.upright else style.head), wanted)
        length = max(2.0, stop.count * scale)
        laid[stop.key] = _Laid(stop, start, length)
        free[stop.stage] = start + max(length, style.room) + style.gap
    return laid


def _head(name: str, place: int, style: Style) -> Head:
    if style.upright:
        return Head(name, 0, style.step * place + style.head - 7)
    return Head(name, style.step * place, 12)


def _turned(along: float, across: float, style: Style) -> Point:
    return (across, along) if style.upright else (along, across)


def _bar(one: _Laid, style: Style) -> Bar:
    along = one.stop.stage * style.step + style.head * style.upright
    x, y = _turned(along, one.start, style)
    width, height = (one.length, style.bar) if style.upright else (style.bar, one.length)
    middle = one.start + max(one.length, 34) / 2
    label = (x, y + style.bar + 17) if style.upright else (x + style.bar + 9, middle - 4)
    return Bar(one.stop, x, y, width, height, label)


def _band(stream: Stream, laid: dict[str, _Laid], style: Style, scale: float) -> Band:
    source, target = laid[stream.source], laid[stream.target]
    thick = max(1.5, stream.count * scale)
    begin = source.stop.stage * style.step + style.head * style.upright + style.bar
    end = target.stop.stage * style.step + style.head * style.upright
    out, into = source.right, target.left
    source.right += thick
    target.left += thick
    half = (begin + end) / 2
    points = [
        (begin, out), (half, out), (half, into), (end, into),
        (end, into + thick), (half, into + thick), (half, out + thick), (begin, out + thick),
    ]  # fmt: skip
    a, b, c, d, e, f, g, h = (
        f"{x:.1f} {y:.1f}" for x, y in (_turned(*point, style) for point in points)
    )
    title = f"{stream.count:,} from {source.stop.name} to {target.stop.name}"
    return Band(stream.kind, f"M{a}C{b},{c},{d}L{e}C{f},{g},{h}Z", title)


@dataclass(frozen=True)
class Piece:
    """A tier's part of a column; ``y`` and ``height`` in pixels from the plot's top."""

    tier: str
    y: float
    height: float


@dataclass(frozen=True)
class Column:
    """``x`` and ``width`` in per cent of the plot. ``cut``: taller than the plot, and broken."""

    x: float
    width: float
    pieces: Sequence[Piece]
    count: int
    low: float
    high: float
    cut: bool

    @property
    def top(self) -> float:
        return min((piece.y for piece in self.pieces), default=0)


@dataclass(frozen=True)
class Histogram:
    height: float
    columns: Sequence[Column]
    ticks: Sequence[tuple[float, int]]  # y in pixels, what stands there
    times_too_tall: int  # how much higher than drawn the broken column would stand, else 1


CUT_FROM = 6  # a column so many times the next one would leave nothing to be seen of the others


def histogram(
    bins: Sequence[Sequence[int]], tiers: Sequence[str], height: float = 190
) -> Histogram:
    """Columns of the bins of 0 to 1. One that would flatten all others is broken, and says so."""
    totals = sorted((sum(one) for one in bins), reverse=True)
    tallest, second = totals[0], totals[1]
    cut_above = second * CUT_FROM if second else tallest
    step = _tick_step(second if tallest > cut_above else tallest)
    shown = max(1, tallest if tallest <= cut_above else second * 2)
    ticks = [(height - count * height / shown, count) for count in range(0, shown + 1, step)]
    if tallest > cut_above:
        ticks = [tick for tick in ticks if tick[1] <= second * 1.5]
    columns = [
        _column(place / len(bins), 1 / len(bins), one, tiers, height, shown)
        for place, one in enumerate(bins)
    ]
    return Histogram(height, columns, ticks, max(1, round(tallest / shown)))


def _column(
    low: float, width: float, counts: Sequence[int], tiers: Sequence[str], height: float, shown: int
) -> Column:
    total = sum(counts)
    full = min(height, total * height / shown)
    pieces, y = [], height
    for tier, count in reversed(list(zip(tiers, counts, strict=True))):
        if count:
            part = max(2.0, full * count / total)
            y -= part
            pieces.append(Piece(tier, y, part))
    cut = total > shown
    return Column(low * 100, width * 100, pieces, total, low, low + width, cut)


def _tick_step(tallest: int) -> int:
    """A round step that makes two to five lines."""
    size = 1
    while True:
        for step in (size, 2 * size, 5 * size):
            if tallest / step <= 4:
                return step
        size *= 10
