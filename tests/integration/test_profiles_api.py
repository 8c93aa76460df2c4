"""The profile API: who is asked for, what a token reads, what is answered."""

from __future__ import annotations

import base64
import http.client
import json
import random
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest

from horizon.api import parts, readers
from horizon.api.scopes import Scope
from horizon.api.server import make_app
from horizon.api.tokens import add_token, revoke_token
from horizon.events.nodes import node_of
from horizon.postgres.database import Role, closing_connection
from horizon.postgres.queries import Queries
from horizon.serving import key_use, known_keys
from horizon.settings import Settings
from tests import merging
from tests.e2e.horizon_command import wait_until
from tests.servers.collector import Answer, Application, ProfileApi
from tests.world import DAY, NOW, World

ALL_PARTS = ("", "/traits", "/events", "/identifiers", "/segments", "/scores", "/messages")


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_keys, "FRESH_S", 0.0)
    monkeypatch.setattr(known_keys, "_APART_S", 0.0)
    monkeypatch.setattr(key_use, "NOTED_AFTER_S", 0.02)


class Api:
    """The application, asked with a token that reads all."""

    def __init__(self, world: World, app: Application) -> None:
        self.world = world
        self.app = app
        self.token = self.made("all", list(Scope))

    def made(self, name: str, scopes: list[Scope], **more: Any) -> str:
        values = {"now": NOW, "expires_at": None, **more}
        with self.world.horizon.database.transaction(Role.WORKER) as tx:
            return add_token(tx, name, scopes, **values)

    def ask(
        self, path: str, token: str | None = None, method: str = "GET", **headers: str
    ) -> Answer:
        named = {"Authorization": f"Bearer {self.token if token is None else token}", **headers}
        return self.app.ask(method, path, headers=named)

    def get(self, path: str) -> Any:
        answer = self.ask(path)
        assert answer.status == 200, answer
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["cache-control"] == "no-store"
        return answer.json

    def join(self, user: str, *others: tuple[str, str]) -> None:
        """The map as the identity stage leaves it: these are of the user's profile too."""
        key = self.world.horizon.keys.node
        for kind, value in others:
            self.world.change(
                "INSERT INTO nodes (node, kind, value, profile_id, first_seen) "
                "SELECT %s, %s, %s, profile_id, first_seen FROM nodes WHERE node = %s "
                "ON CONFLICT (node) DO UPDATE SET profile_id = excluded.profile_id",
                node_of(key, kind, value), kind, value, node_of(key, "user_id", user),
            )  # fmt: skip

    def kill(self, kind: str, value: str, dead: str = "hub") -> None:
        node = node_of(self.world.horizon.keys.node, kind, value)
        self.world.change(
            "UPDATE nodes SET dead = %s, profile_id = CASE %s WHEN 'erased' THEN profile_id END "
            "WHERE node = %s", dead, dead, node,
        )  # fmt: skip

    def pages(self, path: str, of: str = "data") -> list[Any]:
        """All that the pages hold, by each page's address of the next one."""
        found: list[Any] = []
        url: str | None = path
        while url is not None:
            page = self.get(url)
            found += page[of]
            cursor = page["cursor"]
            assert (cursor["url"] is not None) == cursor["has_more"] == (cursor["next"] is not None)
            url = cursor["url"]
        return found


@pytest.fixture
def api(world: World) -> Iterator[Api]:
    with Application(world.horizon.settings, make_app) as app:
        yield Api(world, app)


def error(answer: Answer) -> str:
    assert set(answer.json) == {"error"}
    assert set(answer.json["error"]) == {"code", "message"}
    assert answer.json["error"]["message"].endswith(".")
    assert "access-control-allow-origin" not in answer.headers
    return str(answer.json["error"]["code"])


