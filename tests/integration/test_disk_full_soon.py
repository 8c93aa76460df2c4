"""With too little room on the database's disk no event is taken, and the rest goes on."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path

import pytest

from horizon import keys
from horizon.doctor.finding import Case, Verdict
from horizon.doctor.folders import check_folders
from horizon.edge import room as room_module
from horizon.edge.room import Room
from horizon.events.sources import add_source
from horizon.log import LineFile, log_to
from horizon.postgres import account
from horizon.postgres.database import Database, Role
from horizon.postgres.embedded import EmbeddedPostgres
from horizon.postgres.era import open_era
from horizon.postgres.migrate import migrate
from horizon.postgres.room import database_folders, free_share
from horizon.serving.http import Refusal
from horizon.settings import Settings
from tests.conftest import FOR_TESTS
from tests.servers.collector import Answer, Collector

GOOD = {"type": "track", "userId": "u1", "event": "Viewed"}


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A disk of its own in memory, for a home."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a disk")
    folder = Path(tempfile.mkdtemp(prefix="horizon-disk-"))
    folder.chmod(0o755)
    mount = ["mount", "-t", "tmpfs", "-o", "size=300m,mode=755", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        folder.rmdir()
        pytest.skip("this container may not mount a disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
        folder.rmdir()


@contextmanager
def embedded(home: Path) -> Iterator[Database]:
    server = EmbeddedPostgres(home)
    try:
        server.start()
        with (server.data / "horizon.conf").open("a") as file:
            file.write(f"{FOR_TESTS}min_wal_size = '32MB'\nmax_wal_size = '64MB'\n")
        server.stop()
        server.start()
        database = Database(server.dsn)
        migrate(database)
        with database.transaction(Role.OWNER) as tx:
            open_era(tx, "tests")
        yield database
    finally:
        server.stop()


def code(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.json.get("code", "")


def test_a_disk_that_fills_is_told_before_it_is_full(
    small_disk: Path, free_port: Callable[[], int]
) -> None:
    keys.make(small_disk)
    settings = Settings(
        HORIZON_HOME=str(small_disk), LOG_PATH=str(small_disk / "log"),
        COLLECTOR_PORT=free_port(), API_PORT=free_port(),
            METRICS_PORT=free_port(),
    )  # fmt: skip
    taken: list[int] = []

    def send() -> Answer:
        answer = collector.post("/v1/track", GOOD, key)
        taken.append(answer.status)
        return answer

    with embedded(small_disk) as database:
        with database.transaction(Role.WORKER) as tx:
            key = add_source(tx, "shop", "server")
        with Collector(settings) as collector:
            assert send().status == 200
            assert collector.ask("GET", "/readyz").status == 200
            filled = small_disk / "filled"
            total = os.statvfs(small_disk).f_blocks * os.statvfs(small_disk).f_frsize
            free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
            with filled.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, free - total // 25)  # 4 % stay
            wait_for(send, (503, "disk_full_soon"))
            answer = send()
            assert int(answer.headers["retry-after"]) > 0
            assert code(collector.ask("GET", "/readyz")) == (503, "disk_full_soon")
            assert collector.ask("GET", "/healthz").status == 200
            told = [one for one in check_folders(Case(settings, datetime.now(UTC)))
                    if one.part == "disk" and "takes no events" in one.found]  # fmt: skip
            assert [one.verdict for one in told] == [Verdict.PROBLEM]
            filled.unlink()
            wait_for(send, (200, ""))
            assert collector.ask("GET", "/readyz").status == 200
        with database.transaction(Role.OWNER) as tx:
            (stored,) = tx.execute("SELECT count(*)::int FROM events").fetchone() or ()
    assert stored == taken.count(200)
    assert set(taken) == {200, 503}


def wait_for(ask: Callable[[], Answer], wanted: tuple[int, str]) -> None:
    deadline = time.monotonic() + 5
    while code(ask()) != wanted:
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize("least", [0.0, 1.0])
def test_the_share_is_a_setting(
    settings: Settings, tmp_path: Path, least: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account, "ROOT_FOLDER", tmp_path)
    own = settings.changed(PG_DSN=None, DISK_LEAST_FREE=least)
    database_folders(own)[0].mkdir(parents=True)
    room = Room(own, log_to(LineFile(tmp_path / "log")))
    with pytest.raises(Refusal) if least else nullcontext():
        room.check()


@pytest.mark.parametrize("full", ["data", "pg_wal"])
def test_a_log_of_changes_on_a_disk_of_its_own_is_watched_too(
    settings: Settings, tmp_path: Path, full: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    share = {"data": 0.5, "pg_wal": 0.5, full: 0.04}
    monkeypatch.setattr(
        room_module,
        "free_share",
        lambda folder: share["pg_wal" if folder.name == "pg_wal" else "data"],
    )
    room = Room(settings.changed(PG_DSN=None), log_to(LineFile(tmp_path / "log")))
    with pytest.raises(Refusal):
        room.check()


def test_a_database_elsewhere_is_not_looked_at(settings: Settings) -> None:
    assert database_folders(settings) == []
    assert free_share(Path("/nowhere")) == 1.0
    assert 0 < free_share(Path("/")) <= 1
