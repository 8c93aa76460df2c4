"""The dashboards' files are what Kibana 8 and 9 and OpenSearch Dashboards import.

Neither product can be had as a package, so their published constraints stand here. What a product
does not constrain (a visualization's state, a panel's settings) these cannot catch.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from horizon.cli.main import run
from horizon.observe.kibana.objects import (
    DASHBOARD_ID,
    GRID_WIDTH,
    KIBANA,
    OPENSEARCH_DASHBOARDS,
    PRODUCTS,
    Product,
    ndjson,
    panel_id,
    saved_objects,
)
from horizon.observe.kibana.panels import PANELS
from horizon.observe.kibana.vega import SCHEMA

INDEX = "cdp_events"

Json = dict[str, Any]
TEXT, NUMBER, BOOLEAN = {"type": "string"}, {"type": "number"}, {"type": "boolean"}
META = {"type": "object", "properties": {"searchSourceJSON": TEXT}, "additionalProperties": False}


def closed(required: list[str], **properties: Json) -> Json:
    """An object without anything else: config-schema's ``unknowns: 'forbid'``."""
    return {
        "type": "object", "properties": properties, "required": required,
        "additionalProperties": False,
    }  # fmt: skip


# elastic/kibana, main of November 2025, in src/platform/plugins/shared:
# visualizations/server/saved_objects/visualization.ts (schemas '8.8.0'),
# dashboard/server/dashboard_saved_object/schema/v1/v1.ts (what 8.9 and later check at creation;
# v2 to v4 add controls, sections and routing, all optional, and ignore unknown names),
# data_views/server/content_management/schema/v1/cm_services.ts (the type itself has no schema).
KIBANA_ATTRIBUTES = {
    "visualization": closed(
        ["title"], title=TEXT, description=TEXT, version=NUMBER, uiStateJSON=TEXT, visState=TEXT,
        savedSearchRefName=TEXT, kibanaSavedObjectMeta={**META, "required": ["searchSourceJSON"]},
    ),
    "dashboard": closed(
        ["title", "kibanaSavedObjectMeta"], title=TEXT, description=TEXT, timeRestore=BOOLEAN,
        timeFrom=TEXT, timeTo=TEXT, panelsJSON=TEXT, optionsJSON=TEXT, hits=NUMBER, version=NUMBER,
        kibanaSavedObjectMeta=META, controlGroupInput={"type": "object"},
        refreshInterval=closed(
            ["pause", "value"], pause=BOOLEAN, value=NUMBER, display=TEXT, section=NUMBER
        ),
    ),
    "index-pattern": closed(
        ["title"], title=TEXT, type=TEXT, timeFieldName=TEXT, name=TEXT, allowNoIndex=BOOLEAN,
        allowHidden=BOOLEAN, fieldFormatMap={"type": "object"}, fieldAttrs={"type": "object"},
    ),
}  # fmt: skip

# opensearch-project/OpenSearch-Dashboards, main: src/plugins/visualizations, dashboard and data,
# server/saved_objects. There is no schema but the index's mapping, and that one is strict.
OPENSEARCH_ATTRIBUTES = {
    "visualization": closed(
        [], description=TEXT, savedSearchRefName=TEXT, title=TEXT, uiStateJSON=TEXT,
        version={"type": "integer"}, visState=TEXT, kibanaSavedObjectMeta=META,
    ),
    "dashboard": closed(
        [], description=TEXT, hits={"type": "integer"}, kibanaSavedObjectMeta=META,
        optionsJSON=TEXT, panelsJSON=TEXT, timeFrom=TEXT, timeRestore=BOOLEAN, timeTo=TEXT,
        title=TEXT, version={"type": "integer"},
        refreshInterval=closed(
            [], display=TEXT, pause=BOOLEAN, section={"type": "integer"}, value={"type": "integer"}
        ),
    ),
    "index-pattern": {"type": "object", "properties": {"title": TEXT, "type": TEXT}},
}  # fmt: skip

# The newest migration that the oldest served release has of each type (Kibana 8.0: all three were
# converted to several spaces then; OpenSearch Dashboards 2.0: Kibana 7.10's). A younger one is
# refused; older ones run at the import, and none of those that follow touches a Vega picture.
KNOWN = {
    KIBANA.file: {"visualization": "8.0.0", "dashboard": "8.0.0", "index-pattern": "8.0.0"},
    OPENSEARCH_DASHBOARDS.file: {
        "visualization": "7.10.0", "dashboard": "7.9.3", "index-pattern": "7.6.0",
    },
}  # fmt: skip

# What both products' import routes take of an object: core's SavedObject, without what only the
# product itself gives (version, updated_at).
OBJECT = closed(
    ["id", "type", "attributes", "references", "migrationVersion"],
    id={"type": "string", "pattern": "^[a-z0-9-]+$"}, type=TEXT, attributes={"type": "object"},
    migrationVersion={"type": "object"}, coreMigrationVersion=TEXT,
    references={"type": "array", "items": closed(
        ["id", "name", "type"], id=TEXT, name=TEXT, type=TEXT)},
)  # fmt: skip

