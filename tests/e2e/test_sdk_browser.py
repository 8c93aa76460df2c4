"""Unmodified analytics.js in Chromium, on a page of another origin than the collector's."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser

from horizon.events.sources import add_source
from horizon.keys import Keys
from horizon.postgres.database import Database, Role
from horizon.settings import Settings
from horizon.sources.snippets import snippets
from tests.sdks.calls import CALLS, SNIPPET, TRAITS, Row, check, events
from tests.sdks.pages import Site, Visit, browser
from tests.sdks.parts import bundle, node_modules, run_node
from tests.sdks.relay import Relay
from tests.servers.collector import Collector

pytestmark = pytest.mark.slow

VERSION = "1.84.3"
CLASSIC = {"name": "analytics.js", "version": f"next-{VERSION}"}
NPM = {"name": "analytics.js", "version": f"npm:next-{VERSION}"}
BATCHING = {
    "integrations": {
        "Segment.io": {
            "deliveryStrategy": {"strategy": "batching", "config": {"size": 10, "timeout": 500}}
        }
    }
}
MAKE_CALLS = f"""
analytics.identify("u1", {json.dumps(TRAITS)});
analytics.track("Order Completed", {{"total": 12.5, "items": ["a", "ä€😀"]}});
analytics.page("Docs", "Start", {{"url": "https://shop.example/"}});
analytics.screen("App", "Home", {{"width": 320}});
analytics.group("g1", {{"name": "Acme", "seats": 7}});
analytics.alias("u1", "a1");
"""
PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Shop</title>
<link rel="icon" href="data:,">{head}</head><body><h1>Shop</h1><a id="away" href="/next">Next</a></body></html>"""


@pytest.fixture(scope="module")
def chrome(chromium: Path) -> Iterator[Browser]:
    with browser(chromium) as opened:
        yield opened


@pytest.fixture
def visit(chrome: Browser) -> Iterator[Visit]:
    context = chrome.new_context()
    yield Visit(context.new_page())
    context.close()


@pytest.fixture
def key(database: Database) -> str:
    with database.transaction(Role.WORKER) as tx:
        return add_source(tx, "site", "public")


def wait_for(database: Database, count: int, visit: Visit) -> list[dict[str, Any]]:
    end_s = time.monotonic() + 30
    while time.monotonic() < end_s:
        found = events(database)
        if len(found) >= count:
            return found
        visit.page.wait_for_timeout(100)
    raise AssertionError((len(events(database)), visit.asked, visit.complaints))


def wanted(visit: Visit, site: Site, first: Row) -> tuple[Row, ...]:
    """The rows of MAKE_CALLS: each has the visitor's id too, and a page says what it knows."""
    visitor = visit.page.evaluate(
        "Promise.resolve(analytics.user()).then((user) => user.anonymousId())"
    )
    assert len(visitor) == 36
    known = {"path": "/", "title": "Shop", "referrer": "", "search": "", "url": f"{site.url}/"}
    rows = []
    for row in (first, *CALLS):
        if row.name != "Seen":
            around = known if row.type == "page" else {}
            named = {"name": row.name} if row.type == "page" and row.name else {}
            own = None if row.properties is None else {**around, **row.properties, **named}
            # A page's word is not believed: its address makes no identity.
            rows.append(replace(row, anonymous_id=visitor, email=None, properties=own))
    return tuple(rows)


def read_back(
    visit: Visit, site: Site, database: Database, keys: Keys, first: Row, library: dict[str, str]
) -> None:
    found = wait_for(database, 7, visit)
    context = {"library": library, "page": {"path": "/", "title": "Shop"}, "timezone": "UTC"}
    rows = wanted(visit, site, first)
    check(found, rows, node_key=keys.node, context=context, trusted=False)
    assert visit.complaints == []


FIRST_PAGE = Row("page", properties={})


