"""Events are kept once, whoever sends them again and when."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from horizon.events import partitions
from horizon.events import rows as rows_module
from horizon.events.model import Event, Rejected, Source, read_message
from horizon.events.store import RejectedEvent, store
from horizon.postgres.database import Connection, Database, Role, closing_connection

KEY = bytes(32)
SOURCE = Source(1, "horizon", "server")
NOW = datetime(2026, 11, 3, 12, tzinfo=UTC)


def event(message_id: str, received_at: datetime = NOW, **fields: Any) -> Event:
    item = {
        "type": "track", "event": "Viewed", "userId": "u1", "messageId": message_id,
        "timestamp": NOW.isoformat(), **fields,
    }  # fmt: skip
    return read_message(item, source=SOURCE, received_at=received_at, node_key=KEY)


def keep(database: Database, events: Sequence[Event], **more: Any) -> int:
    with database.transaction(Role.EDGE) as tx:
        return store(tx, events, era=1, **more)


def rows(database: Database, query: str) -> list[Any]:
    with database.transaction(Role.OWNER) as tx:
        return tx.execute(query.encode()).fetchall()


def count(database: Database) -> int:
    return int(rows(database, "SELECT count(*) AS n FROM events")[0].n)


def test_an_event_is_read_back_as_it_was_stored(database: Database) -> None:
    full = read_message(
        {
            "type": "identify", "userId": "u1", "anonymousId": "a1", "groupId": 5,
            "previousId": "p", "name": "ä€😀", "timestamp": NOW, "category": "c",
            "traits": {"email": "ann@example.com"}, "properties": {"a": [1.5, None]},
            "context": {"ip": "203.0.113.7", "consent": {
                "categoryPreferences": {"marketing.email": True}}},
        },
        source=SOURCE, received_at=NOW, sent_at=NOW, node_key=KEY,
    )  # fmt: skip
    bare = event("bare", timestamp="yesterday")
    assert keep(database, [full, bare]) == 2
    found = {row.event_id: row for row in rows(database, "SELECT * FROM events")}
    for stored in (full, bare):
        row = found[stored.event_id]._asdict()
        assert (row.pop("era"), row.pop("tx") is not None) == (1, True)
        told = msgspec.structs.asdict(stored)
        del told["key"], told["node_digests"]
        assert row == {**told, "event_id": stored.event_id, "nodes": stored.nodes}


@pytest.mark.parametrize("timestamp", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", None])
def test_absurd_times_are_stored_and_counted_once(
    database: Database, timestamp: str | None
) -> None:
    assert keep(database, [event("m", timestamp=timestamp)]) == 1
    assert keep(database, [event("m", timestamp=timestamp)]) == 0
    assert rows(database, "SELECT time FROM events")[0].time == NOW


def test_a_row_has_the_era_of_its_transaction(database: Database) -> None:
    with database.transaction(Role.EDGE) as tx:
        store(tx, [event("m"), event("n")], era=7)
    assert [row.era for row in rows(database, "SELECT era FROM events")] == [7, 7]


def test_times_and_nodes_are_stored_to_the_last_digit(database: Database) -> None:
    odd = event("m", NOW.replace(microsecond=123_457), timestamp="1971-02-03T04:05:06.789013Z")
    keep(database, [odd])
    (row,) = rows(database, "SELECT *, nodes[1] AS first FROM events")
    assert row.received_at == odd.received_at
    assert row.original_timestamp == datetime(1971, 2, 3, 4, 5, 6, 789_013, tzinfo=UTC)
    assert row.first == odd.nodes[0]


def test_ids_are_claimed_in_one_order_whatever_order_they_come_in(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two writers that claim the same ids crosswise would each wait for the other."""
    claimed: list[list[bytes]] = []
    made = rows_module.ids_copy

    def ids_copy(keys: Iterable[bytes]) -> bytes:
        claimed.append(list(keys))
        return made(claimed[-1])

    monkeypatch.setattr(rows_module, "ids_copy", ids_copy)
    keep(database, [event(f"m{number}") for number in range(50)])
    assert claimed == [sorted(claimed[0])]
    assert len(claimed[0]) == 50