def test_a_profile_by_each_of_its_identifiers(api: Api) -> None:
    world = api.world
    world.put({**world.identify("ada", email="Ada@example.com"), "anonymousId": "cookie-1"})
    world.identify_all()
    api.join("ada", ("email", "Ada@example.com"), ("anonymous_id", "cookie-1"))
    asked = [
        api.get(f"/v1/profiles/{quote(one, safe='')}")
        for one in ("user_id:ada", "email:ada@example.com", "anonymous_id:cookie-1")
    ]
    assert len({(one["profile_id"], one["user_id"]) for one in asked}) == 1
    assert asked[0]["user_id"] == "ada"
    assert asked[0]["identifiers"] == 3
    assert asked[0]["links"]["events"] == "/v1/profiles/user_id:ada/events"
    assert set(asked[0]["links"]) == {
        "traits", "events", "identifiers", "segments", "scores", "messages"
    }  # fmt: skip
    number = asked[0]["profile_id"]
    assert api.get(f"/v1/profiles/profile_id:{number}")["profile_id"] == number
    kinds = [one["kind"] for one in api.pages("/v1/profiles/user_id:ada/identifiers?limit=1")]
    assert sorted(kinds) == ["anonymous_id", "email", "user_id"]


def test_who_has_no_user_id_is_given_none(api: Api) -> None:
    """And who has several is named by one that leads to them."""
    world = api.world
    world.put({"type": "page", "anonymousId": "c1"}, world.track("ada", 9 * DAY))
    world.put(world.track("bob", DAY))
    world.identify_all()
    found = api.get("/v1/profiles/anonymous_id:c1")
    assert found["user_id"] is None
    assert api.ask(f"/v1/profiles/user_id:p{found['profile_id']}").status == 404
    merging.merge(world, "bob", "ada")
    assert api.get("/v1/profiles/user_id:bob")["user_id"] == "ada"


@pytest.mark.parametrize(
    "value",
    [
        "a/b",
        "a:b",
        "a b",
        "äöü 漢字",
        "100%",
        "a?b=c&d#e",
        "..",
        "a\\b",
        "😀",
        "x" * 500,
        "+1+1",
        "\u202e",
    ],
)
def test_values_of_every_kind_are_found(api: Api, value: str) -> None:
    api.world.put(api.world.track(value, DAY))
    api.world.identify_all()
    found = api.get(f"/v1/profiles/user_id:{quote(value, safe='')}")
    assert found["user_id"] == value
    assert len(api.get(found["links"]["events"])["data"]) == 1


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/profiles/user_id:nobody", 404, "unknown_profile"),
        ("/v1/profiles/user_id:a%00b", 404, "unknown_profile"),
        (f"/v1/profiles/user_id:{'x' * 2000}", 404, "unknown_profile"),
        (f"/v1/profiles/user_id:{'x' * 2001}", 400, "bad_identifier"),
        ("/v1/profiles/user_id:%ff", 400, "bad_encoding"),
        ("/v1/profiles/user_id:%ed%a0%80", 400, "bad_encoding"),
        ("/v1/profiles/user_id", 400, "bad_identifier"),
        ("/v1/profiles/user_id:", 400, "bad_identifier"),
        ("/v1/profiles/:x", 400, "bad_identifier"),
        ("/v1/profiles/Stra%C3%9Fe:x", 404, "unknown_kind"),
        ("/v1/profiles/profile_id:0", 404, "unknown_profile"),
        ("/v1/profiles/profile_id:9223372036854775808", 404, "unknown_profile"),
        ("/v1/profiles/profile_id:%D9%A3", 404, "unknown_profile"),
        ("/v1/profiles/", 400, "bad_identifier"),
        ("/v1/profiles/user_id:u1/friends", 404, "not_found"),
        ("/v1/profiles/user_id:u1/", 404, "not_found"),
        ("/v1/profiles/user_id:u1/events/", 404, "not_found"),
        ("/v1/profiles/a/b:c", 404, "not_found"),
        ("/v1", 404, "not_found"),
        ("/v1/profiles/user_id:u1?x=1", 400, "unknown_parameter"),
        ("/v1/profiles/user_id:u1/events?limt=1", 400, "unknown_parameter"),
        ("/v1/profiles/user_id:u1/events?limit=0", 400, "bad_parameter"),
        ("/v1/profiles/user_id:u1/events?limit=101", 400, "bad_parameter"),
        ("/v1/profiles/user_id:u1/events?limit=%D9%A3", 400, "bad_parameter"),
        ("/v1/profiles/user_id:u1/events?limit=1&limit=2", 400, "bad_parameter"),
        ("/v1/profiles/user_id:u1/events?type=sneeze", 400, "bad_parameter"),
        ("/v1/profiles/user_id:u1/traits?verbose=yes", 400, "bad_parameter"),
        ("/v1/profiles/user_id:u1/traits?include=" + "&include=".join("x" * 51), 400, "bad_parameter"),
        ("/v1/profiles/user_id:u1/events?cursor=x", 400, "bad_cursor"),
        ("/v1/profiles/user_id:u1/events?cursor=", 400, "bad_cursor"),
        ("/v1/profiles/user_id:u1/traits?cursor=A", 400, "bad_cursor"),
        ("/v1/profiles/user_id:u1/traits?cursor=", 400, "bad_cursor"),
        ("/v1/profiles/user_id:u1/events?cursor=A%3DAA", 400, "bad_cursor"),
        ("/v1/profiles/user_id:u1/events?include=%ff", 400, "bad_encoding"),
    ],
)  # fmt: skip
def test_what_is_not_there_or_malformed_is_said_in_a_sentence(
    api: Api, path: str, status: int, code: str
) -> None:
    api.world.people("u1")
    api.world.identify_all()
    answer = api.ask(path)
    assert (answer.status, error(answer)) == (status, code)


