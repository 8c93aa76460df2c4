"""What planning holds while it decides, and what it leaves to be sent."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from horizon.campaigns import stage as campaigns
from horizon.pipeline import stages
from horizon.pipeline.runner import Stage
from horizon.postgres.database import Role, closing_connection
from horizon.stage import Window
from tests.world import DAY, World, chunks_of


@pytest.fixture
def deciding(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Any], None]], None]:
    """Calls what it is given in each chunk's transaction, when the chunk is decided."""

    def watch(look: Callable[[Any], None]) -> None:
        decide = campaigns.Planning._decided

        def decided(planning: Any, tx: Any, chunk: Any) -> Any:
            result = decide(planning, tx, chunk)
            look(tx)
            return result

        monkeypatch.setattr(campaigns.Planning, "_decided", decided)

    return watch


def owned(world: World, statement: str, *parameters: object) -> None:
    with world.horizon.database.transaction(Role.OWNER) as tx:
        tx.execute("SET LOCAL lock_timeout = '200ms'")
        tx.execute(statement.encode(), parameters or None)


def test_who_stops_a_campaign_waits_for_the_chunk_that_is_decided(
    world: World, deciding: Callable[[Callable[[Any], None]], None]
) -> None:
    """Else what that chunk plans would come after the stop has cancelled what there was."""
    waited = []

    def stop(_: Any) -> None:
        with pytest.raises(psycopg.errors.LockNotAvailable):
            owned(world, "UPDATE campaigns SET status = 'stopped' WHERE campaign = 'miss_you'")
        owned(world, "UPDATE campaigns SET status = status WHERE campaign <> 'miss_you'")
        waited.append(True)

    deciding(stop)
    assert world.planned("ann", "bob") == 2
    assert waited
    owned(world, "UPDATE campaigns SET status = 'stopped' WHERE campaign = 'miss_you'")


def test_a_few_are_looked_up_and_many_are_joined(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    deciding: Callable[[Callable[[Any], None]], None],
) -> None:
    chunks_of(monkeypatch, 2, 3)
    ways: list[tuple[str, ...]] = []
    names = ("enable_nestloop", "enable_seqscan", "enable_bitmapscan", "enable_mergejoin")

    def look(tx: Any) -> None:
        asked = ", ".join(f"current_setting('{name}')" for name in names)
        with tx.cursor(row_factory=psycopg.rows.tuple_row) as cursor:
            ways.append(cursor.execute(f"SELECT {asked}").fetchone())

    deciding(look)
    world.planned(*(f"u{number}" for number in range(7)))
    few, many = ("on", "off", "off", "off"), ("off", "on", "on", "off")
    assert ways == [few, many, many]


@pytest.mark.parametrize("domain", ["*", "example.com"])
def test_what_a_breaker_holds_is_planned_and_waits_for_ever(world: World, domain: str) -> None:
    held = "INSERT INTO breakers VALUES ('miss_you', %s, 'blocks', %s, %s)"
    owned(world, held, "example.org", world.now, None)  # another's domain
    owned(world, held, "elsewhere.example", world.now, world.now)
    owned(world, held, domain, world.now, None)
    world.person("ann", 13 * DAY, email="ann@example.com")
    world.person("bob", 13 * DAY, email="bob@example.net")
    world.score()
    world.alert()
    assert world.plan().figures["planned"] == 2
    rows = world.rows(
        "SELECT to_addr, due_at = 'infinity' AS held FROM outbox JOIN messages USING (message_id)"
    )
    assert {row.to_addr: row.held for row in rows} == {
        "ann@example.com": True, "bob@example.net": domain == "*",
    }  # fmt: skip


def test_a_breaker_that_a_person_closed_holds_nothing(world: World) -> None:
    held = "INSERT INTO breakers VALUES ('miss_you', '*', 'blocks', %s, %s)"
    owned(world, held, world.now, world.now)
    assert world.planned("ann") == 1
    assert world.rows("SELECT FROM outbox WHERE due_at = 'infinity'") == []


