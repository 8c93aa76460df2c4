"""The page of docs/collector.md whose user is believed, in Chromium with analytics.js."""

from __future__ import annotations

import json
import re
import textwrap
import time
from pathlib import Path

import jwt
import pytest

from horizon import clock
from horizon.events.nodes import node_of
from horizon.events.secrets import new_secret
from horizon.events.sources import add_source, find_source
from horizon.keys import Keys
from horizon.postgres.database import Database, Role
from horizon.settings import Settings
from horizon.sources.snippets import snippets
from tests.sdks.calls import events
from tests.sdks.pages import Site, Visit, browser
from tests.servers.collector import Collector

pytestmark = pytest.mark.slow

PAGE = "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>Shop</title>{head}</head></html>"
DOCS = Path(__file__).parents[2] / "docs" / "collector.md"


def test_a_page_that_sends_its_token_as_documented_is_believed(
    settings: Settings, database: Database, keys: Keys, chromium: Path
) -> None:
    with database.transaction(Role.WORKER) as tx:
        key = add_source(tx, "site", "public")
        source = find_source(tx, "site")
        assert source
        secret, _ = new_secret(
            tx, source.source_id, keys.link, now=clock.now(), old_until=clock.now()
        )
    token = jwt.encode({"sub": "u1", "exp": time.time() + 600}, secret, "HS256")
    (script,) = re.findall(r"```js\n(.*?addSourceMiddleware.*?)```", DOCS.read_text(), re.DOTALL)
    calls = f"""
        const identityToken = {json.dumps(token)};
        {textwrap.dedent(script)}
        analytics.identify("u1"); analytics.track("Seen");
    """
    with (
        Collector(settings.changed(VERIFIED_ONLY="user_id")) as collector,
        browser(chromium) as chrome,
    ):
        snippet = dict(snippets(collector.url, key, "public"))["Web page"]
        with Site({"/": PAGE.format(head=f"{snippet}<script>{calls}</script>")}) as site:
            visit = Visit(chrome.new_page())
            visit.page.goto(site.url)
            end_s = time.monotonic() + 20
            while len(found := events(database)) < 3 and time.monotonic() < end_s:
                visit.page.wait_for_timeout(100)
    named = {row["type"]: row for row in found}
    for call in ("identify", "track"):
        assert named[call]["nodes"][0] == node_of(keys.node, "user_id", "u1"), named[call][
            "context"
        ]
    assert all("identityToken" not in row["context"] for row in found)
