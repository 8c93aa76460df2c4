"""Saved objects, one JSON a line, as Kibana's and OpenSearch Dashboards' import takes them.

Of the types only three are used, each as old as the oldest version that is served: an import then
runs the younger migrations itself. A version that is younger than the importing product's is
refused, so that none may be named (``belongs to a more recent version of Kibana``). Lens is left
out: its state has another form in nearly each minor version, and cannot hold these searches.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from horizon.observe.kibana.panels import PANELS, TIME_FIELD, Json, Panel
from horizon.observe.kibana.vega import specification

DATA_VIEW_ID = "horizon-cdp-events"
DASHBOARD_ID = "horizon-pipeline"
TITLE = "Horizon: pipeline and campaigns"
GRID_WIDTH, GRID_HEIGHT = 48, 15
_NO_FILTER = {"query": {"query": "", "language": "kuery"}, "filter": []}


@dataclass(frozen=True)
class Product:
    """``versions``: by type, the newest migration that its oldest served release knows."""

    file: str
    versions: dict[str, str]
    core_version: str | None
    names_data_views: bool
    prefixed_references: bool  # "1:panel_1" in place of "panel_1"


KIBANA = Product(
    "kibana.ndjson",
    {"index-pattern": "8.0.0", "visualization": "8.0.0", "dashboard": "8.0.0"},
    core_version="8.0.0", names_data_views=True, prefixed_references=True,
)  # fmt: skip
OPENSEARCH_DASHBOARDS = Product(
    "opensearch-dashboards.ndjson",
    {"index-pattern": "7.6.0", "visualization": "7.10.0", "dashboard": "7.9.3"},
    core_version=None, names_data_views=False, prefixed_references=False,
)  # fmt: skip
PRODUCTS = (KIBANA, OPENSEARCH_DASHBOARDS)


def ndjson(product: Product, index: str) -> str:
    """The same text each time, and the same ids: importing it again overwrites."""
    return "".join(f"{_text(one)}\n" for one in saved_objects(product, index))


def saved_objects(product: Product, index: str) -> list[Json]:
    panels = [_visualization(product, panel, index) for panel in PANELS]
    return [_data_view(product, index), *panels, _dashboard(product)]


def panel_id(panel: Panel) -> str:
    return f"horizon-{panel.name.replace('_', '-')}"


def _object(
    product: Product, kind: str, name: str, attributes: Json, references: Sequence[Json] = ()
) -> Json:
    made: Json = {
        "id": name, "type": kind, "attributes": attributes, "references": list(references),
        "migrationVersion": {kind: product.versions[kind]},
    }  # fmt: skip
    if product.core_version:
        made["coreMigrationVersion"] = product.core_version
    return made


def _data_view(product: Product, index: str) -> Json:
    attributes = {"title": index, "timeFieldName": TIME_FIELD}
    if product.names_data_views:
        attributes["name"] = "Horizon's log"
    return _object(product, "index-pattern", DATA_VIEW_ID, attributes)


def _visualization(product: Product, panel: Panel, index: str) -> Json:
    title = f"Horizon: {panel.title}"
    spec = json.dumps(specification(panel, index), indent=2)  # a person may look at it
    state = {"title": title, "type": "vega", "aggs": [], "params": {"spec": spec}}
    attributes = {
        "title": title, "description": panel.shows, "version": 1, "uiStateJSON": "{}",
        "visState": _text(state), "kibanaSavedObjectMeta": {"searchSourceJSON": _text(_NO_FILTER)},
    }  # fmt: skip
    return _object(product, "visualization", panel_id(panel), attributes)


def _dashboard(product: Product) -> Json:
    panels, references = [], []
    for number, (panel, place) in enumerate(zip(PANELS, _places(), strict=True), 1):
        reference = f"panel_{number}"
        panels.append({
            "version": product.core_version or product.versions["dashboard"],
            "type": "visualization", "panelIndex": str(number), "panelRefName": reference,
            "gridData": {**place, "i": str(number)},
            "embeddableConfig": {"title": panel.title}, "title": panel.title,
        })  # fmt: skip
        prefix = f"{number}:" if product.prefixed_references else ""
        references.append(
            {"id": panel_id(panel), "name": prefix + reference, "type": "visualization"}
        )
    attributes = {
        "title": TITLE,
        "description": "Every number here is also in a table: `horizon report` shows the same.",
        "panelsJSON": _text(panels), "optionsJSON": _text({"useMargins": True}), "version": 1,
        "timeRestore": True, "timeFrom": "now-7d", "timeTo": "now",
        "refreshInterval": {"pause": False, "value": 60_000},
        "kibanaSavedObjectMeta": {"searchSourceJSON": _text(_NO_FILTER)},
    }  # fmt: skip
    return _object(product, "dashboard", DASHBOARD_ID, attributes, references)


def _places() -> Iterator[Json]:
    """Two beside each other."""
    width = GRID_WIDTH // 2
    for number in range(len(PANELS)):
        x, y = number % 2 * width, number // 2 * GRID_HEIGHT
        yield {"x": x, "y": y, "w": width, "h": GRID_HEIGHT}


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