# dashboard_saved_object/schema/v3/v3.ts (gridData) and SavedDashboardPanel.
PANEL = closed(
    ["gridData", "panelIndex", "embeddableConfig", "panelRefName", "type", "version"],
    gridData=closed(["x", "y", "w", "h", "i"], x=NUMBER, y=NUMBER, w=NUMBER, h=NUMBER, i=TEXT),
    panelIndex=TEXT, embeddableConfig={"type": "object"}, panelRefName=TEXT, type=TEXT,
    version=TEXT, title=TEXT,
)  # fmt: skip

product = pytest.mark.parametrize("product", PRODUCTS, ids=lambda one: one.file)


def objects(product: Product) -> list[Json]:
    return [json.loads(line) for line in ndjson(product, INDEX).splitlines()]


def version(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(".")))


@product
def test_every_object_has_what_its_type_asks_for_and_nothing_else(product: Product) -> None:
    schemas = KIBANA_ATTRIBUTES if product is KIBANA else OPENSEARCH_ATTRIBUTES
    for one in objects(product):
        Draft202012Validator(OBJECT).validate(one)
        Draft202012Validator(schemas[one["type"]]).validate(one["attributes"])


@product
def test_no_version_is_younger_than_the_oldest_product_knows(product: Product) -> None:
    for one in objects(product):
        (kind, named), *more = one["migrationVersion"].items()
        assert kind == one["type"]
        assert not more
        assert version(named) <= version(KNOWN[product.file][kind])
        assert version(one.get("coreMigrationVersion", "0")) <= (8, 0, 0)


@product
def test_every_reference_leads_to_an_object_of_the_file(product: Product) -> None:
    made = objects(product)
    there = {(one["type"], one["id"]) for one in made}
    assert len(there) == len(made)
    assert {(one["type"], one["id"]) for one in made for one in one["references"]} <= there
    (dashboard,) = [one for one in made if one["type"] == "dashboard"]
    panels = json.loads(dashboard["attributes"]["panelsJSON"])
    names = {one["name"]: one["id"] for one in dashboard["references"]}
    shown = []
    for panel in panels:
        Draft202012Validator(PANEL).validate(panel)
        # Kibana asks for references that begin with the panel's index, then for the bare name.
        prefix = f"{panel['panelIndex']}:" if product is KIBANA else ""
        shown.append(names[prefix + panel["panelRefName"]])
    assert shown == [panel_id(panel) for panel in PANELS]
    assert {panel["panelIndex"] for panel in panels} == {p["gridData"]["i"] for p in panels}


@product
def test_panels_lie_side_by_side_within_the_grid(product: Product) -> None:
    dashboard = objects(product)[-1]
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(dashboard["attributes"]["panelsJSON"]):
        grid = panel["gridData"]
        assert grid["x"] + grid["w"] <= GRID_WIDTH
        cells = {(x, y) for x in range(grid["x"], grid["x"] + grid["w"])
                 for y in range(grid["y"], grid["y"] + grid["h"])}  # fmt: skip
        assert not cells & taken
        taken |= cells


@product
def test_each_picture_is_a_vega_specification_on_the_log_s_index(product: Product) -> None:
    for one in objects(product):
        if one["type"] != "visualization":
            continue
        state = json.loads(one["attributes"]["visState"])
        assert state["type"] == "vega"
        assert state["title"] == one["attributes"]["title"]
        spec = json.loads(state["params"]["spec"])
        assert spec["$schema"] == SCHEMA
        url = spec["data"]["url"]
        assert url["index"] == INDEX
        assert "%context%" not in url, "refused beside a query of one's own"
        clauses = url["body"]["query"]["bool"]
        assert "%dashboard_context-must_clause%" in clauses["must"]
        assert "%dashboard_context-filter_clause%" in clauses["filter"]
        assert "%dashboard_context-must_not_clause%" in clauses["must_not"]
        assert {"range": {"@timestamp": {"%timefilter%": True}}} in clauses["filter"]
        assert "http" not in json.dumps(spec["data"]), "no picture asks another place"


@product
def test_the_same_text_each_time(product: Product) -> None:
    assert ndjson(product, INDEX) == ndjson(product, INDEX)
    assert saved_objects(product, INDEX)[-1]["id"] == DASHBOARD_ID


def test_the_search_of_a_panel_is_not_changed_by_drawing_it() -> None:
    before = [json.dumps(panel.body) for panel in PANELS]
    for one in PRODUCTS:
        ndjson(one, INDEX)
    assert [json.dumps(panel.body) for panel in PANELS] == before
    assert not any("%" in text for text in before)


def test_the_command_writes_both_files_and_again_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "some" / "folder"
    for _ in range(2):
        assert run(["kibana", "export", "--out", str(out)]) == 0
        assert {path.name: path.read_text() for path in out.iterdir()} == {
            one.file: ndjson(one, INDEX) for one in PRODUCTS
        }
    assert "kibana.ndjson" in capsys.readouterr().out


def test_a_place_that_cannot_be_written_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = tmp_path / "file"
    taken.touch()
    assert run(["kibana", "export", "--out", str(taken)]) == 2
    said = capsys.readouterr().err
    assert str(taken) in said
    assert "--out" in said
