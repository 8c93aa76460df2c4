"""What pages and phones ask the collector for besides sending events."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Iterator
from importlib import resources
from typing import Any

import pytest

from horizon.edge.tracking import PIXEL
from horizon.events.sources import add_source
from horizon.postgres.database import Database, Role, row_dicts
from horizon.settings import Settings
from tests.servers.collector import Answer, Application

MAIN = "/analytics.js/v1/any-key/analytics.min.js"
FOLDER = resources.files("horizon.edge") / "analytics_js"
CHUNK = "/analytics-next/bundles/queryString.bundle.34b193ada8fe288d1bd1.js"


@pytest.fixture
def app(settings: Settings) -> Iterator[Application]:
    public = settings.changed(PUBLIC_URL="https://collect.example/")
    with Application(public) as running:
        yield running


@pytest.fixture
def key(database: Database) -> str:
    with database.transaction(Role.WORKER) as tx:
        return add_source(tx, "site", "public")


def rows(database: Database, query: str) -> list[dict[str, Any]]:
    with database.transaction(Role.OWNER) as tx:
        return row_dicts(tx.execute(query.encode()))


def code(answer: Answer) -> tuple[int, str]:
    assert answer.json["message"]
    assert answer.headers["access-control-allow-origin"] == "*"
    return answer.status, answer.json["code"]


def test_settings_send_an_sdk_here_and_nowhere_else(app: Application, key: str) -> None:
    answer = app.ask("GET", f"/v1/projects/{key}/settings")
    assert answer.status == 200
    assert answer.json["integrations"] == {
        "Segment.io": {"apiKey": key, "apiHost": "collect.example/v1", "protocol": "https"}
    }
    assert answer.json["metrics"] == {
        "sampleRate": 0, "host": "collect.example/v1", "protocol": "https",
    }  # fmt: skip
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["cache-control"] == "public, max-age=120"
    assert answer.headers["content-type"] == "application/json"


def test_settings_are_for_the_keys_of_public_sources(app: Application, database: Database) -> None:
    with database.transaction(Role.WORKER) as tx:
        secret = add_source(tx, "shop", "server")
    assert code(app.ask("GET", "/v1/projects/nonsense/settings")) == (404, "unknown_key")
    refused = app.ask("GET", f"/v1/projects/{secret}/settings")
    assert code(refused) == (403, "secret_key")
    assert secret not in refused.body.decode()
    with database.transaction(Role.WORKER) as tx:
        picky = add_source(tx, "picky", "public", origins=["https://shop.example"])
    path = f"/v1/projects/{picky}/settings"
    assert app.ask("GET", path, headers={"Origin": "https://shop.example"}).status == 200
    other = app.ask("GET", path, headers={"Origin": "https://other.example"})
    assert code(other) == (403, "origin_not_allowed")
    assert code(app.ask("POST", f"/v1/projects/{secret}/settings")) == (405, "wrong_method")
    assert app.ask("GET", "/v1/projects/a/b/settings").status == 404


def test_the_bundle_is_the_package_s_but_for_its_hosts(app: Application) -> None:
    answer = app.ask("GET", MAIN)
    assert (answer.status, answer.headers["content-type"]) == (
        200,
        "text/javascript; charset=utf-8",
    )
    assert answer.headers["access-control-allow-origin"] == "*"
    prelude, _, text = answer.body.decode().partition("\n")
    assert '"https://collect.example"' in prelude
    original = (FOLDER / "standalone.js").read_text()
    assert original.count('"api.segment.io/v1"') == 1
    assert text == original.replace('"api.segment.io/v1"', '"collect.example/v1"')
    for path in ("platform/analytics.min.js", "analytics.js"):
        assert app.ask("GET", f"/analytics.js/v1/any-key/{path}").body == answer.body
    assert app.ask("GET", "/analytics.js/v1/any-key/analytics.classic.js").status == 404
    assert code(app.ask("POST", MAIN)) == (405, "wrong_method")


def test_the_bundle_is_packed_and_fetched_once(app: Application) -> None:
    plain = app.ask("GET", MAIN)
    packed = app.ask("GET", MAIN, headers={"Accept-Encoding": "gzip, br"})
    assert gzip.decompress(packed.body) == plain.body
    assert packed.headers["content-encoding"] == "gzip"
    assert plain.headers["vary"] == packed.headers["vary"] == "accept-encoding"
    assert plain.headers["cache-control"] == "public, max-age=3600"
    assert plain.headers["etag"] != packed.headers["etag"]
    for answer, asked in ((plain, {}), (packed, {"Accept-Encoding": "gzip"})):
        again = app.ask(
            "GET", MAIN, headers={**asked, "If-None-Match": f"W/{answer.headers['etag']}"}
        )
        assert (again.status, again.body) == (304, b"")
    assert app.ask("GET", MAIN, headers={"If-None-Match": '"other"'}).status == 200


def test_the_bundle_s_parts_come_from_here_too(app: Application) -> None:
    answer = app.ask("GET", CHUNK)
    assert answer.body == (FOLDER / CHUNK.rpartition("/")[2]).read_bytes()
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    for name in ("nothing.js", "../bundle.py", "LICENSE", "standalone.js", ""):
        assert code(app.ask("GET", f"/analytics-next/bundles/{name}")) == (404, "not_found"), name


def test_the_bundle_s_files_are_those_whose_digests_are_kept() -> None:
    kept = dict(
        reversed(line.split(maxsplit=1))
        for line in (FOLDER / "SHA256SUMS").read_text().splitlines()
    )
    found = {file.name: file.read_bytes() for file in FOLDER.iterdir()}
    assert set(found) - {"SHA256SUMS", "VERSION"} == set(kept)
    for name, digest in kept.items():
        assert hashlib.sha256(found[name]).hexdigest() == digest, name


def test_metrics_are_taken_and_dropped(app: Application, database: Database) -> None:
    answer = app.ask("POST", "/v1/m", b'{"series":[]}', {"Content-Type": "text/plain"})
    assert (answer.status, answer.json) == (200, {"success": True})
    assert answer.headers["access-control-allow-origin"] == "*"
    assert code(app.ask("POST", "/v1/m", b" " * 65_537)) == (400, "request_too_large")
    assert code(app.ask("GET", "/v1/m")) == (405, "wrong_method")
    assert (
        rows(database, "SELECT FROM events") == rows(database, "SELECT FROM rejected_events") == []
    )


def test_a_browser_may_ask_from_any_page(app: Application, key: str) -> None:
    for path in (MAIN, CHUNK, f"/v1/projects/{key}/settings", "/v1/m", "/v1/pixel/track"):
        answer = app.ask("OPTIONS", path, headers={"Origin": "https://shop.example"})
        assert (answer.status, answer.body) == (204, b""), path
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "content-type" in answer.headers["access-control-allow-headers"]


def pixel(app: Application, call: str, event: object, alphabet: str = "standard") -> Answer:
    encode = base64.b64encode if alphabet == "standard" else base64.urlsafe_b64encode
    data = encode(json.dumps(event, ensure_ascii=False).encode()).decode()
    if alphabet == "bare":
        data = data.rstrip("=")
    return app.ask("GET", f"/v1/pixel/{call}?other=1&data={data}")


def test_pixel_calls_are_read_back(app: Application, database: Database, key: str) -> None:
    calls = {
        "track": {"event": "Mail Opened", "properties": {"text": "ÿÿÿ>>>???"}},
        "page": {"name": "Start"},
        "screen": {"name": "Home"},
        "identify": {"traits": {"plan": "pro"}},
        "group": {"groupId": "g1"},
        "alias": {"previousId": "a1"},
    }
    for alphabet in ("standard", "url", "bare"):
        for call, fields in calls.items():
            event = {"writeKey": key, "userId": "u1", "messageId": f"{call}-{alphabet}", **fields}
            answer = pixel(app, call, event, alphabet)
            assert (answer.status, answer.headers["content-type"]) == (200, "image/gif")
            assert (answer.body, answer.headers["cache-control"]) == (PIXEL.body, "no-store")
    found = {row["message_id"]: row for row in rows(database, "SELECT * FROM events")}
    assert len(found) == 18
    for alphabet in ("standard", "url", "bare"):
        for call, fields in calls.items():
            row = found[f"{call}-{alphabet}"]
            assert (row["type"], row["user_id"], row["trusted"]) == (call, "u1", False)
            assert row["name"] == fields.get("event", fields.get("name"))
            assert (row["group_id"], row["previous_id"]) == (
                fields.get("groupId"), fields.get("previousId"),
            )  # fmt: skip
            for name in ("properties", "traits"):
                assert json.loads(row[name] or "null") == fields.get(name)


def test_a_pixel_that_cannot_be_kept_says_why(
    app: Application, database: Database, key: str
) -> None:
    assert code(app.ask("GET", "/v1/pixel/track")) == (400, "malformed_json")
    assert code(app.ask("GET", "/v1/pixel/track?data=%00")) == (400, "bad_data")
    assert code(app.ask("GET", "/v1/pixel/track?data=A")) == (400, "bad_data")
    assert code(app.ask("POST", "/v1/pixel/track?data=e30")) == (405, "wrong_method")
    assert code(pixel(app, "track", {"userId": "u1", "event": "x"})) == (401, "missing_key")
    assert code(pixel(app, "track", {"writeKey": "?", "event": "x"})) == (401, "unknown_key")
    told = pixel(app, "track", {"writeKey": key, "event": "x"})
    assert [item["code"] for item in told.json["rejected"]] == ["no_user_anon_id"]
    assert app.ask("GET", "/v1/pixel/nonsense").status == 404
    assert rows(database, "SELECT FROM events") == []


def test_nobody_s_settings_are_known_while_the_database_is_away(
    settings: Settings, database: Database, key: str
) -> None:
    away = settings.changed(PG_DSN="postgresql://x@127.0.0.1:1/x")
    with Application(away) as app:
        answer = app.ask("GET", f"/v1/projects/{key}/settings")
        assert code(answer) == (503, "unavailable")
        assert app.ask("GET", MAIN).status == 200
