"""How a message becomes an event, or is refused with a reason."""

from __future__ import annotations

import json
import math
import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from horizon.events.json_text import MAX_DEPTH, without_lone_surrogates, without_no_numbers
from horizon.events.message import EVENT_BYTES, ID_LENGTH, MESSAGE_ID_LENGTH
from horizon.events.model import Event, Rejected, Source, internal_event, read_message
from horizon.events.nodes import node_of

KEY = bytes(32)
NOW = datetime(2026, 11, 3, 12, tzinfo=UTC)
SERVER = Source(7, "shop", "server")
PUBLIC = Source(8, "site", "public")
GOOD: dict[str, Any] = {
    "type": "track", "messageId": "m-1", "userId": "u1", "event": "Order Completed",
    "timestamp": "2026-11-03T11:00:00Z", "properties": {"total": 12.5},
}  # fmt: skip


def read(item: Any = None, source: Source = SERVER, **changes: Any) -> Event:
    """Read the good message with these changes; a value of None takes its field away."""
    merged = {**GOOD, **changes} if item is None else item
    if isinstance(merged, dict):
        merged = {name: value for name, value in merged.items() if value is not None}
        merged = json.dumps(merged).encode()  # as an SDK would
    return read_message(merged, source=source, received_at=NOW, node_key=KEY)


def refused(item: Any = None, source: Source = SERVER, **changes: Any) -> str:
    with pytest.raises(Rejected) as caught:
        read(item, source, **changes)
    assert caught.value.message.endswith((".", "`", "}"))
    return caught.value.code


def test_a_track_call() -> None:
    event = read()
    assert (event.source_id, event.message_id, event.type, event.name) == (
        7, "m-1", "track", "Order Completed",
    )  # fmt: skip
    assert (event.user_id, event.anonymous_id, event.email) == ("u1", None, None)
    assert event.nodes == [node_of(KEY, "user_id", "u1")]
    assert event.time == event.original_timestamp == NOW - timedelta(hours=1)
    assert (event.received_at, event.time_flag) == (NOW, None)
    assert (event.trusted, event.activity) == (True, True)
    assert event.properties == '{"total": 12.5}'
    assert (event.traits, event.context, event.consent) == (None, None, None)


def test_a_mapping_and_its_json_are_the_same_message() -> None:
    assert read_message(GOOD, source=SERVER, received_at=NOW, node_key=KEY) == read_message(
        json.dumps(GOOD, separators=(",", ":")).encode(),
        source=SERVER, received_at=NOW, node_key=KEY,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "call", "activity"),
    [
        ("server", "track", True),
        ("public", "page", True),
        ("file", "screen", True),
        ("server", "identify", False),
        ("server", "group", False),
        ("server", "alias", False),
        ("internal", "track", False),
    ],
)
def test_activity_is_what_the_person_caused(kind: Any, call: str, activity: bool) -> None:
    assert read(source=Source(1, "s", kind), type=call).activity is activity


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"type": None}, "invalid_type"),
        ({"type": "buy"}, "invalid_type"),
        ({"type": 5}, "invalid_event"),
        ({"userId": None}, "no_user_anon_id"),
        ({"userId": "  ", "anonymousId": ""}, "no_user_anon_id"),
        ({"userId": "a\0b"}, "invalid_id"),
        ({"userId": "x" * (ID_LENGTH + 1)}, "invalid_id"),
        ({"userId": True}, "invalid_event"),
        ({"userId": ["u1"]}, "invalid_event"),
        ({"userId": "\ud800"}, "invalid_event"),
        ({"userId": "null"}, "blocked_id"),
        ({"userId": 0, "anonymousId": "-1"}, "blocked_id"),
        ({"groupId": "\0"}, "invalid_id"),
        ({"event": None}, "no_event_name"),
        ({"event": " "}, "no_event_name"),
        ({"event": "a\0"}, "invalid_name"),
        ({"event": {}}, "invalid_event"),
        ({"messageId": "x" * (MESSAGE_ID_LENGTH + 1)}, "invalid_message_id"),
        ({"messageId": "a\0"}, "invalid_message_id"),
        ({"messageId": 5}, "invalid_event"),
        ({"properties": ["a"]}, "invalid_event"),
        ({"properties": {"a": "x" * EVENT_BYTES}}, "event_too_large"),
        ({"type": "identify", "traits": "blue"}, "invalid_event"),
        ({"context": 3}, "invalid_event"),
    ],
)
def test_a_bad_message_is_refused_with_its_reason(changes: dict[str, Any], code: str) -> None:
    assert refused(**changes) == code


