"""Backup and restore: everything comes back, and nothing is sent again."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import psycopg
import pytest

from horizon import keys as keyring
from horizon.errors import DatabaseError, HorizonError, UsageError
from horizon.pipeline import outgoing, stages
from horizon.pipeline.installation import Installation, open_installation
from horizon.postgres import backup as backups
from horizon.postgres.database import Role
from horizon.postgres.embedded import EmbeddedPostgres
from horizon.postgres.era import current_era
from tests.forwarding import add_forward, standing
from tests.servers.smtp_recorder import SmtpRecorder
from tests.world import DAY, World

TABLES = (
    "events",
    "event_ids",
    "nodes",
    "profiles",
    "traits",
    "consents",
    "alerts",
    "messages",
    "reached",
    "sources",
)


@pytest.fixture
def sending(world: World, tmp_path: Path) -> World:
    recorder = SmtpRecorder(tmp_path)
    recorder.start()
    settings = world.horizon.settings.changed(SMTP_HOST="127.0.0.1", SMTP_PORT=recorder.port)
    yield_world = World(dataclasses.replace(world.horizon, settings=settings))
    yield_world.recorder = recorder  # type: ignore[attr-defined]
    yield yield_world  # type: ignore[misc]
    recorder.stop()


def _contents(world: World) -> dict[str, list[str]]:
    return {
        table: sorted(row[0] for row in world.rows(f"SELECT t::text FROM {table} t"))
        for table in TABLES
    }


def _restore(world: World, file: Path, **how: bool) -> World:
    horizon = world.horizon
    backups.restore(
        horizon.database,
        horizon.settings.home,
        file,
        nothing_sent_since=how.get("nothing_sent_since", False),
    )
    return World(open_installation(horizon.settings), world.now, world.numbers)


def _received(world: World) -> int:
    return len(world.recorder.messages())  # type: ignore[attr-defined]


def test_everything_comes_back_also_the_keys(sending: World, tmp_path: Path) -> None:
    sending.person("ann", 13 * DAY)
    sending.score()
    sending.alert()
    sending.plan()
    outgoing.send(sending.horizon)
    file, home = tmp_path / "kept", sending.horizon.settings.home
    backups.backup(sending.horizon.database, home, file)
    before, key = _contents(sending), keyring.load(home)
    sending.person("later", 13 * DAY)
    for name in keyring.NAMES:
        (home / "keys" / name).unlink()
    restored = _restore(sending, file)
    assert _contents(restored) == before
    assert keyring.load(home) == key
    assert backups.keys_of(file).stat().st_mode & 0o077 == 0


def test_a_restore_sends_nothing_again(sending: World, tmp_path: Path) -> None:
    """Planned at the backup and sent after it; alerted and mailed after it; both stay mailed once."""
    sending.person("planned", 13 * DAY)
    sending.score()
    sending.alert()
    sending.plan()
    file = tmp_path / "kept"
    backups.backup(sending.horizon.database, sending.horizon.settings.home, file)
    outgoing.send(sending.horizon)
    sending.person("after", 13 * DAY)
    stages.run_all(sending.horizon, sending.now)
    assert _received(sending) == 2
    restored = _restore(sending, file)
    restored.person("after", 13 * DAY)
    for _ in range(2):
        stages.run_all(restored.horizon, restored.now)
    assert _received(sending) == 2
    rows = restored.rows("SELECT status, reason FROM messages ORDER BY status")
    assert [tuple(row) for row in rows] == [("skipped", "restored"), ("unknown", "restored")]


def test_when_nothing_was_sent_since_campaigns_go_on(sending: World, tmp_path: Path) -> None:
    sending.person("ann", 13 * DAY)
    sending.score()
    sending.alert()
    sending.plan()
    file = tmp_path / "kept"
    backups.backup(sending.horizon.database, sending.horizon.settings.home, file)
    restored = _restore(sending, file, nothing_sent_since=True)
    stages.run_all(restored.horizon, restored.now)
    assert _received(sending) == 1


def test_a_restore_reads_no_event_twice_and_misses_none(sending: World, tmp_path: Path) -> None:
    sending.person("read", 13 * DAY)
    sending.score()
    sending.person("unread", 13 * DAY)
    file = tmp_path / "kept"
    backups.backup(sending.horizon.database, sending.horizon.settings.home, file)
    restored = _restore(sending, file)
    restored.person("new", 13 * DAY)
    identity = stages.identity_stage(restored.horizon.keys, restored.horizon.settings)
    assert restored.runner.run(identity, restored.now).figures["profiles"] == 2
    assert restored.runner.run(identity, restored.now).figures["nodes"] == 0
    with restored.horizon.database.transaction(Role.WORKER) as tx:
        assert current_era(tx) == 2


def test_a_copy_from_another_server_is_refused_until_adopted(horizon: Installation) -> None:
    world = World(horizon)
    world.person("ann", 13 * DAY)
    world.score()
    world.alert()
    world.plan()
    add_forward(horizon, "https://192.0.2.7")
    world.rows("UPDATE eras SET system_identifier = '1' RETURNING 1")
    with pytest.raises(DatabaseError, match="horizon restore --adopt"):
        stages.score(horizon, world.now)
    with horizon.database.transaction(Role.OWNER) as tx:
        assert backups.adopt(tx, world.now) == 2
    stages.score(horizon, world.now)
    assert [row.status for row in world.rows("SELECT status FROM messages")] == ["unknown"]
    assert standing(horizon).state == "paused"  # or the copy would send where the other one sends


@pytest.mark.parametrize("what", ["missing", "nokeys", "garbage"])
def test_what_is_no_backup_leaves_everything_as_it_was(
    world: World, tmp_path: Path, what: str
) -> None:
    world.person("ann", 13 * DAY)
    file = tmp_path / "kept"
    backups.backup(world.horizon.database, world.horizon.settings.home, file)
    if what == "missing":
        file.unlink()
    elif what == "nokeys":
        backups.keys_of(file).unlink()
    else:
        file.write_bytes(b"garbage" * 100)
    before = _contents(world)
    with pytest.raises((UsageError, Exception)) as caught:
        _restore(world, file)
    assert type(caught.value).__module__ == "horizon.errors"
    assert _contents(world) == before
    left = world.rows("SELECT datname FROM pg_database WHERE datname LIKE '%%restoring%%'")
    assert left == []


@pytest.mark.slow  # PostgreSQL waits for the others 5 s
def test_a_restore_that_cannot_swap_changes_nothing(
    world: World, tmp_path: Path, server: EmbeddedPostgres
) -> None:
    file, home = tmp_path / "kept", world.horizon.settings.home
    backups.backup(world.horizon.database, home, file)
    for name in keyring.NAMES:
        (home / "keys" / name).unlink()
    keyring.make(home)
    mine = keyring.load(home)
    with (
        psycopg.connect(server.dsn_of(world.horizon.database.name, "postgres")),
        pytest.raises(HorizonError, match="Somebody else is connected"),
    ):
        _restore(world, file)
    assert keyring.load(home) == mine
    assert world.rows("SELECT FROM pg_database WHERE datname LIKE '%%restoring%%'") == []


@pytest.mark.parametrize("status", ["planned", "claimed", "sending"])
def test_whatever_was_under_way_is_in_doubt_after_a_restore(
    world: World, tmp_path: Path, status: str
) -> None:
    world.person("ann", 13 * DAY)
    world.score()
    world.alert()
    world.plan()
    world.rows("UPDATE outbox SET state = %s RETURNING 1", status)
    backups.backup(world.horizon.database, world.horizon.settings.home, tmp_path / "kept")
    restored = _restore(world, tmp_path / "kept")
    assert [row.status for row in restored.rows("SELECT status FROM messages")] == ["unknown"]
