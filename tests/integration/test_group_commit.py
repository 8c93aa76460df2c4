"""Group commit, held connections and known sources, each without the server around it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from horizon.edge import group_commit, known_sources
from horizon.edge.group_commit import Full, GroupCommit, NotStorable
from horizon.edge.known_sources import KnownSources
from horizon.events.model import Source, read_message
from horizon.events.rows import Row, row_of
from horizon.log import LineFile, Logger, log_to
from horizon.postgres.database import Connection, Database, Role, closing_connection
from horizon.serving import known_keys
from horizon.serving.held import Desk, HeldConnection, Unavailable

NOW = datetime.now(UTC)
GOOD = {"type": "track", "userId": "u1", "event": "Viewed"}


@pytest.fixture
def log(tmp_path: Path) -> Logger:
    return log_to(LineFile(tmp_path / "log"))


def stored(database: Database) -> list[str]:
    with database.transaction(Role.OWNER) as tx:
        return [row.message_id for row in tx.execute("SELECT message_id FROM events")]


def make_event(message_id: str, name: str = "Viewed") -> Row:
    event = read_message(
        {**GOOD, "messageId": message_id}, source=Source(1, "horizon", "server"),
        received_at=NOW, node_key=bytes(32),
    )  # fmt: skip
    event.name = name
    return row_of(event)


@contextmanager
def writes_held_up(database: Database) -> Iterator[Connection]:
    with closing_connection(database.connect()) as holder, holder:
        holder.execute("LOCK TABLE event_ids IN EXCLUSIVE MODE")
        yield holder


@pytest.mark.parametrize("capacity", ["CAPACITY_EVENTS", "CAPACITY_BYTES"])
def test_a_full_queue_refuses_and_empties_again(
    database: Database, log: Logger, monkeypatch: pytest.MonkeyPatch, capacity: str
) -> None:
    monkeypatch.setattr(group_commit, capacity, 2)  # each event counts as a byte

    async def flood() -> None:
        commit = GroupCommit(HeldConnection(database, log), log)
        commit.start()
        await commit.commit([make_event("first")], [], NOW, 1)
        with writes_held_up(database):
            taken = [
                asyncio.create_task(commit.commit([make_event(name)], [], NOW, 1)) for name in "ab"
            ]
            await asyncio.sleep(0)
            assert commit.full
            with pytest.raises(Full):
                await commit.commit([make_event("c")], [], NOW, 1)
        await asyncio.gather(*taken)
        assert not commit.full
        await commit.commit([make_event("d")], [], NOW, 1)
        await asyncio.to_thread(commit.stop)

    asyncio.run(flood())
    assert sorted(stored(database)) == ["a", "b", "d", "first"]


def test_whoever_was_just_answered_is_waited_for_and_nobody_else(
    database: Database, log: Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "GATHER_S", 0.6)
    groups: list[int] = []
    store = group_commit.store_rows
    monkeypatch.setattr(
        group_commit, "store_rows",
        lambda tx, events, *more, **named: groups.append(len(events)) or store(tx, events, *more, **named),
    )  # fmt: skip

    async def send() -> None:
        commit = GroupCommit(HeldConnection(database, log), log)

        def sent(*names: str) -> list[asyncio.Task[None]]:
            return [
                asyncio.create_task(commit.commit([make_event(name)], [], NOW, 1)) for name in names
            ]

        waiting = sent("a", "b", "c")
        await asyncio.sleep(0)
        commit.start()
        await asyncio.gather(*waiting)
        waiting = sent("d")
        await asyncio.sleep(0.1)
        await asyncio.gather(*waiting, *sent("e", "f"))
        await asyncio.gather(*sent("g", "h", "i"))  # as many as before
        await asyncio.gather(*sent("j"))
        began_s = time.monotonic()
        for name in "klm":
            await asyncio.gather(*sent(name))
        assert time.monotonic() - began_s < 0.5  # who is alone waits for nobody
        await asyncio.to_thread(commit.stop)

    asyncio.run(send())
    assert groups == [3, 3, 3, 1, 1, 1, 1]


def test_who_waits_too_long_is_told_so_and_written_once_all_the_same(
    database: Database, log: Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "WAIT_S", 0.3)
    monkeypatch.setattr(group_commit, "_LOOK_S", 0.1)

    async def send() -> None:
        commit = GroupCommit(HeldConnection(database, log), log)
        commit.start()
        await commit.commit([make_event("first")], [], NOW, 1)
        with writes_held_up(database):
            for _ in range(2):
                began_s = time.monotonic()
                with pytest.raises(Unavailable):
                    await commit.commit([make_event("a")], [], NOW, 1)
                assert 0.2 < time.monotonic() - began_s < 5
        await commit.commit([make_event("a")], [], NOW, 1)
        assert not commit._held_events
        await asyncio.to_thread(commit.stop)

    asyncio.run(send())
    assert sorted(stored(database)) == ["a", "first"]


def test_a_stuck_database_holds_up_no_key_that_is_remembered(
    database: Database, key: str, log: Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_keys, "FRESH_S", 0.01)
    monkeypatch.setattr(known_keys, "WAIT_S", 0.1)
    monkeypatch.setattr(known_keys, "UNKNOWN_WAIT_S", 0.1)

    async def ask() -> None:
        desk = Desk(HeldConnection(database, log))
        known = KnownSources(desk)
        assert await known.find(key)
        with closing_connection(database.connect()) as holder, holder:
            holder.execute("LOCK TABLE sources IN ACCESS EXCLUSIVE MODE")
            await asyncio.sleep(0.3)
            began_s = time.monotonic()
            assert await known.find(key)
            with pytest.raises(Unavailable):
                await known.find("a key nobody knows")
            assert time.monotonic() - began_s < 5
        await known.stop()
        desk.close()

    asyncio.run(ask())


def test_what_cannot_be_stored_harms_nobody_else(database: Database, log: Logger) -> None:
    async def send() -> list[BaseException | None]:
        commit = GroupCommit(HeldConnection(database, log), log)
        parcels = [
            commit.commit([make_event(f"m-{name[0]}", name)], [], NOW, 1)
            for name in ("a", "b\0", "c")
        ]
        waiting = [asyncio.create_task(parcel) for parcel in parcels]
        await asyncio.sleep(0)
        commit.start()  # all three are one group
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        await asyncio.to_thread(commit.stop)
        return answers

    first, second, third = asyncio.run(send())
    assert (first, third) == (None, None)
    assert isinstance(second, NotStorable)


def test_unknown_keys_ask_the_database_seldom(
    database: Database, log: Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Connection] = []
    read = known_sources.keyed_sources
    monkeypatch.setattr(
        known_sources, "keyed_sources", lambda tx, **more: asked.append(tx) or read(tx, **more)
    )
    assert known_keys._APART_S >= 0.1
    monkeypatch.setattr(known_keys, "_APART_S", 0.1)

    async def ask() -> None:
        desk = Desk(HeldConnection(database, log))
        known = KnownSources(desk)
        until_s = time.monotonic() + 0.5
        while time.monotonic() < until_s:
            guesses = [known.find(f"a guess {number}") for number in range(5)]
            assert await asyncio.gather(*guesses) == [None] * 5
        await known.stop()
        desk.close()

    asyncio.run(ask())
    assert 2 <= len(asked) <= 7


def test_a_row_that_was_on_its_way_to_another_partition_is_written_again(
    database: Database, log: Logger
) -> None:
    tries: list[int] = []

    def write(tx: Connection, era: int) -> str:
        tries.append(era)
        if len(tries) == 1:
            tx.execute("DO $$ BEGIN RAISE check_violation; END $$")
        return "written"

    held = HeldConnection(database, log)
    assert held.run(write) == "written"
    held.close()
    assert len(tries) == 2


def test_a_disabled_source_is_forgotten_soon(
    database: Database, key: str, log: Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_keys, "FRESH_S", 0.05)

    async def ask() -> list[bool]:
        desk = Desk(HeldConnection(database, log))
        known = KnownSources(desk)
        found = [await enabled(known)]
        with database.transaction(Role.WORKER) as tx:
            tx.execute("UPDATE sources SET enabled = false WHERE name = 'shop'")
        await asyncio.sleep(0.1)
        found += [await enabled(known) for _ in range(2)]
        desk.close()
        return found

    async def enabled(known: KnownSources) -> bool:
        source = await known.find(key)
        return source is not None and source.enabled

    assert asyncio.run(ask()) == [True, False, False]


def test_a_database_of_another_server_is_not_written(database: Database, log: Logger) -> None:
    with database.transaction(Role.OWNER) as tx:
        tx.execute("UPDATE eras SET system_identifier = 'another'")
    with pytest.raises(Unavailable):
        HeldConnection(database, log).run(lambda tx, era: era)


def test_the_log_says_once_that_the_database_is_away(
    database: Database, log: Logger, tmp_path: Path
) -> None:
    held = HeldConnection(database.named("nowhere"), log)
    for _ in range(3):
        with pytest.raises(Unavailable):
            held.run(lambda tx, era: era)
    (line,) = (tmp_path / "log").read_text().splitlines()
    said: dict[str, Any] = json.loads(line)
    assert (said["message"], said["level"]) == ("database_away", "ERROR")