@pytest.mark.parametrize(
    "item",
    [b"", b"{", b"[]", b"null", b"5", b'{"userId":"\xff"}', b"\xef\xbb\xbf{}", b"{}x",
     b'{"userId":1,"type":"page","properties":{"a":"\xff"}}', b"[" * 20_000],
)  # fmt: skip
def test_what_is_no_message_is_refused(item: bytes) -> None:
    assert refused(item) in ("invalid_event", "nested_too_deep")


@pytest.mark.parametrize(
    ("value", "text"),
    [(12, "12"), (12.0, "12"), (1.5, "1.5"), (2**70, str(2**70)), (" a b ", "a b")],
)
def test_identifiers_are_text(value: Any, text: str) -> None:
    assert read(userId=value).user_id == text
    assert read(userId=None, anonymousId=value).anonymous_id == text


def test_a_missing_message_id_is_made() -> None:
    first, second = read(messageId=None), read(messageId=" ")
    assert first.message_id != second.message_id
    assert first.event_id != second.event_id


@pytest.mark.parametrize("timestamp", ["yesterday", 5, {}, "0001-01-01T00:00:00+14:00"])
def test_an_unreadable_time_is_the_receipts(timestamp: object) -> None:
    event = read(timestamp=timestamp)
    assert (event.original_timestamp, event.time, event.time_flag) == (None, NOW, "unreadable")


def test_a_missing_time_is_the_receipts_without_a_flag() -> None:
    event = read(timestamp=None)
    assert (event.original_timestamp, event.time, event.time_flag) == (None, NOW, None)


def test_the_time_as_rudderstack_names_it() -> None:
    before = "2026-11-03T10:00:00Z"
    event = read(timestamp=None, originalTimestamp=before)
    assert event.time == event.original_timestamp == NOW - timedelta(hours=2)
    assert read(originalTimestamp=before).time == NOW - timedelta(hours=1)


def test_where_a_sender_wants_its_event_stays_in_the_context() -> None:
    some = {"All": False, "Mixpanel": True, "Amplitude": {"session_id": 7}}
    assert json.loads(read(integrations=some).context or "") == {"integrations": some}
    both = json.loads(read(integrations=some, context={"a": 1}).context or "")
    assert both == {"a": 1, "integrations": some}
    of_a_page = {"Segment.io": {"deliveryStrategy": {"strategy": "batching"}}}
    for everywhere in ({}, {"All": True}, {"All": True, "Mixpanel": True}, of_a_page, None):
        assert read(integrations=everywhere).context is None
        assert json.loads(read(integrations=everywhere, context={"a": 1}).context or "") == {"a": 1}
    for nonsense in ([], "x", 5, True):
        assert "integrations" not in (read(integrations=nonsense).context or "")


def test_an_identify_call_may_have_its_traits_in_the_context_alone() -> None:
    ann = {"email": "Ann@Example.com"}
    for traits in (None, {}):
        event = read(type="identify", traits=traits, context={"traits": ann})
        assert (json.loads(event.traits or "{}"), event.email) == (ann, ann["email"])
    assert read(type="identify", traits={"a": 1}, context={"traits": ann}).email is None
    public = read(type="identify", context={"traits": ann}, source=PUBLIC)
    assert (json.loads(public.traits or "{}"), public.email) == (ann, None)
    assert read(type="identify", context={"traits": "x"}).traits is None
    for call in ("track", "group"):
        assert read(type=call, context={"traits": ann}, groupId="g").traits is None


def test_the_events_own_sent_at_counts_where_the_batch_has_none() -> None:
    assert read(sentAt="2026-11-03T11:30:00Z").time == NOW - timedelta(minutes=30)


def test_nodes_are_strongest_first() -> None:
    event = read(type="identify", anonymousId="a1", traits={"email": " Ann@Example.com "})
    assert event.email == "Ann@Example.com"
    assert event.nodes == [
        node_of(KEY, "user_id", "u1"),
        node_of(KEY, "email", "ann@example.com"),
        node_of(KEY, "anonymous_id", "a1"),
    ]


def test_a_blocked_id_stays_in_its_column_and_is_no_node() -> None:
    event = read(userId="undefined", anonymousId="a1")
    assert (event.user_id, event.anonymous_id) == ("undefined", "a1")
    assert event.nodes == [node_of(KEY, "anonymous_id", "a1")]
    named = {"type": "identify", "traits": {"email": "ann@example.com"}}
    assert read(userId="0", **named).nodes == [node_of(KEY, "email", "ann@example.com")]