@pytest.mark.parametrize("status", ["failed", "cancelled", "skipped"])
def test_an_address_that_was_not_written_to_is_free_for_who_shares_it(
    world: World, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    """Of a later chunk of the run: the first one's mail came to nothing meanwhile."""
    chunks_of(monkeypatch, 1)
    reason = "refused" if status == "skipped" else None

    def ended(_: int) -> None:
        owned(
            world,
            "WITH gone AS (DELETE FROM outbox RETURNING message_id) "
            "UPDATE messages SET status = %s, reason = %s, finished_at = planned_at "
            "WHERE message_id IN (SELECT message_id FROM gone) AND to_addr = 'both@example.com'",
            status, reason,
        )  # fmt: skip

    world.person("ann", 13 * DAY, email="both@example.com")
    world.score()
    world.person("bob", 13 * DAY, email="BOTH@example.com")
    world.score()
    world.alert()
    figures = stages.plan_campaign(world.horizon, "miss_you", world.now, on_planned=ended).figures
    assert (figures["planned"], figures["skipped"]) == (2, 0)
    rows = world.rows("SELECT to_addr, status FROM messages")
    assert {(row.to_addr, row.status) for row in rows} >= {("both@example.com", status)}


@pytest.mark.parametrize(
    ("status", "planned"), [("failed", 1), ("cancelled", 1), ("sent", 0), ("skipped", 0)]
)
def test_who_was_not_written_to_is_due_before_the_campaign_s_days_are_over(
    world: World, status: str, planned: int
) -> None:
    world.person("ann", DAY)
    world.score()
    assert world.plan("good_activity").figures["planned"] == 1
    owned(world, "DELETE FROM outbox")
    reason = "refused" if status == "skipped" else None
    owned(
        world, "UPDATE messages SET status = %s, reason = %s, finished_at = planned_at",
        status, reason,
    )  # fmt: skip
    world.now += DAY
    world.score()
    assert world.plan("good_activity").figures["planned"] == planned


def test_no_two_lanes_take_the_same_people(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    chunks_of(monkeypatch, 1, lanes=4)
    world.people(*(f"u{number}" for number in range(12)))
    world.score()
    world.alert()
    stage = stages._campaign_stage(world.horizon, "miss_you")
    planning: Any = _planning_of(stage)
    chunks: list[dict[str, Any]] = []
    begin = threading.Barrier(4)

    def lane() -> None:
        with closing_connection(world.horizon.database.connect(Role.WORKER)) as tx:
            begin.wait()
            while (chunk := planning._next_chunk(tx, planning._parameters)) is not None:
                chunks.append(chunk)

    with closing_connection(world.horizon.database.connect(Role.WORKER)) as tx:
        era = tx.execute("SELECT max(era) AS era FROM eras").fetchone().era
        until = tx.execute("SELECT pg_current_snapshot()::text AS until").fetchone().until
        run = _ids(world)
        planning._parameters = planning._asked_once(tx, Window(world.now, *run, era, until))
    lanes = [threading.Thread(target=lane) for _ in range(4)]
    for one in lanes:
        one.start()
    for one in lanes:
        one.join(20)
    chunks.sort(key=lambda chunk: chunk["after"])
    assert len(chunks) >= 12
    assert [chunk["last"] for chunk in chunks[:-1]] == [chunk["after"] for chunk in chunks[1:]]


def _planning_of(stage: Stage) -> Any:
    """What the stage's function closes over."""
    found: Any = stage.run
    cells = [cell.cell_contents for cell in found.__closure__]
    (bound,) = (one for one in cells if getattr(one, "__self__", None) is not None)
    return bound.__self__


def _ids(world: World) -> tuple[Any, Any]:
    row = world.rows("SELECT gen_random_uuid() AS run, gen_random_uuid() AS correlation")[0]
    return row.run, row.correlation
