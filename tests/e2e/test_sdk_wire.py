"""Senders that are no package here: the Kotlin SDK's requests, byte by byte, and curl."""

from __future__ import annotations

import gzip
import http.client
import json
import re
import subprocess
from contextlib import closing
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from horizon import clock
from horizon.events.nodes import node_of
from horizon.events.sources import add_source
from horizon.keys import Keys
from horizon.postgres.database import Database, Role
from horizon.sources.snippets import snippets
from tests.parts import system_program
from tests.sdks.calls import CALLS, Row, check, events
from tests.servers.collector import Collector

VISITOR = "0d2f7e2a-9c1b-4c55-8f0e-1f2d3c4b5a69"
CONTEXT = {
    "app": {"name": "Shop", "version": "3.1", "build": "31", "namespace": "example.shop"},
    "library": {"name": "analytics-kotlin", "version": "1.27.0"},
    "os": {"name": "Android", "version": "16"},
}


@pytest.fixture
def key(database: Database) -> str:
    with database.transaction(Role.WORKER) as tx:
        return add_source(tx, "app", "public")


def as_kotlin_writes(row: Row) -> dict[str, Any]:
    """Every field of the call's class; who is not known yet has no userId."""
    own: dict[str, Any] = {
        "track": {"properties": row.properties, "event": row.name},
        "identify": {"traits": row.traits},
        "screen": {"name": row.name, "category": "App", "properties": {"width": 320}},
        "group": {"groupId": row.group_id, "traits": row.traits},
        "alias": {"previousId": row.previous_id},
    }[row.type]
    moment = row.happened or clock.now()
    return {
        **own, "type": row.type, "messageId": row.message_id or str(uuid4()),
        "anonymousId": VISITOR, "integrations": {},
        "context": CONTEXT, "timestamp": moment.isoformat(timespec="milliseconds")[:23] + "Z",
        "_metadata": {"bundled": [], "unbundled": [], "bundledIds": []},
        **({"userId": row.user_id} if row.user_id else {}),
    }  # fmt: skip


def ask(
    method: str, url: str, headers: dict[str, str], body: bytes | list[bytes] | None = None
) -> tuple[int, Any]:
    """As the SDK does; ``url`` is without its scheme. A list is sent in chunks."""
    place, _, path = url.partition("/")
    chunked = {"Transfer-Encoding": "chunked"} if isinstance(body, list) else {}
    headers = {"User-Agent": "analytics-kotlin/1.27.0", **headers, **chunked}
    with closing(http.client.HTTPConnection(place, timeout=20)) as connection:
        connection.request(method, f"/{path}", body, headers, encode_chunked=True)
        with connection.getresponse() as answer:
            return answer.status, json.loads(answer.read())


@pytest.mark.parametrize("form", ["whole", "chunked"])
def test_kotlin_wire_form_is_read_back(
    form: str, collector: Collector, database: Database, key: str, keys: Keys
) -> None:
    """Settings first, then a file of events: gzip, text/plain, the key at its end alone.

    Seen of 1.27.0 as it ran on a JVM; those without OkHttp send in chunks.
    """
    text = dict(snippets(collector.url, key, "public"))["analytics-kotlin"]
    hosts = dict(re.findall(r'(apiHost|cdnHost) = "(.*?)"', text))
    settings = f"{hosts['cdnHost']}/projects/{key}/settings"
    status, told = ask("GET", settings, {"Content-Type": "application/json; charset=utf-8"})
    assert (status, told["integrations"]["Segment.io"]["apiHost"]) == (200, hosts["apiHost"])

    calls = [row for row in CALLS if row.type != "page"]  # it has no pages
    batch = ",".join(json.dumps(as_kotlin_writes(row), ensure_ascii=False) for row in calls)
    sent_at = clock.now().isoformat(timespec="milliseconds")[:23] + "Z"
    packed = gzip.compress(
        f'{{"batch":[{batch}],"sentAt":"{sent_at}","writeKey":"{key}"}}'.encode()
    )
    sending = {"Content-Type": "text/plain", "Content-Encoding": "gzip"}
    chunks = [packed[at : at + 100] for at in range(0, len(packed), 100)]
    body = packed if form == "whole" else chunks
    told = ask("POST", f"{hosts['apiHost']}/b", sending, body)
    assert told == (200, {"success": True, "rejected": []})
    wanted = tuple(replace(row, anonymous_id=VISITOR, email=None) for row in calls)
    check(events(database), wanted, node_key=keys.node, context=CONTEXT, trusted=False)


def test_curl_call_is_read_back(
    collector: Collector, database: Database, key: str, keys: Keys
) -> None:
    system_program(["curl"], "curl")
    command = dict(snippets(collector.url, key, "public"))["curl"]
    done = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, check=True, timeout=30
    )
    assert json.loads(done.stdout) == {"success": True, "rejected": []}
    (found,) = events(database)
    assert (found["type"], found["name"], found["user_id"]) == ("track", "Tried Horizon", "user-1")
    assert found["nodes"] == [node_of(keys.node, "user_id", "user-1")]
    # It says no time: the collector's counts.
    assert (found["original_timestamp"], found["time"]) == (None, found["received_at"])