@pytest.mark.parametrize("mode", ["default", "batching"])
def test_classic_snippet_calls_are_read_back(
    mode: str, visit: Visit, collector: Collector, database: Database, key: str, keys: Keys
) -> None:
    snippet = dict(snippets(collector.url, key, "public"))["Web page"]
    if mode == "batching":
        snippet = snippet.replace(
            f'analytics.load("{key}");', f'analytics.load("{key}", {json.dumps(BATCHING)});'
        )
    with Site({"/": PAGE.format(head=f"{snippet}<script>{MAKE_CALLS}</script>")}) as site:
        visit.page.goto(site.url)
        read_back(visit, site, database, keys, FIRST_PAGE, CLASSIC)
        assert visit.hosts() == {urlsplit(url).netloc for url in (site.url, collector.url)}
    assert visit.paths("GET", collector.url) == [
        f"/analytics.js/v1/{key}/analytics.min.js", f"/v1/projects/{key}/settings",
    ]  # fmt: skip
    sent = visit.paths("POST", collector.url)
    if mode == "batching":
        assert set(sent) == {"/v1/b"}
        assert len(sent) < 7
    else:
        assert sorted(sent) == [f"/v1/{call}" for call in "agippst"]


@pytest.mark.parametrize("mode", ["default", "batching"])
def test_analytics_next_calls_are_read_back(
    mode: str, visit: Visit, collector: Collector, database: Database, key: str, keys: Keys,
    tmp_path: Path,
) -> None:  # fmt: skip
    app = dict(snippets(collector.url, key, "public"))["@segment/analytics-next"]
    if mode == "batching":
        app = app.replace(f"'{collector.url}' }}", f"'{collector.url}' }}, {json.dumps(BATCHING)}")
    app = bundle(f"{app}{MAKE_CALLS}window.analytics = analytics\n", tmp_path)
    pages = {"/": PAGE.format(head='<script src="/app.js" defer></script>'), "/app.js": app}
    with Site(pages) as site:
        visit.page.goto(site.url)
        read_back(visit, site, database, keys, replace(SNIPPET, user_id="u1"), NPM)
        assert visit.hosts() == {urlsplit(url).netloc for url in (site.url, collector.url)}
    assert visit.paths("GET", collector.url) == [f"/v1/projects/{key}/settings"]
    sent = visit.paths("POST", collector.url)
    assert set(sent) == {"/v1/b"} if mode == "batching" else sorted(sent) == [
        f"/v1/{call}" for call in "agipstt"
    ]  # fmt: skip


def test_classic_snippet_loads_its_parts_from_the_collector(
    visit: Visit, collector: Collector, database: Database, key: str
) -> None:
    """A link with ajs_event, and a link that is watched: each needs a part of its own."""
    snippet = dict(snippets(collector.url, key, "public"))["Web page"]
    watch = "<script>analytics.trackLink(document.getElementById('away'), 'Link Clicked')</script>"
    page = PAGE.format(head=snippet).replace("</body>", f"{watch}</body>")
    with Site({"/": page, "/next": "next"}) as site:
        visit.page.goto(f"{site.url}/?ajs_uid=u9&ajs_event=Came+By+Link&ajs_prop_from=mail")
        wait_for(database, 3, visit)
        visit.page.click("#away")
        found = wait_for(database, 4, visit)
        assert visit.hosts() == {urlsplit(url).netloc for url in (site.url, collector.url)}
    parts = [url for status, url in visit.answers if "/analytics-next/bundles/" in url]
    assert {url.rpartition("/")[2].split(".")[0] for url in parts} == {"queryString", "auto-track"}
    assert {status for status, url in visit.answers if url in parts} == {200}
    assert all(url.startswith(f"{collector.url}/") for url in parts)
    named = {row["name"]: row for row in found if row["type"] == "track"}
    assert set(named) == {"Came By Link", "Link Clicked"}
    assert named["Came By Link"]["user_id"] == "u9"
    assert json.loads(named["Came By Link"]["properties"]) == {"from": "mail"}