@pytest.mark.parametrize("part", ["events", "identifiers", "messages", "traits"])
@pytest.mark.parametrize("first", ["AAAAA", "f____", "gAAAA", "_____"])
def test_a_forged_cursor_is_harmless(api: Api, part: str, first: str) -> None:
    api.world.people("u1")
    api.world.identify_all()
    page = api.get(f"/v1/profiles/user_id:u1/{part}?cursor={first:_<32}")
    assert not page["cursor"]["has_more"]
    for item in page.get("data", ()):
        assert item in api.pages(f"/v1/profiles/user_id:u1/{part}")


def test_the_traits_are_the_profile_s_with_their_events(api: Api) -> None:
    world = api.world
    world.put(
        world.identify(
            "ada", 3 * DAY, email="ada@example.com", plan="pro", age=36, tags=["a", {"b": None}]
        ),
        world.identify("ada", 2 * DAY, plan="free", gone="x"),
        world.identify("ada", 1 * DAY, gone=None),
    )
    world.identify_all()
    all_of_them = api.get("/v1/profiles/user_id:ada/traits?verbose=true")
    traits = all_of_them["traits"]
    assert traits == {
        "age": 36, "email": "ada@example.com", "plan": "free", "tags": ["a", {"b": None}]
    }  # fmt: skip
    assert set(all_of_them["provenance"]) == set(traits)
    events = {one["event_id"]: one for one in api.pages("/v1/profiles/user_id:ada/events")}
    said = events[all_of_them["provenance"]["plan"]["event_id"]]
    assert said["traits"]["plan"] == "free"
    assert said["timestamp"] == all_of_them["provenance"]["plan"]["time"]
    one_by_one: dict[str, Any] = {}
    url = "/v1/profiles/user_id:ada/traits?limit=1"
    while url:
        page = api.get(url)
        assert "provenance" not in page
        one_by_one |= page["traits"]
        url = page["cursor"]["url"]
    assert one_by_one == traits
    picked = api.get(
        "/v1/profiles/user_id:ada/traits?include=plan&include=age&include=a%00&limit=2"
    )
    assert picked["traits"] == {"age": 36, "plan": "free"}