def test_a_public_source_asserts_no_address() -> None:
    event = read(source=PUBLIC, type="identify", traits={"email": "ann@example.com"})
    assert event.email is None
    assert event.nodes == [node_of(KEY, "user_id", "u1")]
    assert event.traits == '{"email":"ann@example.com"}'
    assert event.trusted is False


@pytest.mark.parametrize("email", ["", "ann", "a b@c.de", "a@b@c", 5, None, ["a@b.c"], "a@b\nc"])
def test_what_is_no_address_stays_a_trait(email: object) -> None:
    event = read(type="identify", traits={"email": email})
    assert event.email is None
    assert len(event.nodes) == 1
    assert json.loads(event.traits or "") == {"email": email}


def test_only_identify_and_group_have_traits() -> None:
    assert read(traits={"a": 1}).traits is None
    assert read(type="group", groupId=5, traits={"a": 1}).traits == '{"a":1}'


def test_a_pages_category_joins_its_properties() -> None:
    page = {"type": "page", "name": "Home", "category": 'C"'}
    assert read(**page).properties == '{"category":"C\\"","total": 12.5}'
    assert read(**page, properties={}).properties == '{"category":"C\\""}'
    assert read(**page, properties=None).properties == '{"category":"C\\""}'
    own = read(**page, properties={"category": "own"}).properties
    assert json.loads(own or "") == {"category": "own"}


def test_what_jsonb_refuses_is_mended() -> None:
    raw = rb"""{"type":"identify","userId":"u","traits":{"a\u0000":"b\u0000","e":"\ud83d\ude00",
        "n":1e999,"i":123456789012345678901234567890,"l":[1,"\u0000"]}}"""
    traits = json.loads(read(raw).traits or "")
    assert traits == {
        "a\ufffd": "b\ufffd", "e": "😀", "n": None, "i": 123456789012345678901234567890,
        "l": [1, "\ufffd"],
    }  # fmt: skip


def test_deep_traits_are_refused_and_deep_properties_kept() -> None:
    def nested(depth: int) -> Any:
        return {"a": nested(depth - 1)} if depth > 1 else {}

    assert read(type="identify", traits=nested(MAX_DEPTH)).traits
    assert refused(type="identify", traits=nested(MAX_DEPTH + 1)) == "nested_too_deep"
    assert refused(context=nested(MAX_DEPTH + 1)) == "nested_too_deep"
    assert read(properties=nested(MAX_DEPTH + 1)).properties


@pytest.mark.parametrize(
    ("ip", "kept"),
    [
        ("203.0.113.77", "203.0.113.0"),
        ("2001:db8:1:2:3::4", "2001:db8:1::"),
        ("::ffff:203.0.113.77", "203.0.113.0"),
        ("fe80::1%eth0", "fe80::"),
        ("nonsense", None),
        (5, None),
        (["203.0.113.77"], None),
    ],
)
def test_the_clients_address_is_shortened(ip: object, kept: str | None) -> None:
    context = json.loads(read(context={"ip": ip, "x": 1}).context or "")
    assert context == ({"ip": kept, "x": 1} if kept else {"x": 1})


def test_consent_is_boolean_by_purpose_and_channel() -> None:
    preferences = {
        "marketing.email": True, "marketing.sms": False, "news.email": "yes", "marketing": True,
        "a.b.c": True, "bad name.email": True,
    }  # fmt: skip
    context = {"consent": {"categoryPreferences": preferences}}
    assert read(context=context).consent == '{"marketing.email":true,"marketing.sms":false}'
    assert read(source=PUBLIC, context=context).consent == '{"marketing.sms":false}'


@pytest.mark.parametrize("consent", [None, 5, [], {}, {"categoryPreferences": [True]}])
def test_consent_of_another_form_is_none(consent: object) -> None:
    assert read(context={"consent": consent}).consent is None


def test_the_batchs_context_merges_into_the_items() -> None:
    event = read_message(
        {**GOOD, "context": {"a": 1}}, source=SERVER, received_at=NOW, node_key=KEY,
        context=b'{"a": 0, "b": 2}',
    )  # fmt: skip
    assert json.loads(event.context or "") == {"a": 1, "b": 2}


