"""Forwards whose receiver fails, refuses, hangs or is away, and whose own process is killed."""

from __future__ import annotations

import base64
import json
import random
import signal
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from horizon.doctor.database import look_at
from horizon.doctor.finding import Case
from horizon.events.model import read_message
from horizon.events.store import store
from horizon.forward import book, endpoint, rules
from horizon.forward.spans import PAGE_BYTES, opened, read_page, sources_of, spans
from horizon.postgres.audit import write_audit
from horizon.postgres.database import Role, closing_connection
from horizon.postgres.era import current_era, open_era
from tests.forwarding import (
    ForwarderProcess,
    add_forward,
    forwarding,
    replay,
    standing,
    until,
)
from tests.servers.http_recorder import answer
from tests.servers.segment_endpoint import SegmentEndpoint, key_of
from tests.world import World


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Iterator[SegmentEndpoint]:
    monkeypatch.setattr(rules, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(rules, "LONGEST_WAIT_S", 0.05)
    with SegmentEndpoint() as endpoint:
        yield endpoint


def put(world: World, count: int, people: int = 5, **more: Any) -> list[str]:
    """So many events of so many people, in one request; their ids."""
    before = next(world.numbers) + 1
    world.put(*(
        {"type": "track", "event": "Seen", "userId": f"u{number % people}",
         "timestamp": (world.now + timedelta(milliseconds=number)).isoformat(), **more}
        for number in range(count)
    ))  # fmt: skip
    return [f"m{before + number}" for number in range(count)]


def ids(events: list[dict[str, Any]]) -> list[str]:
    return [event["messageId"] for event in events]


def sent(world: World, count: int) -> None:
    until(lambda: standing(world.horizon).sent == count)


def in_order(events: list[dict[str, Any]]) -> bool:
    """A person's events by the number in their ids."""
    last: dict[str, int] = {}
    for event in events:
        number = int(event["messageId"][1:])
        if number < last.get(event["userId"], -1):
            return False
        last[event["userId"]] = number
    return True


def test_a_commit_that_comes_late_is_not_missed(world: World, there: SegmentEndpoint) -> None:
    put(world, 1)
    with closing_connection(world.horizon.database.connect(Role.WORKER)) as slow:
        add_forward(world.horizon, there.url)
        event = read_message(
            {"messageId": "late", "type": "track", "event": "Seen", "userId": "u"},
            source=world.source(slow, "server"), received_at=world.now,
            node_key=world.horizon.keys.node,
        )  # fmt: skip
        store(slow, [event], era=world.horizon.era())
        quick = put(world, 3)
        with forwarding(world.horizon):
            sent(world, 3)
            slow.commit()
            sent(world, 4)
    assert sorted(ids(there.events)) == sorted([*quick, "late"])


def test_only_what_comes_after_it_was_added_and_over_http(
    world: World, there: SegmentEndpoint
) -> None:
    put(world, 2)
    add_forward(world.horizon, there.url)
    world.put({"type": "track", "event": "Noted", "userId": "x"}, kind="internal")
    wanted = put(world, 2)
    with forwarding(world.horizon):
        sent(world, 2)
    assert sorted(ids(there.events)) == wanted


def test_one_source_alone(world: World, there: SegmentEndpoint) -> None:
    world.put({"type": "track", "event": "Seen", "userId": "x"}, kind="public")
    add_forward(world.horizon, there.url, source="public")
    put(world, 3)
    world.put({"type": "track", "event": "Seen", "userId": "x", "messageId": "p"}, kind="public")
    with forwarding(world.horizon):
        sent(world, 1)
    assert ids(there.events) == ["p"]


def test_its_key_is_sent_and_stands_nowhere(world: World, there: SegmentEndpoint) -> None:
    add_forward(world.horizon, there.url + "/v1/batch?secret=path", key="top-secret-key")
    put(world, 1)
    with forwarding(world.horizon), world.horizon.database.transaction(Role.WORKER) as tx:
        until(lambda: bool(there.batches))
        assert "secret" not in json.dumps(book.listed(tx), default=str)
    assert key_of(there.requests[0]) == "top-secret-key:"
    kept = world.rows("SELECT box FROM forward_keys")[0].box
    assert b"top-secret-key" not in bytes(kept)
    assert "top-secret-key" not in world.horizon.settings.log_path.read_text()


def test_an_endpoint_that_says_the_key_back_brings_it_nowhere(
    world: World, there: SegmentEndpoint
) -> None:
    add_forward(world.horizon, there.url, key="top-secret-key")
    said = b"no: top-secret-key " + base64.b64encode(b"top-secret-key:")
    wanted = put(world, 2)
    there.judge = lambda batch: answer(400, body=said) if wanted[0] in ids(batch) else None
    with forwarding(world.horizon):
        sent(world, 1)
    (row,) = world.rows("SELECT answer FROM forward_refused")
    assert "secret" not in row.answer
    assert base64.b64encode(b"top-secret").decode()[:-4] not in row.answer
    assert row.answer.startswith("no: (key) (key)")


def test_what_fails_is_tried_again_in_order(world: World, there: SegmentEndpoint) -> None:
    fate = random.Random(7)
    trouble = [answer(503), answer(429, {"Retry-After": "0"}), answer(500), lambda _: None]
    there.judge = lambda _: fate.choice(trouble) if fate.random() < 0.4 else None
    add_forward(world.horizon, there.url)
    wanted = [one for _ in range(20) for one in put(world, 60)]
    with forwarding(world.horizon):
        sent(world, len(wanted))
    assert sorted(ids(there.once)) == sorted(wanted)
    assert in_order(there.once)
    assert standing(world.horizon).refused == 0


def test_patience_that_is_asked_for_is_had_by_all_lanes(
    world: World, there: SegmentEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    came: list[float] = []

    def judge(_: list[dict[str, Any]]) -> bytes | None:
        came.append(time.monotonic())
        if len(came) == 1:
            return answer(429, {"Retry-After": "2"})
        time.sleep(0.3)  # the others hear of it while they are at their first batch
        return None

    there.judge = judge
    monkeypatch.setattr(endpoint, "BATCH_EVENTS", 5)
    add_forward(world.horizon, there.url)
    put(world, 40, people=40)
    with forwarding(world.horizon) as said:
        until(lambda: standing(world.horizon).attempt > 0)
        assert standing(world.horizon).error == "it answers 429"
        sent(world, 40)
    until(lambda: standing(world.horizon).error is None)
    assert came[4] - came[0] >= 2
    assert said == ["there: it answers 429; what waits is sent later"]


def test_of_a_refused_batch_the_good_events_arrive(world: World, there: SegmentEndpoint) -> None:
    add_forward(world.horizon, there.url)
    wanted = put(world, 300)
    bad = {wanted[17], wanted[200]}
    no = answer(400, body=b"u2 <ada@example.com> has a bad property")
    there.judge = lambda batch: no if bad.intersection(ids(batch)) else None
    with forwarding(world.horizon):
        sent(world, 298)
        with world.horizon.database.transaction(Role.WORKER) as tx:
            rows = book.refused(tx, "there", 10)
    assert {row["message_id"] for row in rows} == bad
    assert {row["answer"] for row in rows} <= {
        "(id) <(address)> has a bad property", "u2 <(address)> has a bad property"
    }  # fmt: skip
    assert {row["status"] for row in rows} == {400}
    assert in_order(there.once)
    assert standing(world.horizon).refused == 2
    assert sorted(ids(there.events)) == sorted(set(wanted) - bad)


def test_an_event_that_it_stumbles_over_waits_for_others_to_prove_it(
    world: World, there: SegmentEndpoint
) -> None:
    add_forward(world.horizon, there.url)
    there.judge = lambda batch: answer(500) if "bad" in ids(batch) else None
    world.put({"type": "track", "event": "Seen", "userId": "x", "messageId": "bad"})
    with forwarding(world.horizon):
        until(lambda: len(there.batches) > 25)
        assert standing(world.horizon).refused == 0
        wanted = put(world, 5)
        sent(world, 5)
        until(lambda: standing(world.horizon).refused == 1)
    assert sorted(ids(there.once)) == sorted(wanted)
    assert standing(world.horizon).lag_events == 0


def test_refused_events_are_kept_30_days(world: World, there: SegmentEndpoint) -> None:
    add_forward(world.horizon, there.url)
    put(world, 2)
    there.judge = lambda _: answer(400)
    with forwarding(world.horizon):
        until(lambda: standing(world.horizon).refused == 2)
    world.rows(
        "UPDATE forward_refused SET noted_at = noted_at - interval '31 days' "
        "WHERE event_id IN (SELECT event_id FROM events WHERE message_id = 'm1') RETURNING 1"
    )
    with forwarding(world.horizon):
        until(lambda: world.rows("SELECT count(*)::int AS n FROM forward_refused")[0].n == 1)


def test_a_refused_key_stops_it_until_another_is_given(
    world: World, there: SegmentEndpoint
) -> None:
    there.judge = lambda _: answer(401) if key_of(there.requests[-1]) != "good:" else None
    add_forward(world.horizon, there.url, key="bad")
    wanted = put(world, 10)
    case = Case(world.horizon.settings, world.now)
    with forwarding(world.horizon) as said:
        until(lambda: standing(world.horizon).state == "key_refused")
        assert said[0].startswith("there: stopped, since it answers 401: the key is refused")
        assert said[0].endswith("`horizon forward set there --key KEY`")
        assert [one.found for one in look_at(world.horizon.database, case) if one.part == "forward"
                ] == [f"there stopped: {said[0].partition('since ')[2]}"]  # fmt: skip
        asked = len(there.requests)
        time.sleep(1.5)
        assert len(there.requests) == asked
        with world.horizon.database.transaction(Role.OWNER) as tx:
            book.change(tx, world.horizon.keys, "there", key="good")
        sent(world, 10)
    assert sorted(ids(there.events)) == sorted(wanted)


def test_who_refuses_everything_loses_nothing(
    world: World, there: SegmentEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "REFUSED_IN_A_ROW", 20)
    there.judge = lambda _: answer(422)
    add_forward(world.horizon, there.url)
    wanted = put(world, 200)
    with forwarding(world.horizon):
        until(lambda: standing(world.horizon).state == "all_refused")
        there.judge = lambda _: None
        with world.horizon.database.transaction(Role.OWNER) as tx:
            book.set_state(tx, "there", "on")
        sent(world, 200)
    assert sorted(ids(there.once)) == sorted(wanted)
    assert standing(world.horizon).refused == 0


def test_paused_it_holds_and_resumed_it_goes_on(world: World, there: SegmentEndpoint) -> None:
    add_forward(world.horizon, there.url)
    first = put(world, 3)
    with forwarding(world.horizon):
        sent(world, 3)
        _set_state(world, "paused")
        time.sleep(1.5)
        second = put(world, 3)
        time.sleep(1.5)
        assert sorted(ids(there.events)) == first
        assert standing(world.horizon).lag_events == 3
        _set_state(world, "on")
        sent(world, 6)
    assert sorted(ids(there.once)) == sorted([*first, *second])


def _set_state(world: World, state: str) -> None:
    with world.horizon.database.transaction(Role.OWNER) as tx:
        book.set_state(tx, "there", state)


def test_a_replay_sends_its_span_again_after_what_waits(
    world: World, there: SegmentEndpoint
) -> None:
    spans_: list[list[str]] = []
    for day in range(3):
        world.now += timedelta(days=day and 1)
        spans_.append(put(world, 5, people=1))
    add_forward(world.horizon, there.url)
    waiting = put(world, 5, people=1)
    middle = world.now - timedelta(days=1)
    replay(world.horizon, middle, middle + timedelta(hours=1))
    with forwarding(world.horizon):
        until(lambda: standing(world.horizon).sent_again == 5)
        until(lambda: standing(world.horizon).replays == 0)
    assert ids(there.events) == [*waiting, *spans_[1]]
    assert standing(world.horizon).sent == 5


def test_a_replay_waits_for_a_window_that_was_broken_off(
    world: World, there: SegmentEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("horizon.forward.spans.PAGE_ROWS", 7)
    add_forward(world.horizon, there.url)
    first = put(world, 10, people=1)
    there.judge = lambda batch: answer(503) if first[9] in ids(batch) else None
    with forwarding(world.horizon):
        sent(world, 7)
    there.judge = lambda _: None
    waiting = put(world, 5, people=1)
    replay(world.horizon, world.now, world.now + timedelta(seconds=1))
    with forwarding(world.horizon):
        until(lambda: standing(world.horizon).sent_again == 15)
    assert ids(there.events) == [*first, *waiting, *first, *waiting]


def test_a_replay_of_what_was_sent_has_the_same_ids_and_times(
    world: World, there: SegmentEndpoint
) -> None:
    add_forward(world.horizon, there.url)
    put(world, 30)
    with forwarding(world.horizon):
        sent(world, 30)
        once = list(there.events)
        replay(world.horizon, world.now, world.now + timedelta(seconds=1))
        until(lambda: standing(world.horizon).sent_again == 30)
        assert put(world, 1)
        sent(world, 31)
    assert sorted(once, key=str) == sorted(there.events[30:60], key=str)
    assert in_order(there.events[30:60])


def test_what_was_here_before_is_not_sent_round_again(world: World, there: SegmentEndpoint) -> None:
    add_forward(world.horizon, there.url)
    put(world, 2)
    with forwarding(world.horizon):
        sent(world, 2)
        world.put(*({**event, "messageId": f"back {event['messageId']}"} for event in there.events))
        until(lambda: standing(world.horizon).looped == 2)
    assert len(there.events) == 2
    assert standing(world.horizon).lag_events == 0


def test_a_restored_database_goes_on_in_its_new_era(world: World, there: SegmentEndpoint) -> None:
    add_forward(world.horizon, there.url)
    first = put(world, 5)
    with world.horizon.database.transaction(Role.OWNER) as tx:
        open_era(tx, "restore")
        assert current_era(tx) == 2
        write_audit(tx, "backup:restored", "file", {})
    second = put(world, 5)
    with forwarding(world.horizon):
        sent(world, 10)
    assert sorted(ids(there.events)) == sorted([*first, *second])
    assert in_order(there.events)


def test_a_page_is_bounded_by_bytes(world: World, there: SegmentEndpoint) -> None:
    add_forward(world.horizon, there.url)
    put(world, 700, properties={"text": "x" * 30_000})
    with closing_connection(world.horizon.database.connect(Role.WORKER, autocommit=True)) as tx:
        live = spans(tx, 1)[0]
        page = read_page(tx, opened(tx, live), sources_of(tx, None))
        assert PAGE_BYTES <= sum(len(row.properties or "") for row in page.rows) < 2 * PAGE_BYTES
        assert not page.last
    with forwarding(world.horizon):
        sent(world, 700)
    assert max(len(request.body) for request in there.requests) <= 500_000
    assert in_order(there.events)


def test_a_small_window_and_many_pages(
    world: World, there: SegmentEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within one transaction as well a page ends, and the next goes on where it ended."""
    monkeypatch.setattr("horizon.forward.spans.PAGE_ROWS", 7)
    add_forward(world.horizon, there.url)
    wanted = [one for _ in range(5) for one in put(world, 40)]
    with forwarding(world.horizon):
        sent(world, 200)
    assert sorted(ids(there.events)) == sorted(wanted)
    assert in_order(there.events)


@pytest.mark.slow
def test_killed_at_any_moment_each_arrives_and_a_person_in_order(
    world: World, there: SegmentEndpoint
) -> None:
    dice = random.Random(3)
    there.judge = lambda _: time.sleep(dice.random() / 50)
    add_forward(world.horizon, there.url)
    wanted: list[str] = []
    for kill in range(12):
        wanted += [one for _ in range(6) for one in put(world, 500, people=40)]
        before = len(there.batches)
        process = ForwarderProcess(world.horizon)
        process.ready()
        if kill % 3:  # two of three while a page is under way, the others whenever that is
            until(lambda begun=before: len(there.batches) > begun + 1)  # type: ignore[misc]
        time.sleep(dice.random() / 10)
        process.end(signal.SIGKILL)
    process = ForwarderProcess(world.horizon)
    process.ready()
    until(lambda: standing(world.horizon).lag_events == 0)
    assert process.end(signal.SIGTERM) == ""
    assert sorted(ids(there.once)) == sorted(wanted)
    assert in_order(there.once)
    assert len(there.events) > len(wanted), "no kill came while a page was under way"
    assert standing(world.horizon).sent == len(wanted)


def test_there_is_one_forwarder_a_home(world: World) -> None:
    first = ForwarderProcess(world.horizon)
    first.ready()
    second = ForwarderProcess(world.horizon)
    assert f"(process {first.pid};" in second.end(signal.SIGCONT)
    first.end(signal.SIGTERM)


def test_a_forward_has_one_process_whatever_their_homes(
    world: World, there: SegmentEndpoint
) -> None:
    """Two machines on one database: the second waits until the first one's connection ends."""
    add_forward(world.horizon, there.url)
    put(world, 3)
    with closing_connection(world.horizon.database.connect(Role.WORKER, autocommit=True)) as other:
        query = "SELECT pg_try_advisory_lock(hashtext('horizon.forward'), forward_id) FROM forwards"
        assert other.execute(query).fetchall() == [(True,)]
        with forwarding(world.horizon):
            time.sleep(1.5)
            assert there.events == []
            other.close()
            sent(world, 3)


def test_it_stops_at_once_while_nobody_answers(world: World, there: SegmentEndpoint) -> None:
    there.judge = lambda _: answer(503, {"Retry-After": "3600"})
    add_forward(world.horizon, there.url)
    put(world, 10)
    with forwarding(world.horizon):
        until(lambda: standing(world.horizon).attempt > 0)
        began = time.monotonic()
    assert time.monotonic() - began < 5