def test_events_come_page_by_page_over_all_nodes_the_newest_first(api: Api) -> None:
    world = api.world
    world.put({**world.identify("ada", 30 * DAY), "anonymousId": "c1"})
    world.put(*(
        {**world.track("ada", timedelta(hours=number // 3), f"E{number}"),  # three of each time
         **({"userId": None, "anonymousId": "c1"} if number % 2 else {})}
        for number in range(25)
    ))  # fmt: skip
    world.put(world.track("bob", DAY))
    world.identify_all()
    api.join("ada", ("anonymous_id", "c1"))
    for limit in (1, 4, 10, 100):
        found = api.pages(f"/v1/profiles/user_id:ada/events?limit={limit}")
        assert len({one["event_id"] for one in found}) == len(found) == 26
        order = [(one["timestamp"], one["event_id"]) for one in found]
        assert order == sorted(order, reverse=True)
    event = api.get("/v1/profiles/anonymous_id:c1/events?include=E7")["data"][0]
    assert (event["event"], event["type"], event["anonymous_id"]) == ("E7", "track", "c1")
    assert event["source"] == "server"


def test_the_last_days_alone_are_opened_where_they_are_enough(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With files and phones that bring events late: the order is that of their times all the same."""
    world, dice = api.world, random.Random(7)
    for number in range(80):
        received_at = NOW - dice.random() * 40 * DAY
        late = dice.choice((timedelta(0), timedelta(0), dice.random() * 60 * DAY))
        ago = NOW - received_at + late - dice.choice((timedelta(0), timedelta(hours=23)))
        world.put(world.track("ada", ago, f"E{number % 3}"), received_at=received_at)
    world.identify_all()
    rows = world.rows("SELECT event_id::text FROM events ORDER BY time DESC, event_id DESC")
    expected = [row.event_id for row in rows]
    monkeypatch.setattr(parts, "MANY_DAYS", timedelta(0))
    monkeypatch.setattr("horizon.clock.now", lambda: NOW)
    for recent in (2 * DAY, 8 * DAY, 30 * DAY):
        monkeypatch.setattr(parts, "RECENT", recent)
        for query in ("limit=3", "limit=50", "limit=7&exclude=E1"):
            monkeypatch.setattr(parts, "SEEN_EVENTS", 10)
            found = [
                one["event_id"] for one in api.pages(f"/v1/profiles/user_id:ada/events?{query}")
            ]
            if "exclude" in query:
                assert len(found) == len(set(found)) < len(expected)
                assert found == [one for one in expected if one in set(found)]
            else:
                assert found == expected


def test_an_event_behind_a_dead_node_is_the_next_one_s(api: Api) -> None:
    world = api.world
    said = {"type": "identify", "anonymousId": "c1", "traits": {"email": "info@example.com"}}
    world.put({**said, "timestamp": (NOW - DAY).isoformat()}, world.track("bob", DAY))
    world.put({"type": "track", "event": "Own", "anonymousId": "c1"})
    world.identify_all()
    api.kill("email", "info@example.com")
    found = api.pages("/v1/profiles/anonymous_id:c1/events?limit=1")
    assert [one["type"] for one in found] == ["track", "identify"]


def test_events_are_picked_by_name_and_type(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    world = api.world
    world.put(world.identify("ada", 3 * DAY))
    world.put(*(world.track("ada", timedelta(minutes=n), f"E{n % 5}") for n in range(50)))
    world.put({"type": "page", "name": "E1", "userId": "ada"})
    world.identify_all()

    def names(query: str) -> list[str]:
        return [one["event"] for one in api.pages(f"/v1/profiles/user_id:ada/events?{query}")]

    for seen in (1_000, 7):  # a page that looks at few comes to the same in the end
        monkeypatch.setattr("horizon.api.parts.SEEN_EVENTS", seen)
        assert sorted(names("include=E1&include=E2&limit=3")) == ["E1"] * 11 + ["E2"] * 10
        assert names("include=E1&type=page") == ["E1"]
        assert set(names("exclude=E1&exclude=E2&type=track")) == {"E0", "E3", "E4"}
        assert len(names("exclude=E1&limit=3")) == 41  # an identify call has no name
        assert names("include=Never") == []
    assert names("include=E1%2CE2") == []


def test_a_page_holds_so_many_bytes_but_for_its_first_event(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = api.world
    world.put(*(
        world.track("ada", timedelta(minutes=n), properties={"x": "y" * 1000}) for n in range(9)
    ))  # fmt: skip
    world.identify_all()
    monkeypatch.setattr("horizon.api.parts.PAGE_BYTES", 3_000)
    assert len(api.get("/v1/profiles/user_id:ada/events")["data"]) == 2
    monkeypatch.setattr("horizon.api.parts.PAGE_BYTES", 1)
    assert len(api.pages("/v1/profiles/user_id:ada/events")) == 9


def test_scores_segments_and_messages(api: Api) -> None:
    world = api.world
    assert world.planned("ada") == 1
    score = api.get("/v1/profiles/user_id:ada/scores")["data"]
    assert [(one["tier"], round(one["score"], 3)) for one in score] == [("high", 0.929)]
    segments = api.get("/v1/profiles/user_id:ada/segments")["data"]
    assert [one["segment"] for one in segments] == ["risk:high"]
    messages = api.pages("/v1/profiles/user_id:ada/messages?limit=1")
    assert [
        (one["campaign"], one["status"], one["channel"], one["to_addr"]) for one in messages
    ] == [("miss_you", "planned", "email", "ada@example.com")]
    world.put(world.track("new", timedelta(0)))
    world.identify_all()
    for part in ("scores", "segments", "messages"):
        assert api.get(f"/v1/profiles/user_id:new/{part}")["data"] == []


def test_an_absorbed_profile_s_identifiers_and_number_lead_to_the_one_that_stays(api: Api) -> None:
    world = api.world
    world.people("ada", "bob")
    world.identify_all()
    for name in ("ada", "bob"):
        api.join(name, ("email", f"{name}@example.com"))
    ada, bob = (api.get(f"/v1/profiles/user_id:{name}")["profile_id"] for name in ("ada", "bob"))
    world.change("UPDATE nodes SET profile_id = %s WHERE profile_id = %s", ada, bob)
    world.change("UPDATE profiles SET points_to = %s WHERE profile_id = %s", ada, bob)
    for named in ("user_id:bob", "email:bob%40example.com", f"profile_id:{bob}"):
        found = api.get(f"/v1/profiles/{named}")
        assert (found["profile_id"], found["absorbed"]) == (ada, [bob])
    assert len(api.pages("/v1/profiles/user_id:bob/events?limit=3")) == 4


@pytest.mark.parametrize(
    ("dead", "code"),
    [("hub", "shared_identifier"), ("blocked", "shared_identifier"), ("erased", "unknown_profile")],
)
def test_a_dead_identifier_has_no_profile(api: Api, dead: str, code: str) -> None:
    world = api.world
    world.put({**world.identify("ada"), "anonymousId": "tablet"})
    world.identify_all()
    api.join("ada", ("anonymous_id", "tablet"))
    api.kill("anonymous_id", "tablet", dead)
    answer = api.ask("/v1/profiles/anonymous_id:tablet")
    assert (answer.status, error(answer)) == (404, code)
    assert [one["kind"] for one in api.pages("/v1/profiles/user_id:ada/identifiers")] == ["user_id"]


def test_who_was_erased_has_no_profile_by_its_number_either(api: Api) -> None:
    """Nor one that was absorbed by it. While an identifier lives, the others say nothing."""
    world = api.world
    assert world.planned("ada") == 1
    world.put({**world.track("ada", DAY), "anonymousId": "c1"}, world.track("bob", DAY))
    world.identify_all()
    bob = merging.profile(world, "bob")
    merging.merge(world, "ada", "bob")
    number = merging.profile(world, "ada")
    assert api.pages(f"/v1/profiles/profile_id:{number}/messages") != []
    for value in ("ada", "bob", "ada@example.com"):
        api.kill("email" if "@" in value else "user_id", value, "erased")
    api.kill("anonymous_id", "bob", "erased")
    left = {part: api.get(f"/v1/profiles/profile_id:{number}{part}") for part in ALL_PARTS}
    assert left[""]["identifiers"] == 1
    assert left["/traits"]["traits"] == {}
    assert left["/messages"]["data"] == []
    assert "ada" not in json.dumps([left["/identifiers"], left["/messages"]])
    api.kill("anonymous_id", "c1", "erased")
    for one in (number, bob):
        for part in ALL_PARTS:
            answer = api.ask(f"/v1/profiles/profile_id:{one}{part}")
            assert (answer.status, error(answer)) == (404, "unknown_profile"), part


def test_what_became_a_hub_has_no_profile_by_its_number_either(api: Api) -> None:
    world = api.world
    world.put({"type": "page", "anonymousId": "tablet"})
    world.identify_all()
    number = merging.profile(world, "tablet")
    path = f"/v1/profiles/profile_id:{number}"
    assert api.get(path)["identifiers"] == 1
    world.put(*(world.track(f"u{n}", DAY, anonymousId="tablet") for n in range(12)))
    world.identify_all()
    for part in ALL_PARTS:
        answer = api.ask(f"{path}{part}")
        assert (answer.status, error(answer)) == (404, "unknown_profile"), part


def basic(user: str) -> str:
    return "Basic " + base64.b64encode(user.encode()).decode()


def test_a_token_reads_what_its_scopes_say(api: Api) -> None:
    api.world.people("ada")
    api.world.identify_all()
    narrow = api.made("dashboard", [Scope.SCORES, Scope.SEGMENTS])
    answers = {part: api.ask(f"/v1/profiles/user_id:ada{part}", narrow) for part in ALL_PARTS}
    assert {part for part, answer in answers.items() if answer.status == 200} == {
        "/segments", "/scores"
    }  # fmt: skip
    for answer in answers.values():
        assert answer.status == 200 or error(answer) == "missing_scope"
    whole = api.made("names", [Scope.PROFILES, Scope.SCORES])
    links = api.ask("/v1/profiles/user_id:ada", whole).json["links"]
    assert list(links) == ["scores"]
    # Nor does it learn from a refusal who is there.
    there, gone = (api.ask(f"/v1/profiles/user_id:{name}/traits", narrow) for name in ("ada", "x"))
    assert (there.status, there.body) == (gone.status, gone.body)


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Authorization": ""}, "missing_token"),
        ({"Authorization": "Bearer "}, "missing_token"),
        ({"Authorization": "Bearer hzr_nobody"}, "unknown_token"),
        ({"Authorization": f"Bearer {'x' * 10_000}"}, "unknown_token"),
        ({"Authorization": "Basic !!!"}, "missing_token"),
        ({"Authorization": basic("")}, "missing_token"),
        ({"Authorization": basic("hzr_nobody:")}, "unknown_token"),
        ({"Authorization": "Digest x"}, "missing_token"),
    ],
)
def test_without_a_token_nothing_is_read(api: Api, headers: Mapping[str, str], code: str) -> None:
    answer = api.ask("/v1/profiles/user_id:ada", **headers)
    assert (answer.status, error(answer)) == (401, code)
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_token_comes_as_bearer_or_as_the_user_of_basic(api: Api) -> None:
    api.world.people("ada")
    api.world.identify_all()
    for text in (
        f"Bearer {api.token}",
        f"bearer   {api.token}",
        basic(f"{api.token}:"),
        basic(api.token),
    ):
        assert api.ask("/v1/profiles/user_id:ada", Authorization=text).status == 200
    used = api.world.rows("SELECT last_used_at FROM read_tokens WHERE last_used_at IS NOT NULL")
    assert len(used) == 1


def test_a_revoked_and_an_expired_token_are_told_so(api: Api) -> None:
    old = api.made("old", [Scope.SCORES], expires_at=NOW - DAY)
    lost = api.made("lost", [Scope.SCORES])
    assert error(api.ask("/v1/profiles/user_id:x/scores", lost)) == "unknown_profile"
    with api.world.horizon.database.transaction(Role.WORKER) as tx:
        revoke_token(tx, "lost", now=NOW)
    for token, code in ((old, "expired_token"), (lost, "revoked_token")):
        answer = api.ask("/v1/profiles/user_id:x/scores", token)
        assert (answer.status, error(answer)) == (401, code)
    again = api.made("lost", [Scope.SCORES])
    assert error(api.ask("/v1/profiles/user_id:x/scores", again)) == "unknown_profile"
    for table in ("read_tokens", "audit"):
        assert lost not in repr(api.world.rows(f"SELECT * FROM {table}"))


@pytest.mark.parametrize("path", ["/v1/profiles/user_id:x", "/healthz", "/v1/openapi.json"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_it_is_only_read(api: Api, path: str, method: str) -> None:
    answer = api.ask(path, method=method)
    assert (answer.status, error(answer)) == (405, "wrong_method")
    assert answer.headers["allow"] == "GET, HEAD"


def test_it_serves_in_a_process_of_its_own(world: World, settings: Settings) -> None:
    world.people("a/b")
    world.identify_all()
    with world.horizon.database.transaction(Role.WORKER) as tx:
        token = add_token(tx, "all", list(Scope), now=NOW, expires_at=None)
    with ProfileApi(settings) as served:
        assert served.ask("GET", "/healthz").json == {"status": "ok"}
        assert served.ask("GET", "/readyz").json == {"status": "ready"}
        named = {"Authorization": f"Bearer {token}"}
        found = served.ask("GET", "/v1/profiles/user_id:a%2Fb", headers=named)
        assert found.json["user_id"] == "a/b"
        head = served.ask("HEAD", "/v1/profiles/user_id:a%2Fb", headers=named)
        assert (head.status, head.body) == (200, b"")
        assert head.headers["content-length"] == str(len(found.body))
        # A body that nobody asked for harms nobody, nor the next request of its connection.
        line = http.client.HTTPConnection("127.0.0.1", served.port, timeout=10)
        for _ in range(2):
            line.request("GET", "/v1/profiles/user_id:a%2Fb", b"x" * 100_000, named)
            answer = line.getresponse()
            assert json.loads(answer.read())["user_id"] == "a/b"
        line.close()


def test_an_answer_that_takes_too_long_is_refused_and_the_next_one_given(
    world: World, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody locks a table, as a migration does: whoever needs it is told to come again."""
    world.people("ada")
    world.identify_all()
    monkeypatch.setattr(readers, "OPTIONS", readers.OPTIONS.replace("=2000", "=200"))
    with Application(settings, make_app) as app:
        api = Api(world, app)
        with world.horizon.database.transaction(Role.OWNER) as tx:
            tx.execute("LOCK TABLE traits IN ACCESS EXCLUSIVE MODE")
            answer = api.ask("/v1/profiles/user_id:ada/traits")
            assert (answer.status, error(answer)) == (503, "too_slow")
            assert answer.headers["retry-after"] == "2"
            assert api.get("/v1/profiles/user_id:ada")["user_id"] == "ada"
        assert api.get("/v1/profiles/user_id:ada/traits")["traits"]["email"] == "ada@example.com"


def test_a_database_that_hangs_holds_up_nobody_for_long(
    world: World, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No time limit of the database's own helps where the whole server stands still."""
    world.people("ada")
    world.identify_all()
    monkeypatch.setattr(readers, "OPTIONS", readers.OPTIONS.replace("=2000", "=0"))
    monkeypatch.setattr(readers, "ANSWER_S", 0.3)
    monkeypatch.setattr(readers, "MOST_WAITING", 2)
    with Application(settings, make_app) as app:
        api = Api(world, app)
        path = "/v1/profiles/user_id:ada/traits"
        assert api.ask(path).status == 200
        with world.horizon.database.transaction(Role.OWNER) as tx:
            tx.execute("LOCK TABLE traits IN ACCESS EXCLUSIVE MODE")
            with ThreadPoolExecutor(8) as threads:
                answers = list(threads.map(lambda _: api.ask(path), range(8)))
        assert {answer.status for answer in answers} == {503}
        assert {error(answer) for answer in answers} == {"too_slow", "busy"}
        assert api.get(path)["traits"]["email"] == "ada@example.com"


def test_without_a_database_it_says_so_and_comes_back(api: Api) -> None:
    api.world.people("ada")
    api.world.identify_all()
    assert api.get("/v1/profiles/user_id:ada")["user_id"] == "ada"
    database = api.world.horizon.database
    with closing_connection(database.server()) as server:
        server.execute(f"ALTER DATABASE {database.name} ALLOW_CONNECTIONS false")
        try:
            database.disconnect(server)
            for path in ("/v1/profiles/user_id:ada", "/readyz"):
                answer = api.ask(path)
                assert (answer.status, error(answer)) == (503, "unavailable")
                assert "retry-after" in answer.headers
            assert api.ask("/healthz").status == 200
        finally:
            server.execute(f"ALTER DATABASE {database.name} ALLOW_CONNECTIONS true")
    wait_until(lambda: api.ask("/v1/profiles/user_id:ada").status == 200)


def test_each_question_finds_its_rows_by_an_index(world: World) -> None:
    """Also where a day's partition was empty when the plan was made, and whatever their number."""
    queries = Queries("horizon.api")
    with closing_connection(
        world.horizon.database.connect(Role.READER, options=readers.OPTIONS)
    ) as tx:
        world.change("SELECT ensure_partitions('2026-05-01', '2026-06-15')")
        values = {
            "profile_id": 1, "node": node_of(bytes(32), "user_id", "x"), "time": NOW, "id": uuid4(),
            "limit": 10, "most": 11, "most_bytes": 10, "include": None, "exclude": None,
            "types": None, "after": "", "received_from": NOW - DAY, "time_from": NOW - DAY,
        }  # fmt: skip
        for name in (
            "find_node",
            "find_profile",
            "profile",
            "traits",
            "identifiers",
            "events",
            "messages",
        ):
            for events in ("first_node_events", "profile_events"):
                text = queries[name].replace("{events}", events)
                plan = "\n".join(row[0] for row in tx.execute("EXPLAIN " + text, values))
                for table in ("events", "nodes", "traits", "messages", "profiles"):
                    assert f"Seq Scan on {table}" not in plan, (name, plan)
            if name == "events":  # of 46 days those that can hold one
                assert "events_20260614" in plan
                assert "events_20260501" not in plan
