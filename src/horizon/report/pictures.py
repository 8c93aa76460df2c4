"""A panel's rows as plotly's traces and axes. Colours are names, which the page's script looks up:
light and dark are the reader's to choose, and may change while it looks."""

from __future__ import annotations

import html
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
LOW_PX, HIGH_PX = 280, 430
MOST_TIMES = 4
LONGEST_LABEL = 24


def figure(panel: Panel, rows: Sequence[Row]) -> Figure:
    lying = panel.chart is Chart.BARS
    traces = _traces(panel, rows)
    places = list(dict.fromkeys(_labels(panel, rows)))
    for trace in traces:
        trace |= _width(panel, len(places))
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
    values = list(dict.fromkeys(str(row[panel.split]) for row in rows))
    return [(value, colour.value) for value, colour in _colours(panel, values).items()]


def _width(panel: Panel, places: int) -> Figure:
    if panel.chart is Chart.HOURS:
        return {"width": HOUR_MS * 0.92}
    if panel.stacked and panel.chart in (Chart.RUNS, Chart.BARS):  # one alone is no wall
        return {"width": min(0.75, 0.12 * places)}
    return {}


def _height(panel: Panel, bars: int) -> int:
    """Pictures that stand beside each other are about as high as each other."""
    if panel.chart is Chart.BARS:
        each = (BAR_PX if bars <= MANY_BARS else THIN_BAR_PX) * (1 if panel.stacked else 1.3)
        return max(LOW_PX, round(70 + each * bars))
    return HIGH_PX if panel.chart is Chart.COLUMNS else LOW_PX


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
    return _plain(str(value))


def _plain(text: str) -> str:
    """Plotly reads some HTML in its texts, links too: what people are called is none."""
    return html.escape(text, quote=False)


def _short(label: str) -> str:
    text = html.unescape(label)
    return label if len(text) <= LONGEST_LABEL else f"{_plain(text[: LONGEST_LABEL - 1])}…"


def _along(panel: Panel, rows: Sequence[Row], places: Sequence[str]) -> Figure:
    axis: Figure = {"fixedrange": True, "automargin": True, "title": ""}
    if panel.chart is Chart.HOURS:
        hours = [row[panel.along.name].astimezone(UTC) for row in rows]
        last = max(hours) + timedelta(hours=1)
        first = min(*hours, last - timedelta(hours=FEWEST_HOURS))
        ends = [f"{end:%Y-%m-%d %H}:00" for end in (first, last)]
        return axis | {"type": "date", "title": "Hour, UTC", "range": ends, "nticks": 5,
                       "tickformat": "%H:%M<br>%d %b", "tickangle": 0}  # fmt: skip
    # Categories, in their order: plotly would read "0.05" as a number and a user "1e3" as another.
    axis |= {"type": "category", "categoryarray": list(places)}
    if panel.chart is Chart.BARS:
        shown = [_short(place) for place in places]
        return axis | {"autorange": "reversed", "tickvals": list(places), "ticktext": shown}
    if panel.chart is Chart.COLUMNS:
        return axis | {"title": panel.along.title, "dtick": 5, "tickangle": 0}
    return axis | {"title": "End of the run, UTC", **_some_times(panel, rows)}


def _some_times(panel: Panel, rows: Sequence[Row]) -> Figure:
    """A few of the runs' times, short enough for a phone; the others are told when pointed at."""
    times = list(dict.fromkeys(row[panel.along.name].astimezone(UTC) for row in rows))
    every = -(-len(times) // MOST_TIMES)
    shown = times[::every]
    return {
        "tickvals": [_label(panel, time) for time in shown], "tickangle": 0,
        "ticktext": [f"{time:%H:%M}<br>{time:%d %b}" for time in shown],
    }  # fmt: skip


def _amounts(panel: Panel, rows: Sequence[Row]) -> Figure:
    axis: Figure = {"rangemode": "tozero", "fixedrange": True, "automargin": True, "nticks": 5}
    measures = panel.measures
    if all(measure.decimals == 0 for measure in measures):
        most = max(sum(row[measure.name] for measure in measures) for row in rows)
        if most < 5:  # no half people
            axis |= {"dtick": 1, "range": [0, max(1, most) * 1.05]}
    if panel.chart is Chart.BARS and len(measures) == 1:  # room for the number behind each bar
        axis["range"] = [0, max(row[measures[0].name] for row in rows) * 1.2 or 1]
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
        "type": "bar", "name": _plain(title), "colour": colour.value,
        "x": _labels(panel, rows), "y": [row[measure.name] for row in rows],
    }  # fmt: skip
    if panel.chart is Chart.BARS and len(panel.measures) == 1:
        trace["text"] = [f"{value:,.{measure.decimals}f}" for value in trace["y"]]
    return trace


def _lie_down(trace: Figure) -> Figure:
    return trace | {"x": trace["y"], "y": trace["x"], "orientation": "h"}
