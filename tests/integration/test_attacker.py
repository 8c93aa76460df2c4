"""Somebody with a public write key, which anybody can read, against a person they know all about."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import jwt
import pytest

from horizon import clock
from horizon.events.nodes import node_of
from horizon.events.secrets import new_secret
from horizon.events.sources import add_source, find_source
from horizon.postgres.database import Role
from tests.servers.collector import Application
from tests.world import DAY, World

VICTIM, EMAIL, PHONE = "victim", "victim@example.com", "+49 30 1234567"
NAMES = [("user_id", VICTIM), ("email", EMAIL), ("phone", PHONE)]
LOUD = {"consent": {"categoryPreferences": {"marketing.email": True, "marketing.sms": False}}}
MINE = {"anonymousId": "evil"}
LATER = 4_000_000_000


def external(**ids: object) -> dict[str, Any]:
    return {
        "externalIds": [
            {"id": value, "type": kind, "collection": "users"} for kind, value in ids.items()
        ]
    }


def forged(**claims: object) -> str:
    return jwt.encode({"sub": VICTIM, "exp": LATER, **claims}, "x" * 64, "HS256")


POISON = {"email": EMAIL, "phone": PHONE, "first_name": "Mallory", "plan": "free"}
ALL_OF_IT = external(user_id=VICTIM, User_ID=VICTIM, email=EMAIL, Phone=PHONE, EMAIL=EMAIL.upper())
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("identify", {**MINE, "userId": VICTIM, "traits": POISON, "context": LOUD}),
    ("identify", {**MINE, "userId": f" {VICTIM} ", "context": {"traits": POISON, **LOUD}}),
    ("identify", {**MINE, "traits": POISON, "context": {**ALL_OF_IT, **LOUD}}),
    ("identify", {**MINE, "userId": "mallory", "traits": POISON, "context": ALL_OF_IT}),
    ("identify", {**MINE, "userId": None, "traits": {"userId": VICTIM, "user_id": VICTIM}}),
    ("alias", {**MINE, "userId": VICTIM, "previousId": "evil"}),
    ("alias", {**MINE, "userId": "mallory", "previousId": VICTIM}),
    ("alias", {**MINE, "previousId": VICTIM}),
    ("alias", {**MINE, "previousId": EMAIL}),
    ("group", {**MINE, "userId": VICTIM, "groupId": VICTIM, "traits": POISON, "context": {**ALL_OF_IT, **LOUD}}),
    ("track", {**MINE, "userId": VICTIM, "event": "Order Completed", "properties": {"email": EMAIL}}),
    ("track", {**MINE, "event": "Seen", "context": {**ALL_OF_IT, "device": {"id": VICTIM, "advertisingId": EMAIL}}}),
    ("track", {**MINE, "event": "Seen", "nodes": [VICTIM], "identifiers": [["user_id", VICTIM]], "trusted": True}),
    ("page", {**MINE, "userId": VICTIM, "context": {"identityToken": forged(email=EMAIL, phone=PHONE)}}),
    ("page", {**MINE, "userId": VICTIM, "context": {"identityToken": jwt.encode({"sub": VICTIM, "exp": LATER}, None, "none")}}),
    ("page", {**MINE, "userId": VICTIM, "context": {"userHash": hashlib.sha256(VICTIM.encode()).hexdigest()}}),
    ("screen", {**MINE, "userId": VICTIM, "context": {"identityToken": {"sub": VICTIM}, "userHash": [VICTIM]}}),
]  # fmt: skip
NAMED_ALONE: list[tuple[str, dict[str, Any]]] = [
    ("track", {"userId": VICTIM, "event": "Order Completed"}),
    ("page", {"userId": VICTIM, "anonymousId": "null", "context": {"identityToken": forged()}}),
    ("alias", {"userId": VICTIM, "previousId": "evil"}),
    ("identify", {"userId": VICTIM, "traits": POISON, "context": {**ALL_OF_IT, **LOUD}}),
    ("group", {"userId": VICTIM, "groupId": "g", "traits": POISON}),
]  # fmt: skip


class Site:
    """A shop whose pages carry a public key, with one customer in whom somebody takes an interest."""

    def __init__(self, world: World, app: Application) -> None:
        self.world = world
        self.app = app
        self.nodes = [node_of(world.horizon.keys.node, kind, value) for kind, value in NAMES]
        world.put(
            {**world.identify(VICTIM, 9 * DAY, email=EMAIL, consent=False, first_name="Vic", phone=PHONE)},
            world.track(VICTIM, 8 * DAY),
        )  # fmt: skip
        with world.horizon.database.transaction(Role.WORKER) as tx:
            self.key = add_source(tx, "site", "public")
            source = find_source(tx, "site")
            assert source
            self.secret, _ = new_secret(
                tx,
                source.source_id,
                world.horizon.keys.link,
                now=clock.now(),
                old_until=clock.now(),
            )

    def send(self, call: str, item: dict[str, Any], key: str = "") -> list[str]:
        """The codes of what was rejected."""
        answer = self.app.post(f"/v1/{call}", item, key or self.key)
        assert answer.status == 200
        return [one["code"] for one in answer.json["rejected"]]

    def known(self) -> dict[str, Any]:
        """All that is said of the victim, by the map and by node."""
        self.world.now = clock.now() + timedelta(seconds=1)
        self.world.identify_all()
        ours = [self.nodes]
        profiles = "(SELECT profile_id FROM nodes WHERE node = ANY(%s))"
        return {
            "map": self.rows(f"SELECT node, kind, value, dead FROM nodes WHERE profile_id IN {profiles}", ours),
            "evidence": self.rows("SELECT weak, strong, how FROM edges WHERE weak = ANY(%s) OR strong = ANY(%s)", ours * 2),
            "events": self.rows("SELECT event_id FROM events WHERE nodes && %s::uuid[]", ours),
            "activity": self.rows(
                f"SELECT event_id FROM events JOIN nodes ON node = nodes[1] WHERE activity AND profile_id IN {profiles}", ours),
            "traits": self.rows(
                f"SELECT name, traits.value, value_node, trusted FROM traits JOIN nodes USING (node) WHERE profile_id IN {profiles}", ours),
            "consents": self.rows(
                "SELECT purpose, channel, granted FROM consents WHERE node = ANY(%s) OR address_hash = ANY(%s)", ours * 2),
            "groups": self.rows("SELECT group_id FROM memberships WHERE node = ANY(%s)", ours),
            "user": self.rows("SELECT user_id, email, first_name FROM users WHERE user_id = 'victim'", []),
        }  # fmt: skip

    def rows(self, query: str, parameters: list[list[UUID]]) -> list[str]:
        return sorted(str(tuple(row)) for row in self.world.rows(query, *parameters))


@pytest.fixture
def world_here(here: World) -> World:
    here.now = clock.now()
    return here


@pytest.fixture
def guarded(world_here: World) -> Iterator[Site]:
    """user_id is verified_only."""
    with Application(world_here.horizon.settings.changed(VERIFIED_ONLY="user_id")) as app:
        yield Site(world_here, app)


@pytest.fixture
def plain(world_here: World) -> Iterator[Site]:
    with Application(world_here.horizon.settings) as app:
        yield Site(world_here, app)


def test_a_public_key_leaves_no_trace_on_whom_it_may_not_name(guarded: Site) -> None:
    before = guarded.known()
    assert before["user"] == ["('victim', 'victim@example.com', 'Vic')"]
    assert len(before["events"]) == 2
    for call, item in CALLS:
        assert guarded.send(call, item) == []
    batch = [
        {"type": call, "messageId": f"b{number}", **item}
        for number, (call, item) in enumerate(CALLS)
    ]
    context = {**ALL_OF_IT, **LOUD, "identityToken": guarded_token(guarded.secret, sub="mallory")}
    assert (
        guarded.app.post(
            "/v1/batch", {"writeKey": guarded.key, "batch": batch, "context": context}
        ).status
        == 200
    )
    assert guarded.known() == before
    claimed = guarded.world.rows(
        "SELECT count(*) AS n FROM events WHERE user_id = 'victim' AND NOT trusted"
    )
    assert claimed[0].n > 10  # they are kept as they came, and believed in nothing


def test_what_names_nobody_else_is_refused_with_what_to_do(guarded: Site) -> None:
    before = guarded.known()
    for call, item in NAMED_ALONE:
        assert guarded.send(call, item) == ["unverified_id"]
    data = base64.urlsafe_b64encode(
        json.dumps({**NAMED_ALONE[0][1], "writeKey": guarded.key}).encode()
    ).decode()
    assert (
        guarded.app.ask("GET", f"/v1/pixel/track?data={data}").json["rejected"][0]["code"]
        == "unverified_id"
    )
    assert guarded.known() == before
    bodies = guarded.world.rows("SELECT body FROM rejected_events WHERE code = 'unverified_id'")
    assert len(bodies) == len(NAMED_ALONE) + 1
    assert forged() not in repr(bodies)


def guarded_token(secret: str, **claims: object) -> str:
    return jwt.encode({"exp": time.time() + 600, **claims}, secret, "HS256")


def test_somebody_elses_or_an_old_token_proves_nothing(guarded: Site) -> None:
    before = guarded.known()
    for claims in (
        {"sub": "mallory"},
        {"sub": VICTIM, "exp": time.time() - 600},
        {"sub": f"{VICTIM}x"},
    ):
        token = guarded_token(guarded.secret, **claims)
        assert (
            guarded.send(
                "identify",
                {**MINE, "userId": VICTIM, "traits": POISON, "context": {"identityToken": token}},
            )
            == []
        )
    mine = {"identityToken": guarded_token(guarded.secret, sub="mallory")}
    assert guarded.send("alias", {"userId": "mallory", "previousId": VICTIM, "context": mine}) == []
    assert guarded.known() == before


@pytest.mark.parametrize("by_hash", [True, False])
def test_the_victim_signed_in_is_known_and_still_grants_nothing(
    guarded: Site, by_hash: bool
) -> None:
    """That the other tests can fail."""
    before = guarded.known()
    digest = hmac.new(guarded.secret.encode(), VICTIM.encode(), hashlib.sha256).hexdigest()
    proof = (
        {"userHash": digest}
        if by_hash
        else {"identityToken": guarded_token(guarded.secret, sub=VICTIM)}
    )
    grant = {"consent": {"categoryPreferences": {"marketing.email": True}}}
    assert guarded.send("track", {"userId": VICTIM, "event": "Seen", "context": proof}) == []
    traits = {"plan": "gold", "email": "new@example.com"}
    assert (
        guarded.send(
            "identify", {"userId": VICTIM, "traits": traits, "context": {**proof, **grant}}
        )
        == []
    )
    after = guarded.known()
    assert len(after["events"]) == len(before["events"]) + 2
    assert len(after["activity"]) == len(before["activity"]) + 1
    assert (after["consents"], after["user"]) == (before["consents"], before["user"])
    assert len(after["traits"]) == len(before["traits"]) + 1
    assert after["map"] == before["map"]
    kept = repr(guarded.world.rows("SELECT context FROM events"))
    assert digest not in kept
    assert "identityToken" not in kept


def test_where_nothing_is_verified_only_addresses_and_consent_are_safe_all_the_same(
    plain: Site,
) -> None:
    before = plain.known()
    for call, item in [*CALLS, *NAMED_ALONE]:
        assert plain.send(call, item) == []
    after = plain.known()
    for name, value in NAMES[1:]:
        claimed = plain.world.rows(
            "SELECT FROM events WHERE NOT trusted AND nodes && ARRAY[%s]::uuid[]",
            node_of(plain.world.horizon.keys.node, name, value),
        )
        assert claimed == []
    assert after["user"][0].startswith("('victim', 'victim@example.com'")
    assert [row for row in after["consents"] if "True" in row] == []
    addresses = [row for row in after["traits"] if row.startswith(("('email'", "('phone'"))]
    assert addresses == [
        row for row in before["traits"] if row.startswith(("('email'", "('phone'"))
    ]


def test_a_clock_that_is_ahead_does_not_beat_the_server(world: World) -> None:
    """A browser's word of tomorrow, and then the server's of today; and the other way round."""
    ahead = {**MINE, "userId": VICTIM, "timestamp": (world.now + timedelta(hours=20)).isoformat()}
    traits = {"first_name": "Mallory", "plan": "free"}
    no = {"consent": {"categoryPreferences": {"marketing.email": False}}}
    world.put(
        {**ahead, "type": "identify", "traits": traits, "context": no},
        {**ahead, "type": "group", "groupId": "g", "traits": {"name": "Mallory's"}},
        kind="public", received_at=world.now - timedelta(hours=1),
    )  # fmt: skip
    world.identify_all()
    yes = world.identify(VICTIM, 0 * DAY, email=EMAIL, consent=True, first_name="Vic", plan="gold")
    world.put(yes)
    world.identify_all()
    rows = world.rows("SELECT name, value FROM profile_traits")
    assert {row.name: row.value for row in rows} == {
        "first_name": "Vic", "plan": "gold", "email": EMAIL,
    }  # fmt: skip
    times = "SELECT time FROM consents UNION SELECT last_at FROM memberships UNION SELECT time FROM group_traits"
    assert max(row.time for row in world.rows(times)) == world.now
    [last] = world.rows("SELECT granted FROM consents ORDER BY time DESC, granted LIMIT 1")
    assert last.granted


def test_sql_itself_lets_no_untrusted_event_grant(world: World) -> None:
    """The reader leaves such an answer out; here it stands in the row all the same."""
    both = '{"marketing.email": true, "marketing.sms": false}'
    item = world.identify(VICTIM, DAY)
    world.put(item, kind="public")
    world.change("UPDATE events SET consent = %s, traits = %s", both, json.dumps(POISON))
    world.identify_all()
    rows = world.rows("SELECT channel, granted FROM consents")
    assert [tuple(row) for row in rows] == [("sms", False)]
    names = [row.name for row in world.rows("SELECT name FROM traits ORDER BY 1")]
    assert names == ["first_name", "plan"]
