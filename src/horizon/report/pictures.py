"""A panel's rows as plotly's traces and axes. Colours are names, which the page's script looks up:
light and dark are the reader's to choose, and may change while it looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, timedelta
from typing import Any

from horizon.observe.kibana.panels import Chart, Colour, Measure, Panel

Row = Mapping[str, Any]
Figure = dict[str, Any]

MANY = (Colour.LOW, Colour.MEDIUM, Colour.OTHER, Colour.HIGH, Colour.QUIET)
HOUR_MS = 3_600_000  # plotly's unit of time is the millisecond
FEWEST_HOURS = 12  # one hour alone would be as wide as the picture
BAR_PX, THIN_BAR_PX, MANY_BARS = 30, 18, 12
LONGEST_LABEL = 24


def figure(panel: Panel, rows: Sequence[Row]) -> Figure:
    lying = panel.chart is Chart.BARS
    traces = _traces(panel, rows)
    places = list(dict.fromkeys(_labels(panel, rows)))
    return {
        "traces": [_lie_down(trace) for trace in traces] if lying else traces,
        "lying": lying,
        "barmode": "stack" if panel.stacked else "group",
        "height": _height(panel, len(places)),
        "along": _along(panel, rows, places),
        "amounts": _amounts(panel, rows),
    }


def legend(panel: Panel, rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Name and colour of each series, where there are several and no headline names them."""
    if panel.split is None:
        return []
    return [(trace["name"], trace["colour"]) for trace in _traces(panel, rows)]


def _height(panel: Panel, bars: int) -> int:
    if panel.chart is not Chart.BARS:
        return 280
    thick = 1 if panel.stacked else len(panel.measures)
    each = BAR_PX if bars <= MANY_BARS else THIN_BAR_PX
    return 70 + each * max(3, bars) * thick


def _labels(panel: Panel, rows: Sequence[Row]) -> list[str]:
    """Where each row stands; two runs of one second stand in the same place."""
    return [_label(panel, row[panel.along.name]) for row in rows]


def _label(panel: Panel, value: Any) -> str:
    if panel.chart is Chart.RUNS:
        return f"{value.astimezone(UTC):%d %b %H:%M:%S}"
    if panel.chart is Chart.HOURS:
        # The middle of its hour, where its column stands.
        return f"{value.astimezone(UTC):%Y-%m-%d %H}:30"
    if panel.chart is Chart.COLUMNS:
        return f"{value:.2f}"
    text = str(value)
    return text if len(text) <= LONGEST_LABEL else f"{text[: LONGEST_LABEL - 1]}…"


def _along(panel: Panel, rows: Sequence[Row], places: Sequence[str]) -> Figure:
    axis: Figure = {"fixedrange": True, "automargin": True, "title": ""}
    if panel.chart is Chart.HOURS:
        hours = [row[panel.along.name].astimezone(UTC) for row in rows]
        last = max(hours) + timedelta(hours=1)
        first = min(*hours, last - timedelta(hours=FEWEST_HOURS))
        ends = [f"{end:%Y-%m-%d %H}:00" for end in (first, last)]
        return axis | {"type": "date", "title": "Hour, UTC", "range": ends, "nticks": 7}
    # Categories, in their order: plotly would read "0.05" as a number and a user "1e3" as another.
    axis |= {"type": "category", "categoryarray": list(places)}
    if panel.chart is Chart.BARS:
        return axis | {"autorange": "reversed"}
    if panel.chart is Chart.COLUMNS:
        return axis | {"title": panel.along.title, "dtick": 5, "tickangle": 0}
    return axis | {
        "title": "End of the run, UTC",
        "nticks": 8,
        "tickangle": 0 if len(places) < 3 else -35,
    }


def _amounts(panel: Panel, rows: Sequence[Row]) -> Figure:
    axis: Figure = {"rangemode": "tozero", "fixedrange": True, "automargin": True, "nticks": 5}
    measures = panel.measures
    if all(measure.decimals == 0 for measure in measures):
        most = max(sum(row[measure.name] for measure in measures) for row in rows)
        if most < 5:  # no half people
            axis |= {"dtick": 1, "range": [0, max(1, most) * 1.05]}
    return axis | {"title": measures[0].title if len(measures) == 1 else ""}


def _traces(panel: Panel, rows: Sequence[Row]) -> list[Figure]:
    if panel.split is None:
        return [_trace(panel, rows, one, one.title, one.colour) for one in panel.measures]
    (measure,) = panel.measures
    parts: dict[str, list[Row]] = {}
    for row in rows:
        parts.setdefault(str(row[panel.split]), []).append(row)
    colours = _colours(panel, list(parts))
    return [_trace(panel, part, measure, value, colours[value]) for value, part in parts.items()]


def _colours(panel: Panel, values: Sequence[str]) -> Mapping[str, Colour]:
    if panel.split_colours:
        return {value: panel.split_colours.get(value, Colour.PLAIN) for value in values}
    return {value: MANY[place % len(MANY)] for place, value in enumerate(values)}


def _trace(
    panel: Panel, rows: Sequence[Row], measure: Measure, title: str, colour: Colour
) -> Figure:
    trace: Figure = {
        "type": "bar", "name": title, "colour": colour.value,
        "x": _labels(panel, rows), "y": [row[measure.name] for row in rows],
    }  # fmt: skip
    if panel.chart is Chart.HOURS:
        trace["width"] = HOUR_MS * 0.92
    if panel.chart is Chart.RUNS:  # one run alone is no wall
        trace["width"] = min(0.75, 0.1 * len({*trace["x"]}))
    if panel.chart is Chart.BARS and len(panel.measures) == 1:
        trace |= {
            "text": [f"{value:,.{measure.decimals}f}" for value in trace["y"]],
            "textposition": "auto",
        }
    return trace


def _lie_down(trace: Figure) -> Figure:
    return trace | {"x": trace["y"], "y": trace["x"], "orientation": "h"}
