"""A panel as a Vega-Lite specification, with its search in it.

Vega is the one kind of picture that Kibana 8 and 9 and OpenSearch Dashboards all draw from a
search that is written out, and the only one that draws what stands in a document (the histogram,
the top users) and not only what can be added up.
"""

from __future__ import annotations

import copy

from horizon.observe.kibana.panels import LISTED, TIME_FIELD, Chart, Colour, Json, Panel

SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"

# Readable on both of Kibana's grounds.
COLOURS = {
    Colour.PLAIN: "#6a7ba2", Colour.HIGH: "#d9652b", Colour.MEDIUM: "#e2a92d",
    Colour.LOW: "#4f86d9", Colour.QUIET: "#98a1b1", Colour.OTHER: "#4aa08c",
}  # fmt: skip
MANY = [
    COLOURS[one] for one in (Colour.LOW, Colour.MEDIUM, Colour.OTHER, Colour.HIGH, Colour.QUIET)
]


def search(panel: Panel) -> Json:
    """The panel's search, within the dashboard's time and filters.

    The strings are placeholders which Kibana and OpenSearch Dashboards fill in. Beside a query of
    one's own they are the only way to say so: ``%context%`` is refused there.
    """
    body: Json = copy.deepcopy(panel.body)
    clauses = body["query"]["bool"]
    clauses["must"] = ["%dashboard_context-must_clause%"]
    clauses["filter"] += [
        "%dashboard_context-filter_clause%",
        {"range": {TIME_FIELD: {"%timefilter%": True}}},
    ]
    clauses["must_not"] += ["%dashboard_context-must_not_clause%"]
    return body


def specification(panel: Panel, index: str) -> Json:
    return {
        "$schema": SCHEMA,
        "data": {
            "url": {"index": index, "body": search(panel)},
            "format": {"property": panel.rows},
        },
        "transform": _transforms(panel),
        "mark": {"type": "bar", "tooltip": True},
        "encoding": _encoding(panel),
        "config": {"view": {"stroke": None}, "axis": {"grid": False}},
    }


def _transforms(panel: Panel) -> list[Json]:
    """From a bucket, or the newest line's list, to a row with the columns' names."""
    steps: list[Json] = []
    if panel.unpack:
        values = f"datum._source['{panel.unpack}']"
        steps += [
            {"calculate": values, "as": "value"},
            {"calculate": f"sequence(length({values}))", "as": "index"},
            {"flatten": ["index", "value"]},
            {"filter": f"datum.index < {LISTED}"},
        ]
    for column in panel.columns:
        scaled = f" * {column.scale}" if column.scale != 1 else ""
        steps.append({"calculate": f"datum.{column.path}{scaled}", "as": column.name})
    if len(panel.measures) > 1:
        titles = {measure.name: measure.title for measure in panel.measures}
        steps.append({"fold": list(titles), "as": ["measure", "amount"]})
        named = "".join(f"datum.measure == '{name}' ? '{titles[name]}' : " for name in titles)
        steps.append({"calculate": f"{named}''", "as": "what"})
    return steps


def _encoding(panel: Panel) -> Json:
    first = panel.measures[0]
    several = len(panel.measures) > 1
    amount: Json = {
        "field": "amount" if several else first.name, "type": "quantitative",
        "title": None if several else first.title, "axis": {"tickMinStep": 10**-first.decimals},
    }  # fmt: skip
    if not panel.stacked:
        amount["stack"] = None
    lying = panel.chart is Chart.BARS
    encoding = {"y": _along(panel), "x": amount} if lying else {"x": _along(panel), "y": amount}
    if several and not panel.stacked:
        encoding["yOffset"] = {"field": "what", "type": "nominal"}
    return {**encoding, "color": _colour(panel), "tooltip": _tooltip(panel)}


def _along(panel: Panel) -> Json:
    column = panel.along
    axis: Json = {"field": column.name, "title": column.title}
    if panel.chart is Chart.RUNS:
        return axis | {
            "type": "ordinal", "timeUnit": "yearmonthdatehoursminutesseconds",
            "axis": {"format": "%d %b %H:%M", "labelAngle": -40, "labelOverlap": True},
        }  # fmt: skip
    if panel.chart is Chart.HOURS:
        shown = {"format": "%d %b %H:%M", "labelOverlap": True}
        return axis | {"type": "temporal", "timeUnit": "yearmonthdatehours", "axis": shown}
    if panel.chart is Chart.COLUMNS:
        shown = {"format": ".2f", "labelAngle": 0, "labelOverlap": True}
        return axis | {"type": "ordinal", "axis": shown}
    return axis | {"type": "nominal", "title": None, "sort": None}


def _colour(panel: Panel) -> Json:
    if len(panel.measures) > 1:
        names = [measure.title for measure in panel.measures]
        shades = [COLOURS[measure.colour] for measure in panel.measures]
        return _scale("what", names, shades)
    if panel.split is None:
        return {"value": COLOURS[panel.measures[0].colour]}
    known = panel.split_colours
    if known:
        return _scale(panel.split, list(known), [COLOURS[known[name]] for name in known])
    scale = {"range": MANY}
    return {"field": panel.split, "type": "nominal", "title": None, "scale": scale}


def _scale(field: str, names: list[str], shades: list[str]) -> Json:
    scale = {"domain": names, "range": shades}
    return {"field": field, "type": "nominal", "title": None, "scale": scale}


def _tooltip(panel: Panel) -> list[Json]:
    """Every column of the row, so that a bar can be told from its neighbour."""
    kinds = {column.name: "nominal" for column in (panel.along, *panel.others)}
    if panel.chart in (Chart.RUNS, Chart.HOURS):
        kinds[panel.along.name] = "temporal"
    shown: list[Json] = [
        {
            "field": column.name,
            "title": column.title,
            "type": kinds.get(column.name, "quantitative"),
        }
        for column in panel.columns
    ]
    if kinds[panel.along.name] == "temporal":
        shown[0]["format"] = "%d %b %Y %H:%M:%S"
    return shown
