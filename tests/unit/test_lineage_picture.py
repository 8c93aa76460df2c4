"""The picture of a column's lineage: everything in it, nothing over anything else."""

from __future__ import annotations

import itertools
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from playwright.sync_api import sync_playwright

from horizon.errors import UsageError
from horizon.observe.lineage.graph import Branch, Graph
from horizon.observe.lineage.layout import Layout, Spot, lay_out
from horizon.observe.lineage.picture import draw, write

SVG = "{http://www.w3.org/2000/svg}"
COLUMNS = ["scores.score", "messages.variables", "events.nodes", "messages.status", "eras.reason"]


@pytest.fixture(scope="module")
def graph() -> Graph:
    return Graph()


def apart(one: Spot, other: Spot) -> bool:
    return (
        one.x + one.width <= other.x or other.x + other.width <= one.x
        or one.y + one.height <= other.y or other.y + other.height <= one.y
    )  # fmt: skip


@given(st.data())
@hypothesis_settings(deadline=None, max_examples=60)
def test_boxes_stay_apart_and_no_line_is_behind_one(data: st.DataObject) -> None:
    layers = data.draw(
        st.dictionaries(st.text("abcdef.", min_size=1, max_size=30), st.integers(-4, 4), min_size=1)
    )
    names = sorted(layers)
    pairs = [(one, other) for one in names for other in names if layers[one] < layers[other]]
    chosen = data.draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    lines = {pair: data.draw(st.sampled_from(["value", "decides"])) for pair in chosen}
    laid = lay_out({name: 10.0 * len(name) for name in names}, layers, lines)
    check_apart(laid)
    for (source, target), route in laid.routes.items():
        assert route[0] is laid.boxes[source]
        assert route[-1] is laid.boxes[target]
        ways = [spot.layer for spot in route]
        assert ways == list(range(layers[source], layers[target] + 1))


def check_apart(laid: Layout) -> None:
    passed = {id(spot): spot for route in laid.routes.values() for spot in route[1:-1]}
    for one, other in itertools.combinations([*laid.boxes.values(), *passed.values()], 2):
        assert apart(one, other)
    for box in laid.boxes.values():
        assert 0 <= box.x <= box.x + box.needs <= laid.width
        assert 0 <= box.y <= box.y + box.height <= laid.height


@pytest.mark.parametrize("name", COLUMNS)
def test_every_column_on_the_way_is_drawn_once(graph: Graph, name: str) -> None:
    column = graph.find(name)
    drawn = ElementTree.fromstring(draw(graph, column))
    found = [group.findtext(f"{SVG}text") for group in drawn.iter(f"{SVG}g")]

    def names(branch: Branch) -> set[str]:
        return {str(branch.column)}.union(*map(names, branch.branches))

    wanted = names(graph.tree(column, "up")) | names(graph.tree(column, "down"))
    assert sorted(found) == sorted(wanted)
    asked = [group for group in drawn.iter(f"{SVG}g") if group.get("class") == "asked"]
    assert [group.findtext(f"{SVG}text") for group in asked] == [name]


def test_lines_say_what_is_done_on_the_way(graph: Graph) -> None:
    drawn = draw(graph, graph.find("scores.score"))
    assert "<title>events.time to scores.score (score: aggregation)</title>" in drawn
    masked = draw(graph, graph.find("events.nodes"))
    assert '<path class="masked"' in masked
    assert "segment_api.userId to events.nodes (collector: transformation, masked)" in masked


def test_it_is_written_where_it_is_wanted(graph: Graph, tmp_path: Path) -> None:
    column = graph.find("scores.score")
    write(graph, column, tmp_path / "score.svg")
    assert (tmp_path / "score.svg").read_text().startswith("<svg ")
    with pytest.raises(UsageError, match=r"name it FILE.svg"):
        write(graph, column, tmp_path / "score.png")
    with pytest.raises(UsageError, match="cannot be written"):
        write(graph, column, tmp_path / "nowhere" / "score.svg")


INSIDE = """() => [...document.querySelectorAll('g')].filter(group => {
    const box = group.querySelector('rect').getBoundingClientRect();
    return [...group.querySelectorAll('text')].some(
        text => text.getBoundingClientRect().right > box.right - 4);
}).map(group => group.textContent)"""


@pytest.mark.slow
def test_in_a_browser_every_name_is_inside_its_box(graph: Graph, chromium: Path) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        pages = {}
        for scheme in ("light", "dark"):
            page = browser.new_page(color_scheme=scheme)  # type: ignore[arg-type]
            for name in COLUMNS:
                page.set_content(draw(graph, graph.find(name)))
                assert page.evaluate(INSIDE) == [], name
            pages[scheme] = page.evaluate(
                "() => getComputedStyle(document.querySelector('svg')).backgroundColor"
            )
        browser.close()
    assert pages == {"light": "rgb(255, 255, 255)", "dark": "rgb(18, 22, 28)"}