def test_a_copy_counts_once(database: Database) -> None:
    batch = [event(f"m{number}") for number in range(50)]
    copies = [event(f"m{number}", event="Copy") for number in range(50)]
    assert keep(database, [*batch, *copies]) == 50
    assert rows(database, "SELECT DISTINCT name FROM events") == [("Viewed",)]
    assert keep(database, batch) == 0
    assert keep(database, [*batch, *(event(f"n{number}") for number in range(5))]) == 5
    assert count(database) == 55


def test_a_copy_that_arrives_after_midnight_counts_once(database: Database) -> None:
    midnight = datetime(2026, 11, 4, tzinfo=UTC)
    assert keep(database, [event("m", midnight - timedelta(seconds=1))]) == 1
    assert keep(database, [event("m", midnight + timedelta(days=20))]) == 0
    assert count(database) == 1


def test_other_sources_and_hours_are_other_events(database: Database) -> None:
    later = (NOW + timedelta(hours=1)).isoformat()
    other = Source(2, "other", "server")
    item = {"type": "page", "userId": "u1", "messageId": "m", "timestamp": NOW}
    elsewhere = read_message(item, source=other, received_at=NOW, node_key=KEY)
    assert keep(database, [event("m"), event("m", timestamp=later), elsewhere]) == 3