def test_a_page_without_the_snippet_finds_the_collector(
    visit: Visit, collector: Collector, database: Database, key: str
) -> None:
    tag = f'<script src="{collector.url}/analytics.js/v1/{key}/analytics.min.js"></script>'
    with Site({"/": PAGE.format(head=tag)}) as site:
        visit.page.goto(site.url)
        visit.page.wait_for_function("() => !!(window.analytics && window.analytics.track)")
        visit.page.evaluate("analytics.track('Alone')")
        assert [row["name"] for row in wait_for(database, 1, visit)] == ["Alone"]
        assert visit.hosts() == {urlsplit(url).netloc for url in (site.url, collector.url)}


def test_a_page_with_an_unknown_key_tells_nobody_else(visit: Visit, collector: Collector) -> None:
    """analytics.js would report its failure to Segment's host, with the key in it."""
    snippet = dict(snippets(collector.url, "0" * 32, "public"))["Web page"]
    with Site({"/": PAGE.format(head=snippet)}) as site:
        visit.page.goto(site.url)
        with visit.page.expect_request("**/v1/m"):
            pass
        assert visit.hosts() == {urlsplit(url).netloc for url in (site.url, collector.url)}
    assert any("No source has this key" in said for said in visit.complaints)


@pytest.mark.parametrize("mode", ["default", "batching"])
def test_a_browser_waits_when_it_is_told_to(
    mode: str, visit: Visit, settings: Settings, database: Database
) -> None:
    """The source may send an event in two seconds, so the second is told to come again."""
    with database.transaction(Role.WORKER) as tx:
        key = add_source(tx, "slow", "public", rate=0.5, burst=1)
    with Relay(settings.COLLECTOR_PORT) as relay:
        snippet = dict(snippets(relay.url, key, "public"))["Web page"]
        if mode == "batching":
            snippet = snippet.replace(f'"{key}");', f'"{key}", {json.dumps(BATCHING)});')
        with (
            Collector(settings.changed(PUBLIC_URL=relay.url)),
            Site({"/": PAGE.format(head=snippet)}) as site,
        ):
            visit.page.goto(site.url)
            wait_for(database, 1, visit)
            visit.page.evaluate("void analytics.track('Later')")
            found = wait_for(database, 2, visit)
        assert {row["name"] for row in found} == {None, "Later"}
        posts = [request for request in relay.requests if request.method == "POST"]
    assert [request.status for request in posts] == [200, 429, 200]
    assert posts[2].at_s - posts[1].at_s >= 1  # by itself it would wait half a second
    assert posts[2].headers["x-retry-count"] == "1"
    # None for the last: the one before it allowed its header already.
    asked = [request for request in relay.requests if request.method == "OPTIONS"]
    assert {one.headers["access-control-request-headers"] for one in asked} == {"authorization"}


def test_the_classic_snippet_is_segment_s_own_with_another_host(tmp_path: Path) -> None:
    program = """
    import snippet from '@segment/snippet'
    console.log(snippet.min({ apiKey: 'KEY', host: 'collect.example' }))
    """
    ours = dict(snippets("https://collect.example", "KEY", "public"))["Web page"]
    comment, _, code = ours.partition("\n")
    assert comment.startswith("<!-- Into the head")
    assert code == f"<script>\n{run_node(program, tmp_path)}</script>\n"


def test_the_bundle_is_that_of_the_package() -> None:
    package = node_modules() / "@segment" / "analytics-next"
    folder = resources.files("horizon.edge") / "analytics_js"
    assert (folder / "VERSION").read_text().strip() == VERSION
    assert json.loads((package / "package.json").read_text())["version"] == VERSION
    made = {path.name: path.read_bytes() for path in (package / "dist" / "umd").glob("*.js")}
    del made["index.js"]  # for applications that bundle it themselves
    ours = {file.name: file.read_bytes() for file in folder.iterdir() if file.name.endswith(".js")}
    assert ours == made
