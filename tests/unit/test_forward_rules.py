"""Forwards' rules: lanes, marks, answers, waits, and the order a person through any failure."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horizon.errors import HorizonError, OutboundError
from horizon.forward import endpoint as endpoints
from horizon.forward.endpoint import Endpoint, Item, Outcome, StoppedError
from horizon.forward.lanes import in_batches, in_lanes
from horizon.forward.message import Row, has_been, installation_id, marked, message_of
from horizon.forward.rules import (
    LONGEST_WAIT_S,
    Meaning,
    endpoint_of,
    meaning_of,
    place_of,
    rejected_in,
    wait_s,
)
from horizon.forward.secret import close_key, open_key
from horizon.keys import Keys
from horizon.outbound import Answer

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
KEYS = Keys(node=b"n" * 32, link=b"l" * 32)


def row(number: int = 0, **more: Any) -> Row:
    values: dict[str, Any] = {
        **dict.fromkeys(Row._fields), "era": 1, "tx": "7", "received_at": NOW, "time": NOW,
        "event_id": UUID(int=number), "message_id": f"m{number}", "type": "track", "name": "Seen",
    }  # fmt: skip
    return Row(**{**values, **more})


some = st.none() | st.sampled_from(["u-1", "u-2", "u-3", "u-4", "u-5", "u-6"])
people = st.lists(st.tuples(some, some, some).filter(lambda who: who[0] or who[1]), max_size=60)


def rows_of(who: list[tuple[str | None, str | None, str | None]]) -> list[Row]:
    return [
        row(number, user_id=user, anonymous_id=anonymous, previous_id=previous)
        for number, (user, anonymous, previous) in enumerate(who)
    ]


@given(people, st.integers(1, 5))
def test_lanes_hold_every_event_once_in_order_and_nobody_is_in_two(
    who: list[tuple[str | None, str | None, str | None]], lanes: int
) -> None:
    rows = rows_of(who)
    found = in_lanes(rows, lanes)
    assert len(found) <= lanes
    assert sorted(number for lane in found for number in lane) == list(range(len(rows)))
    assert all(lane == sorted(lane) for lane in found)
    lane_of: dict[str, set[int]] = {}
    for place, lane in enumerate(found):
        for number in lane:
            user, anonymous, previous = who[number]
            names = [f"u{user}"] * bool(user) + [f"a{anonymous}"] * bool(anonymous)
            names += [f"u{previous}", f"a{previous}"] * bool(previous)
            for name in names:
                lane_of.setdefault(name, set()).add(place)
    assert all(len(places) == 1 for places in lane_of.values())


def test_lanes_are_filled_alike() -> None:
    rows = rows_of([(f"{number}", None, None) for number in range(1000)])
    assert [len(lane) for lane in in_lanes(rows, 4)] == [250] * 4


@given(st.lists(st.integers(1, 120), max_size=50), st.integers(1, 9), st.integers(50, 300))
def test_batches_hold_all_in_order_within_both_limits(
    sizes: list[int], most: int, most_bytes: int
) -> None:
    found = list(in_batches(sizes, most, most_bytes))
    assert [number for part in found for number in part] == list(range(len(sizes)))
    for part in found:
        total = sum(sizes[number] + 1 for number in part)
        assert 0 < len(part) <= most
        assert total <= most_bytes or len(part) == 1


texts = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=7), inner),
    max_leaves=6,
)
contexts = st.none() | st.dictionaries(
    st.sampled_from(["horizon", "ip", "library", "forwarded"]) | st.text(max_size=5), texts
)


@given(contexts)
def test_a_mark_is_found_again_and_changes_nothing_else(context: dict[str, Any] | None) -> None:
    text = None if context is None else json.dumps(context, separators=(",", ":"))
    assert not has_been(text, "here0000")
    once = marked(text, "here0000")
    assert has_been(once, "here0000")
    assert not has_been(once, "there000")
    twice = marked(once, "there000")
    assert has_been(twice, "here0000")
    assert has_been(twice, "there000")
    rest = json.loads(twice)
    assert rest.pop("horizon")["forwarded"][-2:] == ["here0000", "there000"]
    assert rest == {name: value for name, value in (context or {}).items() if name != "horizon"}


def test_who_only_mentions_an_installation_has_not_been_in_it() -> None:
    assert not has_been('{"note":"here0000","horizon":["here0000"]}', "here0000")


def test_installations_differ_by_keys_and_by_database() -> None:
    other = Keys(node=b"m" * 32, link=b"k" * 32)
    names = {installation_id(keys, name) for keys in (KEYS, other) for name in ("horizon", "other")}
    assert len(names) == 4


def test_a_message_is_of_its_type_and_without_a_time_of_sending() -> None:
    tracked = json.loads(message_of(row(user_id="u", properties='{"a": 1}'), "id"))
    assert tracked == {
        "type": "track", "messageId": "m0", "timestamp": "2026-06-15T12:00:00Z", "event": "Seen",
        "userId": "u", "properties": {"a": 1}, "context": {"horizon": {"forwarded": ["id"]}},
    }  # fmt: skip
    assert json.loads(message_of(row(type="page", user_id="u"), "id"))["name"] == "Seen"


def test_where_the_sender_wanted_an_event_is_said_to_the_receiver() -> None:
    some = {"All": False, "Größe": {"a": 1e300}}
    context = json.dumps({"a": 1, "integrations": some}, separators=(",", ":"))
    sent = json.loads(message_of(row(context=context), "here"))
    assert sent["integrations"] == some
    assert sent["context"] == {"a": 1, "horizon": {"forwarded": ["here"]}}
    for plain in (None, {}, {"a": {"integrations": some}}, {"integrations": 5}):
        text = None if plain is None else json.dumps(plain, separators=(",", ":"))
        sent = json.loads(message_of(row(context=text), "here"))
        assert "integrations" not in sent
        assert sent["context"] == {**(plain or {}), "horizon": {"forwarded": ["here"]}}


@pytest.mark.parametrize(
    ("statuses", "meaning"),
    [
        ((200, 202, 204), Meaning.TAKEN),
        ((401, 403), Meaning.KEY_REFUSED),
        ((400, 413, 422), Meaning.REFUSED),
        ((302, 404, 408, 425, 429, 502, 503, 504, 522), Meaning.LATER),
        ((500, 501), Meaning.DOUBTFUL),
    ],
)
def test_what_answers_mean(statuses: tuple[int, ...], meaning: Meaning) -> None:
    assert {meaning_of(status) for status in statuses} == {meaning}


@given(st.integers(1, 5000), st.none() | st.floats(0, 86400), st.floats(0, 1))
def test_waits_grow_and_honour_what_is_asked_for(
    attempt: int, asked: float | None, draw: float
) -> None:
    waits = wait_s(attempt, asked, draw)
    assert (
        (asked or 0) <= waits <= (asked or 0) + min(0.5 * 2.0 ** min(attempt, 99), LONGEST_WAIT_S)
    )
    assert wait_s(attempt, None, 1.0) <= wait_s(attempt + 1, None, 1.0) <= LONGEST_WAIT_S


@given(st.binary(max_size=60) | st.just(b'{"rejected":' + b"[" * 9000))
def test_any_answer_can_be_read(body: bytes) -> None:
    assert set(rejected_in(body, 3)) <= {0, 1, 2}
    assert set(rejected_in(b'{"rejected":' + body + b"}", 3)) <= {0, 1, 2}


def test_what_a_horizon_refused_is_read_from_its_answer() -> None:
    body = (
        b'{"success":true,"rejected":[{"index":1,"code":"event_too_large","message":"Too large."},'
        b'{"index":3,"code":"x"},{"index":true},{"index":"0"},7]}'
    )
    assert rejected_in(body, 3) == {1: "event_too_large: Too large."}


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("https://api.example", "https://api.example/v1/batch"),
        ("https://api.example/", "https://api.example/v1/batch"),
        ("https://api.example/v1/", "https://api.example/v1/batch"),
        ("https://api.example/x/v1", "https://api.example/x/v1/batch"),
        ("https://api.example/hook/batch?k=1", "https://api.example/hook/batch?k=1"),
    ],
)
def test_addresses_as_people_know_them(url: str, endpoint: str) -> None:
    assert endpoint_of(url) == endpoint
    assert place_of(url) == "https://api.example"


def test_our_word_on_a_token_is_not_sent_on() -> None:
    for rest in ({}, {"a": "identityError", "integrations": {"Mixpanel": False}}):
        sent = json.loads(
            message_of(row(context=json.dumps({"identityError": "expired", **rest})), "i1")
        )
        assert set(sent["context"]) == {"horizon"} | ({"a"} & set(rest))
        assert sent.get("integrations") == rest.get("integrations")


def test_a_key_opens_for_its_address_and_installation_alone() -> None:
    box = close_key(KEYS, "https://a.example", "secret")
    assert b"secret" not in box
    assert open_key(KEYS, "https://a.example", box) == "secret"
    for keys, url in (
        (KEYS, "https://b.example"),
        (Keys(b"n" * 32, b"x" * 32), "https://a.example"),
    ):
        with pytest.raises(HorizonError, match="horizon forward set"):
            open_key(keys, url, box)


class Flaky:
    """A receiver that fails as it is told; it keeps what it took, and knows ids."""

    def __init__(self, seed: int, refused: set[str]) -> None:
        self._dice = random.Random(seed)
        self._refused = refused
        self._lock = threading.Lock()
        self.came: list[str] = []

    def get(self, url: str, headers: Mapping[str, str] | None = None) -> Answer:
        raise NotImplementedError

    def post(self, url: str, body: bytes, headers: Mapping[str, str] | None = None) -> Answer:
        ids = [one["messageId"] for one in json.loads(body)["batch"]]
        with self._lock:
            fate = self._dice.random()
            if fate < 0.15:
                raise OutboundError("it cannot be reached")
            if fate < 0.3:
                return Answer(self._dice.choice([429, 500, 503]), {"retry-after": "0"}, b"")
            if self._refused.intersection(ids):
                return Answer(400, {}, b"no, ada@example.com")
            self.came += ids
            if fate < 0.45:
                raise OutboundError("the connection broke", begun=True)
        return Answer(200, {}, b"{}")

    def close(self) -> None:
        pass


@given(people, st.integers(0, 10**6), st.sets(st.integers(0, 59), max_size=5))
def test_through_any_failure_each_arrives_and_a_person_in_order(
    who: list[tuple[str | None, str | None, str | None]], seed: int, bad: set[int]
) -> None:
    rows = rows_of(who)
    refused = {f"m{number}" for number in bad}
    there = Flaky(seed, refused)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(endpoints, "wait_s", lambda *_: 0.0)
        patch.setattr(endpoints, "BATCH_EVENTS", 7)
        outcome = delivered(rows, there)
    first = list(dict.fromkeys(there.came))
    assert sorted(first) == sorted(f"m{n}" for n in range(len(rows)) if n not in bad)
    assert set(outcome.refused) == {n for n in range(len(rows)) if n in bad}
    assert all(one.answer == "no, (address)" for one in outcome.refused.values())
    assert all(outcome.settled(number) for number in range(len(rows)))
    for kind in (0, 1):
        for name in {one[kind] for one in who} - {None}:
            theirs = [int(m[1:]) for m in first if who[int(m[1:])][kind] == name]
            assert theirs == sorted(theirs), name


def delivered(rows: list[Row], there: Flaky) -> Outcome:
    endpoint = Endpoint("http://there.example", "key", there)
    outcome = Outcome(len(rows))
    items = [Item(number, one, message_of(one, "id")) for number, one in enumerate(rows)]
    lanes = [
        threading.Thread(target=endpoint.send, args=([items[n] for n in lane], outcome))
        for lane in in_lanes(rows, 3)
    ]
    for lane in lanes:
        lane.start()
    for lane in lanes:
        lane.join()
    return outcome


def test_one_event_that_it_stumbles_over_is_given_up_when_the_others_were_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Stumbling(Flaky):
        def post(self, url: str, body: bytes, headers: Any = None) -> Answer:
            ids = [one["messageId"] for one in json.loads(body)["batch"]]
            if "m13" in ids:
                return Answer(500, {}, b"oops")
            self.came += ids
            return Answer(200, {}, b"")

    monkeypatch.setattr(endpoints, "wait_s", lambda *_: 0.0)
    there = Stumbling(0, set())
    outcome = delivered(rows_of([("a", None, None)] * 40), there)
    assert there.came == [f"m{number}" for number in range(40) if number != 13]
    assert {number: one.status for number, one in outcome.refused.items()} == {13: 500}


def test_an_endpoint_that_only_stumbles_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """No event is given up where nothing proves that the fault is its own."""

    class Broken(Flaky):
        def post(self, url: str, body: bytes, headers: Any = None) -> Answer:
            return Answer(500, {}, b"")

    monkeypatch.setattr(endpoints, "wait_s", lambda *_: 0.0)
    there = Broken(0, set())
    endpoint = Endpoint("http://there.example", "key", there)
    outcome = Outcome(3)
    items = [Item(n, row(n), message_of(row(n), "id")) for n in range(3)]
    with pytest.raises(StoppedError) as stopped:
        endpoint.send(items, outcome)
    assert stopped.value.state == "anew"
    assert not outcome.refused


def test_what_refuses_everything_stops_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "wait_s", lambda *_: 0.0)
    rows = rows_of([("a", None, None)] * 300)
    there = Flaky(1, {one.message_id for one in rows})
    endpoint = Endpoint("http://there.example", "key", there)
    with pytest.raises(StoppedError) as stopped:
        endpoint.send(
            [Item(n, rows[n], b'{"messageId":"m%d"}' % n) for n in range(300)], Outcome(300)
        )
    assert stopped.value.state == "all_refused"
