"""Unmodified SDKs of Node.js against the collector: each call is read back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from horizon.keys import Keys
from horizon.postgres.database import Database
from horizon.serving.http import Refusal, busy
from horizon.sources.snippets import snippets
from tests.sdks.calls import CALLS, HAPPENED, SNIPPET, TRAITS, check, events
from tests.sdks.parts import run_node
from tests.sdks.relay import Relay
from tests.servers.collector import Collector

pytestmark = pytest.mark.slow

SEGMENT = "@segment/analytics-node"
RUDDER = "@rudderstack/rudder-sdk-node"
SDKS = {
    "segment": (SEGMENT, {"name": "@segment/analytics-node", "version": "3.1.0"}),
    "rudder": (RUDDER, {"name": "analytics-node", "version": "3.0.13"}),
}
MAKE_CALLS = f"""
const userId = 'u1'
analytics.identify({{ userId, traits: {json.dumps(TRAITS)} }})
analytics.track({{ userId, event: 'Order Completed', properties: {{ total: 12.5, items: ['a', 'ä€😀'] }} }})
analytics.page({{ userId, category: 'Docs', name: 'Start', properties: {{ url: 'https://shop.example/' }} }})
analytics.screen({{ userId, category: 'App', name: 'Home', properties: {{ width: 320 }} }})
analytics.group({{ userId, groupId: 'g1', traits: {{ name: 'Acme', seats: 7 }} }})
analytics.alias({{ userId, previousId: 'a1' }})
analytics.track({{
  anonymousId: '17', event: 'Seen', messageId: 'mine', timestamp: new Date('{HAPPENED.isoformat()}'),
}})
await analytics.flush()
"""


@pytest.mark.parametrize(("name", "library"), SDKS.values(), ids=SDKS)
def test_node_sdk_calls_are_read_back(
    name: str, library: dict[str, str], collector: Collector, database: Database, key: str,
    keys: Keys, tmp_path: Path,
) -> None:  # fmt: skip
    text = dict(snippets(collector.url, key, "server"))[name]
    assert run_node(text + MAKE_CALLS, tmp_path) == ""
    wanted = (SNIPPET, *CALLS)
    if name == RUDDER:  # it sends no empty properties
        wanted = tuple(replace(row, properties=row.properties or None) for row in wanted)
    check(events(database), wanted, node_key=keys.node, context={"library": library})


@pytest.mark.parametrize(("name", "library"), SDKS.values(), ids=SDKS)
def test_node_sdk_waits_when_it_is_told_to(
    name: str, library: dict[str, str], collector: Collector, database: Database, key: str,
    tmp_path: Path,
) -> None:  # fmt: skip
    complaint = "error status: 429" if name == RUDDER else ""  # it says so, and goes on
    with Relay(collector.port, [busy().reply()]) as relay:
        run_node(dict(snippets(relay.url, key, "server"))[name], tmp_path, complaint)
    assert [request.status for request in relay.requests] == [429, 200]
    assert len(events(database)) == 1


def test_node_sdk_understands_a_refusal(collector: Collector, key: str, tmp_path: Path) -> None:
    """What cannot be taken is told once and not sent again."""
    refusal = Refusal(400, "malformed_json", "Send JSON.")
    told = "analytics.on('error', (error) => console.log(error.code, error.reason?.message))\n"
    with Relay(collector.port, [refusal.reply()]) as relay:
        text = dict(snippets(relay.url, key, "server"))[SEGMENT]
        head, track, rest = text.partition("analytics.track")
        said = run_node(head + told + track + rest, tmp_path)
    assert said.startswith("delivery_failure [400]")
    assert [request.status for request in relay.requests] == [400]
