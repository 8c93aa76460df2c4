"""What a signed token or hash proves, and what it does not."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from horizon.events import proof
from horizon.events.kinds import BUILT_IN, Kinds, kinds_of
from horizon.events.model import Event, Rejected, Source, read_message
from horizon.events.nodes import node_of
from horizon.events.proof import NO_PROOF, Voucher, prove
from horizon.events.rejection import refused, storable_body

KEY = bytes(32)
NOW = datetime(2026, 11, 3, 12, tzinfo=UTC)
SECRET, OLD = "s" * 64, "o" * 64
SITE = Source(8, "site", "public", secrets=(SECRET, OLD))
USER_ID = kinds_of("", "user_id")


def token(secret: str = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    said = {"sub": "ann", "exp": int((NOW + timedelta(hours=1)).timestamp()), **claims}
    return jwt.encode(
        {name: value for name, value in said.items() if value is not None}, secret, algorithm
    )


def hashed(user_id: str, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), user_id.encode(), hashlib.sha256).hexdigest()


def read(
    context: dict[str, Any], source: Source = SITE, kinds: Kinds = USER_ID, **more: Any
) -> Event:
    item = {
        "type": "identify", "messageId": "m", "userId": "ann", "anonymousId": "a1", "context": context, **more,
    }  # fmt: skip
    return read_message(item, source=source, received_at=NOW, node_key=KEY, kinds=kinds)


def named(event: Event) -> list[tuple[str, str]]:
    if event.identifiers is None:
        found = [("user_id", event.user_id), ("anonymous_id", event.anonymous_id)]
    else:
        found = [(kind, value) for kind, value in json.loads(event.identifiers)]
    assert event.nodes == [node_of(KEY, kind, value or "") for kind, value in found]
    return [(kind, value) for kind, value in found if value]


def trouble(voucher: Voucher, user_id: str = "ann") -> str | None:
    found = prove(voucher, user_id, (SECRET, OLD), NOW)
    assert bool(found.trouble) != bool(found.identifiers)
    return found.trouble


@pytest.mark.parametrize("secret", [SECRET, OLD])
def test_a_token_makes_its_user_a_node(secret: str) -> None:
    event = read({"identityToken": token(secret), "x": 1})
    assert named(event) == [("user_id", "ann"), ("anonymous_id", "a1")]
    assert event.identifiers is None
    assert event.context == '{"x":1}'
    assert event.trusted is False


@pytest.mark.parametrize("secret", [SECRET, OLD])
def test_a_hash_does_too(secret: str) -> None:
    event = read({"userHash": hashed("ann", secret).upper()})
    assert named(event) == [("user_id", "ann"), ("anonymous_id", "a1")]
    assert event.context == "{}"


def test_its_address_and_number_are_nodes_and_nothing_else() -> None:
    signed = token(email="Ann@Example.com", phone="+49 30 1234567", crm="7")
    event = read(
        {"identityToken": signed, "consent": {"categoryPreferences": {"marketing.email": True}}},
        traits={"email": "eve@example.com", "phone": "+1 555 0100 100"},
    )
    assert named(event) == [
        ("user_id", "ann"), ("email", "Ann@Example.com"), ("phone", "+49 30 1234567"), ("anonymous_id", "a1"),
    ]  # fmt: skip
    assert (event.email, event.consent, event.trusted) == (None, None, False)
    assert len(named(read({"identityToken": token(email="nobody", phone=5, aud="x")}))) == 2


def test_a_users_number_is_its_text() -> None:
    assert read({"identityToken": token(sub=12)}, userId=12.0).nodes[0] == node_of(
        KEY, "user_id", "12"
    )


@pytest.mark.parametrize(
    ("context", "why"),
    [
        ({"identityToken": token("x" * 64)}, "bad_signature"),
        ({"identityToken": token(algorithm="HS512")}, "malformed"),
        ({"identityToken": jwt.encode({"sub": "ann", "exp": 9e9}, None, "none")}, "malformed"),
        ({"identityToken": token(exp=None)}, "no_expiry"),
        ({"identityToken": token(exp=True)}, "no_expiry"),
        ({"identityToken": token(exp=NOW.timestamp() - 61)}, "expired"),
        ({"identityToken": token(exp=float("nan"))}, "expired"),
        ({"identityToken": token(nbf=NOW.timestamp() + 61)}, "not_yet_valid"),
        ({"identityToken": token(nbf="soon")}, "not_yet_valid"),
        ({"identityToken": token(sub="eve")}, "other_user"),
        ({"identityToken": token(sub=None)}, "other_user"),
        ({"identityToken": token(sub=["ann"])}, "other_user"),
        ({"identityToken": ""}, "malformed"),
        ({"identityToken": "a.b.c"}, "malformed"),
        ({"identityToken": {"sub": "ann"}}, "malformed"),
        ({"identityToken": "x" * 5000}, "malformed"),
        ({"userHash": hashed("eve")}, "bad_signature"),
        ({"userHash": hashed("ann", "x" * 64)}, "bad_signature"),
        ({"userHash": "ä" * 64}, "malformed"),
        ({"userHash": 5}, "malformed"),
        ({"identityToken": token("x" * 64), "userHash": hashed("ann")}, "bad_signature"),
    ],
)  # fmt: skip
def test_what_does_not_hold_is_as_good_as_none(context: dict[str, Any], why: str) -> None:
    event = read(context)
    assert named(event) == [("anonymous_id", "a1")]
    assert event.user_id == "ann"
    assert event.context == f'{{"identityError":"{why}"}}'
    believed = read({**context, "x": 1}, kinds=BUILT_IN)  # nothing is verified_only
    assert named(believed) == [("user_id", "ann"), ("anonymous_id", "a1")]
    assert json.loads(believed.context or "") == {"identityError": why, "x": 1}


def test_clocks_may_differ_by_a_minute() -> None:
    assert trouble(Voucher(token(exp=NOW.timestamp() - 59))) is None
    assert trouble(Voucher(token(nbf=NOW.timestamp() + 59))) is None


def test_a_source_without_a_secret_proves_nothing() -> None:
    event = read({"identityToken": token()}, Source(8, "site", "public"))
    assert event.context == '{"identityError":"no_secret"}'
    assert named(event) == [("anonymous_id", "a1")]


def test_a_server_source_needs_no_token_and_keeps_none() -> None:
    event = read({"identityToken": token("x" * 64), "userHash": 5}, Source(7, "shop", "server"))
    assert (event.context, len(event.nodes)) == ("{}", 2)


def test_a_batchs_token_says_nothing_of_what_was_before_the_sign_in() -> None:
    event = read_message(
        {"type": "page", "anonymousId": "a1"}, source=SITE, received_at=NOW, node_key=KEY, kinds=USER_ID,
        context=json.dumps({"identityToken": token()}).encode(),
    )  # fmt: skip
    assert (event.context, event.nodes) == ("{}", [node_of(KEY, "anonymous_id", "a1")])
    assert prove(Voucher(token()), None, (SECRET,), NOW) == NO_PROOF


def test_a_token_is_for_its_user_and_not_for_who_that_was() -> None:
    event = read({"identityToken": token()}, type="alias", previousId="victim", anonymousId=None)
    assert event.identifiers == '[["user_id","ann"],["anonymous_id","victim"]]'


def test_without_a_token_an_event_of_a_user_alone_is_refused() -> None:
    with pytest.raises(Rejected) as caught:
        read({"identityToken": token(sub="eve")}, anonymousId=None)
    assert caught.value.code == "unverified_id"
    assert len(read({"identityToken": token()}, anonymousId=None).nodes) == 1


def test_nobody_can_say_our_word() -> None:
    assert read({"identityError": "x", "identityToken": token()}).context == "{}"


def test_no_token_is_kept_of_what_is_refused() -> None:
    body = b'{"a":1,"context":{"identityToken" : "ey.J\\"x","userHash":"abc","x":"y"}}'
    kept = storable_body(body)
    assert (
        kept == '{"a":1,"context":{"identityToken" : "[removed]","userHash":"[removed]","x":"y"}}'
    )
    reason = Rejected("x", "X.")
    assert (
        refused(1, NOW, 0, reason, b"{}", context=b'{"userHash":"abc').context
        == '{"userHash":"[removed]"'
    )
    assert "secret" not in repr(Source(1, "a", "public", secrets=("secret",)))


def test_a_signature_is_checked_once_a_token() -> None:
    proof._claims.cache_clear()
    again = token(jti="once")
    for _ in range(5):
        read({"identityToken": again})
    assert proof._claims.cache_info().misses == 1


VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.lists(st.text(), max_size=2)
)
CLAIMS = st.dictionaries(
    st.sampled_from(["sub", "exp", "nbf", "email", "phone", "iat", "aud"]), VALUES
)


@settings(max_examples=300, deadline=None)
@given(
    claims=CLAIMS, raw=VALUES | st.text(".ey0Ab=-_"), user_hash=VALUES, user_id=st.text(min_size=1)
)
def test_nothing_but_a_signature_proves_anything(
    claims: dict[str, Any], raw: Any, user_hash: Any, user_id: str
) -> None:
    assert not prove(Voucher(raw, user_hash), user_id, (SECRET,), NOW).identifiers
    signed = jwt.api_jws.encode(json.dumps(claims).encode(), SECRET, "HS256")
    found = prove(Voucher(signed), user_id, (SECRET,), NOW)
    assert not found.identifiers or found.identifiers[0] == ("user_id", user_id)
    forged = jwt.api_jws.encode(
        json.dumps({"sub": user_id, "exp": 9e9}).encode(), "x" * 64, "HS256"
    )
    assert prove(Voucher(forged), user_id, (SECRET,), NOW).trouble == "bad_signature"
