"""Unmodified Python SDKs, old and new, against the collector: each call is read back."""

from __future__ import annotations

import pytest

from horizon.keys import Keys
from horizon.postgres.database import Database
from horizon.serving.http import Refusal, busy
from horizon.sources.snippets import snippets
from tests.sdks.calls import CALLS, HAPPENED, SNIPPET, TRAITS, check, events
from tests.sdks.parts import python_sdk, run_python
from tests.sdks.relay import Relay
from tests.servers.collector import Collector

pytestmark = pytest.mark.slow

# SDK, its snippet, and what its context says of it.
SEGMENT = "segment-analytics-python"
SDKS = {
    "segment 2.4": ("", SEGMENT, "2.4.0"),
    "segment 2.3": ("segment-analytics-python==2.3.4", SEGMENT, "2.3.4"),  # key in the body alone
    "segment 2.2": ("segment-analytics-python==2.2.3", SEGMENT, "2.2.3"),
    "segment 1.4": ("analytics-python==1.4.post1", "analytics-python", "1.4.post1"),
    "rudder 2.1": ("rudder-sdk-python==2.1.9", "rudder-sdk-python", "2.1.9"),
}
MAKE_CALLS = f"""
from datetime import datetime, timezone

analytics.identify("u1", {TRAITS})
analytics.track("u1", "Order Completed", {{"total": 12.5, "items": ["a", "ä€😀"]}})
analytics.page("u1", "Docs", "Start", {{"url": "https://shop.example/"}})
analytics.screen("u1", "App", "Home", {{"width": 320}})
analytics.group("u1", "g1", {{"name": "Acme", "seats": 7}})
analytics.alias("a1", "u1")
happened = datetime.fromisoformat("{HAPPENED.isoformat()}")
analytics.track(event="Seen", anonymous_id=17, timestamp=happened, message_id="mine")
analytics.shutdown()
"""


def snippet(name: str, url: str, key: str) -> str:
    """As it is printed; the first SDK's package had another name."""
    text = dict(snippets(url, key, "server"))[name if name != "analytics-python" else SEGMENT]
    if name == "analytics-python":
        return text.replace("import segment.analytics as analytics", "import analytics")
    return text


@pytest.mark.parametrize(("sdk", "name", "version"), SDKS.values(), ids=SDKS)
def test_python_sdk_calls_are_read_back(
    sdk: str, name: str, version: str, collector: Collector, database: Database, key: str,
    keys: Keys,
) -> None:  # fmt: skip
    folder = python_sdk(sdk)
    text = snippet(name, collector.url, key)
    assert run_python(text + MAKE_CALLS, folder) == ""
    library = {"library": {"name": "analytics-python", "version": version}}
    check(events(database), (SNIPPET, *CALLS), node_key=keys.node, context=library)


@pytest.mark.parametrize(("sdk", "name", "version"), SDKS.values(), ids=SDKS)
def test_python_sdk_waits_when_it_is_told_to(
    sdk: str, name: str, version: str, collector: Collector, database: Database, key: str
) -> None:
    folder = python_sdk(sdk)
    with Relay(collector.port, [busy().reply()]) as relay:
        run_python(snippet(name, relay.url, key), folder)
    assert [request.status for request in relay.requests] == [429, 200]
    waited_s = relay.requests[1].at_s - relay.requests[0].at_s
    # Retry-After says 1 s; the older ones wait at random, and for less than that.
    assert waited_s >= (1 if version == "2.4.0" else 0)
    assert len(events(database)) == 1


@pytest.mark.parametrize(("sdk", "name", "version"), SDKS.values(), ids=SDKS)
def test_python_sdk_understands_a_refusal(
    sdk: str, name: str, version: str, collector: Collector, key: str
) -> None:
    """It tells its on_error what is wrong, and does not send again what cannot be taken."""
    folder = python_sdk(sdk)
    told = "analytics.on_error = lambda error, _: print(error.status, error.code, error.message)\n"
    refusal = Refusal(400, "malformed_json", "Send JSON.")
    with Relay(collector.port, [refusal.reply()]) as relay:
        lines = snippet(name, relay.url, key).splitlines(keepends=True)
        quiet = "import logging\nlogging.disable()\n"
        assert run_python("".join([quiet, *lines[:2], told, *lines[2:]]), folder) == (
            "400 malformed_json Send JSON.\n"
        )
        assert [request.status for request in relay.requests] == [400]
        unknown = snippet(name, relay.url, "0" * 32).splitlines(keepends=True)
        said = run_python("".join([quiet, *unknown[:2], told, *unknown[2:]]), folder)
    assert said.startswith("401 unknown_key ")
    assert [request.status for request in relay.requests] == [400, 401]
