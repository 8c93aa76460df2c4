"""The bars that Kibana's and OpenSearch Dashboards' Vega would draw of a panel."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import vl_convert

from horizon.observe.kibana.panels import Panel
from horizon.observe.kibana.vega import specification
from tests.panel_rows import Row

# The oldest and the newest Vega-Lite 5 that can be had: Kibana 8 has 5.2 and younger, 9 has 5 too,
# OpenSearch Dashboards 2 has 5.6.
VERSIONS = ("5.8", "5.21")
BAR = re.compile(r'<path aria-label="([^"]*)" role="graphics-symbol" aria-roledescription="bar"')

Bars = list[tuple[str, float]]


def drawn(panel: Panel, answer: Any, version: str) -> Bars:
    """Name and number of each bar, sorted. Both products put the answer where the search stands."""
    spec = specification(panel, "cdp_events")
    spec["data"]["values"] = answer
    del spec["data"]["url"]
    svg = vl_convert.vegalite_to_svg(spec, vl_version=version, allowed_base_urls=[])
    bars = [_fields(unescape(label)) for label in BAR.findall(svg)]
    if len(panel.measures) > 1:
        return sorted((one["what"], float(one["amount"])) for one in bars)
    title = panel.measures[0].title
    return sorted((title, float(one[title])) for one in bars)


def _fields(label: str) -> dict[str, str]:
    """Of ``Hour: Nov 23, 2026 08:00; Mails: 115``."""
    parts = [part.partition(": ") for part in label.split("; ")]
    return {name: value for name, _, value in parts}


def wanted(panel: Panel, rows: list[Row]) -> Bars:
    return sorted(
        (measure.title, float(row[measure.name])) for row in rows for measure in panel.measures
    )


def same_bars(left: Bars, right: Bars) -> bool:
    """A label has three digits behind the point or fewer."""
    return len(left) == len(right) and all(
        one[0] == other[0] and abs(one[1] - other[1]) < 0.001
        for one, other in zip(left, right, strict=True)
    )
