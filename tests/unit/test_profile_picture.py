"""The picture of a profile: everything in it, alike things together, nothing over anything else."""

from __future__ import annotations

import itertools
from pathlib import Path
from uuid import UUID
from xml.etree import ElementTree

import pytest
from axe_playwright_python.sync_playwright import Axe
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from playwright.sync_api import Browser, sync_playwright

from horizon.profiles import page
from horizon.profiles.graph import ALONE, FEW, MOST, Picture, picture
from horizon.profiles.layout import Size, lay_out
from horizon.profiles.model import Cut, Edge, Node
from horizon.profiles.picture import draw
from tests.unit.test_profile_chain import edge, node
from tests.world import NOW

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = '"><script>alert(1)</script>&<b>'


def pictured(
    nodes: list[Node], edges: list[Edge], *cuts: Cut, sizes: dict[UUID, int] | None = None
) -> Picture:
    own = sorted((one for one in nodes if one.profile_id == 1), key=lambda one: one.strength)
    return picture(1, own, edges, cuts, sizes or {}, NOW)


def crowd(many: int) -> Picture:
    """Ann with an address and so many browsers, each tied to either."""
    ann, mail = node(1), node(2, "email")
    cookies = [node(number, "anonymous_id") for number in range(10, 10 + many)]
    edges = [edge(mail, ann)]
    edges += [edge(one, ann if place % 2 else mail, hours=place)
              for place, one in enumerate(cookies)]  # fmt: skip
    return pictured([ann, mail, *cookies], edges)


def everything() -> Picture:
    """One of each thing that a picture may hold."""
    ann, mail, cookie = node(1), node(2, "email"), node(3, "anonymous_id")
    bob, tablet, kiosk = (
        node(4, profile=2),
        node(5, "device_id", None, "hub"),
        node(6, "device_id", 3),
    )
    odd = Node(UUID(int=7), "crm_id", HOSTILE, 1, None, NOW)
    edges = [
        edge(mail, ann), edge(cookie, ann), edge(odd, mail, "manual"),
        edge(cookie, bob, refused_by="limit:user_id"), edge(tablet, ann, refused_by="hub"),
        edge(kiosk, ann, refused_by="cut"),
    ]  # fmt: skip
    cut = Cut(3, kiosk, ann, NOW, None)
    return pictured([ann, mail, cookie, odd], edges, cut, sizes={tablet.node: 23})