def test_nothing_is_kept_of_a_transaction_that_fails(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.transaction(Role.EDGE) as tx:
        store(tx, [event("m")], era=1)
        raise ZeroDivisionError
    assert keep(database, [event("m")]) == 1


def test_nothing_to_store_is_nothing(database: Database) -> None:
    assert keep(database, []) == 0


def test_refused_events_are_kept_with_their_reason(database: Database) -> None:
    refused = RejectedEvent(1, NOW, 7, "no_user_anon_id", "Add one.", "{}")
    assert keep(database, [event("m")], rejected=[refused]) == 1
    (row,) = rows(database, "SELECT * FROM rejected_events")
    assert row[1:-2] == msgspec.structs.astuple(refused)[:-1]


def waiting(database: Database) -> int:
    found = rows(
        database,
        "SELECT count(*) AS n FROM pg_stat_activity "
        "WHERE datname = current_database() AND wait_event_type = 'Lock'",
    )
    return int(found[0].n)


def until_one_waits(database: Database) -> None:
    deadline = time.monotonic() + 5
    while not waiting(database):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("commits", [True, False])
def test_two_writers_of_the_same_events_wait_for_each_other(
    database: Database, commits: bool
) -> None:
    shared = [event(f"m{number}") for number in range(20)]
    with ThreadPoolExecutor(1) as thread, database.transaction(Role.EDGE) as first:
        assert store(first, [*shared, event("first")], era=1) == 21
        second: Future[int] = thread.submit(keep, database, [*shared[::-1], event("second")])
        until_one_waits(database)
        if not commits:
            first.rollback()
        first.commit()
        assert second.result(10) == (1 if commits else 21)
    assert count(database) == (22 if commits else 21)


def test_many_writers_of_shuffled_copies_neither_lose_nor_lock(database: Database) -> None:
    events = [event(f"m{number}") for number in range(300)]
    together = threading.Barrier(4)

    def write(seed: int) -> int:
        chance, new = random.Random(seed), 0
        together.wait()
        for _ in range(8):
            new += keep(database, chance.sample(events, 120))
        return new

    with ThreadPoolExecutor(4) as threads:
        new = list(threads.map(write, range(4)))
    found = rows(database, "SELECT count(*) AS n, count(DISTINCT event_id) AS ids FROM events")[0]
    assert found.n == found.ids == sum(new)


def places(database: Database, parent: str) -> list[str]:
    found = rows(database, f"SELECT DISTINCT tableoid::regclass::text AS place FROM {parent}")
    return sorted(row.place for row in found)


def test_events_go_to_the_partition_of_their_day(database: Database) -> None:
    old = event("old", timestamp="2026-09-01T00:00:00Z")
    tomorrow = NOW + timedelta(days=1)
    keep(database, [event("m"), old, event("n", tomorrow, timestamp=tomorrow.isoformat())])
    assert places(database, "events") == ["events_20261103", "events_20261104"]
    # The old one under the first of the thirty days in which it came, which is NOW's.
    assert places(database, "event_ids") == ["event_ids_20261103", "event_ids_20261104"]


def test_what_waits_in_the_default_partition_moves_and_still_counts_once(
    database: Database,
) -> None:
    ahead = NOW + timedelta(days=5)
    keep(database, [event("m", timestamp=ahead.isoformat())])
    assert places(database, "event_ids") == ["event_ids_default"]
    keep(database, [event("n", ahead, timestamp=ahead.isoformat())])
    assert places(database, "event_ids") == ["event_ids_20261108"]
    assert keep(database, [event("m", ahead, timestamp=ahead.isoformat())]) == 0


ODD = ("2019-05-01T10:00:00Z", None, "yesterday", "2150-01-01T00:00:00Z")


@pytest.mark.parametrize("timestamp", [*ODD, "2026-10-05T00:00:00Z", "2026-12-20T00:00:00Z"])
def test_what_is_far_from_its_receipt_is_known_for_thirty_days_and_then_dropped(
    database: Database, timestamp: str | None
) -> None:
    first = datetime(2026, 11, 29, 12, tzinfo=UTC)  # the fourth day before a period's turn
    assert keep(database, [event("m", first, timestamp=timestamp)]) == 1
    for days in (0, 3, 4, 5, 29, 30):
        copy = event("m", first + timedelta(days=days), timestamp=timestamp)
        other = event(f"n{days}", first + timedelta(days=days), timestamp=timestamp)
        assert keep(database, [copy, other]) == 1
    if timestamp in ODD:
        assert "event_ids_default" not in places(database, "event_ids")


@pytest.mark.parametrize("commits", [True, False])
def test_two_writers_on_both_sides_of_a_period_s_turn_wait_for_each_other(
    database: Database, commits: bool
) -> None:
    turn = datetime(2026, 12, 3, tzinfo=UTC)
    before, after = (
        [event(f"m{number}", when, timestamp=None) for number in range(5)]
        for when in (turn - timedelta(seconds=1), turn)
    )
    keep(database, [event("other", turn)])  # its partitions are there
    keep(database, [event("another", turn - timedelta(seconds=1), timestamp=None)])
    with ThreadPoolExecutor(1) as thread, database.transaction(Role.EDGE) as first:
        assert store(first, before, era=1) == 5
        second: Future[int] = thread.submit(keep, database, after)
        until_one_waits(database)
        if not commits:
            first.rollback()
        first.commit()
        assert second.result(10) == (0 if commits else 5)


def test_a_long_reader_does_not_hold_writers_up(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(database, [event("m")])
    monkeypatch.setattr(partitions, "_known", {})
    next_day = NOW + timedelta(days=1)  # whose own partition is there, the third one's is not
    with database.transaction(Role.WORKER) as reader:
        reader.execute("SELECT count(*) FROM events")
        began = time.monotonic()
        for number in range(20):
            assert keep(database, [event(f"n{number}", next_day)]) == 1
        assert time.monotonic() - began < 4  # one try of a second
    assert count(database) == 21


def test_days_are_looked_at_again_after_a_while(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a long reader kept a day to come from being made, it is tried anew."""
    monkeypatch.setattr(partitions, "_RETRY_S", 0.3)
    keep(database, [event("m")])
    keep(database, [event("n")])  # from now on all of them are known
    rows_of_day = "to_regclass('events_20261105') IS NOT NULL AS there"
    with database.transaction(Role.OWNER) as tx:
        tx.execute("DROP TABLE events_20261105")
    keep(database, [event("o")])
    assert not rows(database, f"SELECT {rows_of_day}")[0].there
    time.sleep(0.3)
    keep(database, [event("p")])
    assert rows(database, f"SELECT {rows_of_day}")[0].there


def test_a_day_without_a_partition_waits_in_the_default(database: Database) -> None:
    with database.transaction(Role.WORKER) as reader:
        reader.execute("SELECT count(*) FROM events")
        assert keep(database, [event("m")]) == 1
        assert places(database, "events") == ["events_default"]
    assert keep(database, [event("n"), event("m")]) == 1
    assert places(database, "events") == ["events_20261103"]


@pytest.mark.parametrize("timestamp", ["now", None])
def test_two_that_make_the_same_partitions_do_it_once(
    database: Database, timestamp: str | None
) -> None:
    """As the two collectors of a new installation, with the first event of each."""
    received = NOW + timedelta(days=40)
    named = {"timestamp": received.isoformat() if timestamp else None}
    with ThreadPoolExecutor(1) as thread, closing_connection(database.connect(Role.EDGE)) as slow:
        with slow.transaction():
            store(slow, [event("other"), event("odd", timestamp=None)], era=1)  # it knows the way

        def store_later() -> int:
            with slow.transaction():
                return store(slow, [event("b", received, **named)], era=1)

        with database.transaction(Role.EDGE) as first:
            assert store(first, [event("a", received, **named)], era=1) == 1
            second = thread.submit(store_later)
            until_one_waits(database)
        assert second.result(10) == 1
    assert "event_ids_default" not in places(database, "event_ids")


def test_partitions_can_be_made_while_others_write(database: Database) -> None:
    stopped = threading.Event()

    def write(name: str) -> int:
        total = 0
        while not stopped.is_set():
            ahead = NOW + timedelta(days=total % 40)
            total += keep(database, [event(f"{name}{total}", timestamp=ahead.isoformat())])
        return total

    with ThreadPoolExecutor(2) as threads:
        writers = [threads.submit(write, name) for name in "ab"]
        try:
            for day in range(0, 12, 3):
                with database.transaction(Role.EDGE) as tx:
                    tx.execute(
                        "SELECT ensure_partitions(%s::date, %s::date)",
                        [NOW + timedelta(days=day), NOW + timedelta(days=day + 2)],
                    )
        finally:
            stopped.set()
        total = sum(writer.result(20) for writer in writers)
    assert count(database) == total


def test_the_edge_may_write_events_and_read_none(database: Database) -> None:
    keep(database, [event("m")])
    for table in ("events", "rejected_events", "events_20261103"):
        with (
            pytest.raises(psycopg.errors.InsufficientPrivilege),
            database.transaction(Role.EDGE) as tx,
        ):
            tx.execute(f"SELECT 1 FROM {table}".encode())


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text()
    | st.sampled_from(["\0", "\\u0000", "\\", '"', "\ud800x", 1e308, -(10**400)]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)  # fmt: skip


def test_whatever_is_stored_can_be_cast_to_jsonb(worker: Connection) -> None:
    @settings(max_examples=150, deadline=None)
    @given(
        traits=st.dictionaries(st.text(), ANY_JSON), context=st.dictionaries(st.text(), ANY_JSON)
    )
    def check(traits: dict[str, Any], context: dict[str, Any]) -> None:
        # ASCII escapes bring lone surrogates and NUL along, as a browser's JSON does.
        item = {"type": "identify", "userId": "u", "traits": traits, "context": context}
        text = json.dumps(item).encode()
        try:
            read = read_message(text, source=SOURCE, received_at=NOW, node_key=KEY)
        except Rejected as reason:
            assert reason.code == "invalid_event"
            return
        row = worker.execute(
            "SELECT %s::jsonb AS traits, %s::jsonb AS context", [read.traits, read.context]
        ).fetchone()
        assert row is not None
        assert len(row.traits) <= len(traits)

    check()