def test_the_address_of_the_call_says_its_type() -> None:
    event = read_message(
        {**GOOD, "type": "track"}, source=SERVER, received_at=NOW, node_key=KEY,
        message_type="screen",
    )  # fmt: skip
    assert event.type == "screen"


def test_the_key_is_never_part_of_an_event() -> None:
    assert "secret" not in repr(read(writeKey="secret"))


def test_what_horizon_tells_itself_is_once_a_message_id() -> None:
    node = node_of(KEY, "user_id", "u1")
    first, again = (
        internal_event(SERVER, "Sent", message_id="m", node=node, time=time, properties={"a": 1})
        for time in (NOW, NOW + timedelta(days=1))
    )
    assert first.event_id == again.event_id
    assert (first.activity, first.nodes, first.properties) == (False, [node], '{"a":1}')


# Anything JSON can say, including what Python's json writes beside the standard.
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats()
    | st.text(st.characters(codec=None, exclude_categories=())) | st.sampled_from(
        ["\0", "\ud800", "ann@example.com", "identify", "2026-11-03T11:00:00Z", "9" * 600]
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
FIELDS = st.sampled_from(
    ["type", "messageId", "userId", "anonymousId", "event", "name", "category", "previousId",
     "groupId", "timestamp", "originalTimestamp", "sentAt", "properties", "traits", "context",
     "integrations"]
)  # fmt: skip
INNER = st.fixed_dictionaries(
    {},
    optional={"email": JSON, "ip": JSON, "consent": st.fixed_dictionaries(
        {"categoryPreferences": st.dictionaries(st.just("a.b") | st.text(), JSON)})},
)  # fmt: skip
MESSAGES = st.one_of(
    JSON,
    st.builds(
        lambda call, changes: {**GOOD, "type": call, **changes},
        st.sampled_from(["track", "identify", "page", "group"]),
        st.dictionaries(FIELDS, JSON | INNER, max_size=4),
    ),
)


@settings(max_examples=400, deadline=None)
@given(item=MESSAGES, trusted=st.booleans())
def test_any_json_is_read_or_refused(item: Any, trusted: bool) -> None:
    source = SERVER if trusted else PUBLIC
    for form in (json.dumps(item).encode(), item if isinstance(item, dict) else b"{}"):
        try:
            event = read_message(form, source=source, received_at=NOW, node_key=KEY)
        except Rejected as reason:
            assert reason.code
            assert reason.message
        else:
            assert_storable(event)


def assert_storable(event: Event) -> None:
    assert event.nodes
    for text in (event.user_id, event.anonymous_id, event.email, event.name, event.message_id,
                 event.group_id, event.previous_id):  # fmt: skip
        assert text is None or not re.search("[\0\ud800-\udfff]", text)
    for text in (event.traits, event.context, event.consent):
        if text is not None:
            assert "\\u0000" not in text.replace("\\\\", "")
            assert text.encode()
            assert_finite(json.loads(text, parse_constant=pytest.fail))


def assert_finite(value: Any) -> None:
    if isinstance(value, float):
        assert math.isfinite(value)
    for inner in (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    ):
        assert_finite(inner)


@pytest.mark.parametrize(
    "body",
    [b'{"batch":["' + b"\\n" * 255_000, b'{"batch":["' + b"\\ud83d" * 80_000, b'"",' * 166_000 + b"NaN",
     b"NaN," * 120_000, b"x" * 510_000 + b" NaN \\ud83d", b"\\" * 510_000, b"-" * 510_000 + b"NaN"],
    ids=["escapes", "halves", "strings", "no numbers", "text", "backslashes", "signs"],
)  # fmt: skip
def test_no_body_takes_long_to_mend(body: bytes) -> None:
    """Whoever has no key may send it: 8 connections of them held everyone up for a second."""
    began_s = time.process_time()
    without_no_numbers(without_lone_surrogates(body))
    assert time.process_time() - began_s < 0.25  # 0.02 to 0.05 on a quiet machine


def test_halves_and_no_numbers_are_mended_and_nothing_else() -> None:
    body = (
        rb'{"a\ud83d": "b\ud83dc\ud83d\ude00 \\ud83d NaN", "d": [NaN, -Infinity, 1], "e": "\ude00"}'
    )
    mended = without_no_numbers(without_lone_surrogates(body))
    assert mended == (
        rb'{"a\ufffd": "b\ufffdc\ud83d\ude00 \\ud83d NaN", "d": [null, null, 1], "e": "\ufffd"}'
    )