def texts(svg: str) -> list[str]:
    return [one.text or "" for one in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_two_have_a_box_each_and_what_ties_them_a_label() -> None:
    found = pictured([node(1), node(2, "anonymous_id")], [edge(node(2, "anonymous_id"), node(1))])
    said = texts(draw(found))
    assert "v1" in said
    assert "v2" in said
    assert "15 Jun 2026" in said
    assert (len(found.boxes), len(found.lines)) == (2, 1)


def test_one_alone_has_a_picture_too() -> None:
    assert "v1" in texts(draw(pictured([node(1)], [])))


def test_everything_is_named_and_says_why() -> None:
    found = everything()
    said = texts(draw(found))
    for part in ("user_id · profile 2", "device_id · hub of 23", "refused: a hub", "refused: a cut",
                 "refused: at most 1 user_id on one profile", "cut 3, by hand", "joined by hand",
                 "hub, shared by many", "of another profile"):  # fmt: skip
        assert part in said, part
    assert "script" not in {one.tag for one in ElementTree.fromstring(draw(found)).iter()}
    assert "4 identifiers, 3 ties, 3 refused, 1 cut. It touches 1 hub: device_id:v5." in "".join(
        one.text or "" for one in ElementTree.fromstring(draw(found)).iter(f"{SVG}desc")
    )


def test_up_to_so_many_each_has_a_box_and_beyond_what_is_alike_shares_one() -> None:
    assert len(crowd(FEW - 2).boxes) == FEW
    found = crowd(200)
    assert [len(box.nodes) for box in found.boxes] == [1, 1, 100, 100]
    assert sum(len(line.edges) for line in found.lines) == 201
    assert "100 alike, the first:" in texts(draw(found))


def test_what_one_event_ties_is_a_star_and_holds_the_same_together() -> None:
    ann, mail, number, cookie = node(1), node(2, "email"), node(3, "phone"), node(4, "anonymous_id")
    edges = [edge(*pair) for pair in itertools.combinations([ann, mail, number, cookie], 2)]
    found = pictured([ann, mail, number, cookie], edges)
    assert {line.strong for line in found.lines} == {found.anchor}
    assert (len(found.lines), found.untold) == (3, 3)
    later = [edge(ann, mail), edge(mail, cookie), edge(ann, cookie, hours=1)]
    assert len(pictured([ann, mail, cookie], later).lines) == 3, "the first tie was to the address"


@given(st.data())
@hypothesis_settings(deadline=None)
def test_what_is_not_drawn_holds_nobody(data: st.DataObject) -> None:
    nodes = [node(number, f"kind_{number}") for number in range(1, 8)]
    chosen = data.draw(
        st.lists(st.sampled_from(list(itertools.combinations(nodes, 2))), unique=True)
    )
    edges = [edge(*pair, hours=data.draw(st.integers(0, 3))) for pair in chosen]
    found = pictured(nodes, edges)
    drawn = [one for line in found.lines for one in line.edges]
    assert together(nodes, drawn) == together(nodes, edges)


def together(nodes: list[Node], edges: list[Edge]) -> set[frozenset[str]]:
    groups = {one.node: {one.value} for one in nodes}
    for one in edges:
        joined = groups[one.weak.node] | groups[one.strong.node]
        for end in [key for key, values in groups.items() if values & joined]:
            groups[end] = joined
    return {frozenset(one) for one in groups.values()}


def test_whoever_was_cut_stands_alone_among_those_alike() -> None:
    found = crowd(200)
    ann, cut_off = found.boxes[0].first, found.boxes[2].nodes[5]
    nodes = [one for box in found.boxes for one in box.nodes]
    cut_out = pictured(nodes, list(found.edges), Cut(1, cut_off, ann, NOW, None))
    assert [len(box.nodes) for box in cut_out.boxes if box.first == cut_off] == [1]
    assert len(cut_out.cuts) == 1


def test_a_path_of_thousands_is_one_box_with_two_ends() -> None:
    chain = [node(number, "anonymous_id") for number in range(3000, 0, -1)]
    found = pictured(chain, [edge(*pair) for pair in itertools.pairwise(chain)])
    assert len(found.boxes) < FEW
    assert max(len(box.nodes) for box in found.boxes) > 2900
    assert "<svg" in draw(found)


def test_those_that_nothing_makes_alike_are_drawn_from_the_strongest_on() -> None:
    ann = node(1)
    others = [node(number, f"kind_{number}") for number in range(2, 301)]
    found = pictured([ann, *others], [edge(one, ann) for one in others])
    assert len(found.boxes) == MOST
    assert found.boxes[0].first == ann
    assert found.left_out == 300 - MOST
    assert f"{found.left_out:,} identifiers further away are not drawn." in draw(found)


@given(st.data())
@hypothesis_settings(deadline=None, max_examples=40)
def test_grouping_loses_nothing(data: st.DataObject) -> None:
    kinds = ["user_id", "anonymous_id", "device_id"]
    nodes = [node(number, data.draw(st.sampled_from(kinds))) for number in range(1, FEW + 20)]
    pairs = st.tuples(st.sampled_from(nodes), st.sampled_from(nodes)).filter(
        lambda two: two[0] != two[1]
    )
    edges = [edge(*pair) for pair in data.draw(st.lists(pairs, max_size=60, unique_by=frozenset))]
    found = pictured(nodes, edges)
    assert sorted(one.value for box in found.boxes for one in box.nodes) == sorted(
        one.value for one in nodes
    )
    assert sum(len(line.edges) for line in found.lines) == len(edges)
    for box in found.boxes:
        assert len(box.nodes) == 1 or len(box.nodes) > ALONE
        assert len({one.kind for one in box.nodes}) == 1


@given(st.data())
@hypothesis_settings(deadline=None, max_examples=40)
def test_boxes_and_labels_stay_apart(data: st.DataObject) -> None:
    sizes: dict[int, Size] = {number: (data.draw(st.integers(60, 300)), 40) for number in range(8)}
    pairs = st.tuples(st.integers(0, 7), st.integers(0, 7)).filter(lambda two: two[0] < two[1])
    lines = [(*pair, (float(data.draw(st.integers(60, 200))), 30.0))
             for pair in data.draw(st.lists(pairs, max_size=12))]  # fmt: skip
    laid = lay_out(sizes, lines)
    taken = [(middle, sizes[number]) for number, middle in laid.boxes.items()]
    taken += [(way.label, size) for way, (_, _, size) in zip(laid.ways, lines, strict=True)]
    for (one, one_size), (other, other_size) in itertools.combinations(taken, 2):
        assert any(
            abs(one[axis] - other[axis]) >= (one_size[axis] + other_size[axis]) / 2 - 1
            for axis in (0, 1)
        )
    for middle, size in taken:
        for axis in (0, 1):
            assert middle[axis] - size[axis] / 2 >= -1
            assert middle[axis] + size[axis] / 2 <= laid.size[axis] + 1


@pytest.fixture(scope="module")
def browser(chromium: Path) -> object:
    arguments = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield launched
        launched.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1200])
def test_everybody_can_read_the_page(
    browser: Browser, tmp_path: Path, scheme: str, width: int
) -> None:
    """By axe's rules, colours among them; no letter is outside its box; nothing is asked for."""
    page.write(everything(), tmp_path / "ann.html")
    context = browser.new_context(viewport={"width": width, "height": 700}, color_scheme=scheme)  # type: ignore[arg-type]
    view = context.new_page()
    asked: list[str] = []
    view.on("request", lambda request: asked.append(request.url))
    view.goto((tmp_path / "ann.html").as_uri())
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    found = Axe().run(view)
    assert found.violations_count == 0, found.generate_report()
    assert view.evaluate("document.documentElement.scrollWidth") == width
    outside = view.evaluate(
        """() => [...document.querySelectorAll('.evidence .box')].flatMap(box => {
            const frame = box.querySelector('rect:not(.kind), path')?.getBoundingClientRect();
            return [...box.querySelectorAll(':scope > text')].filter(
                text => text.getBoundingClientRect().right > frame.right).map(text => text.textContent);
        })"""
    )
    assert outside == []
    context.close()
