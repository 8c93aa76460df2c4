"""The embedded server: started once, found again, nobody else's, and back after any crash."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from horizon.errors import DatabaseError
from horizon.postgres import account
from horizon.postgres.embedded import EmbeddedPostgres, binaries

AS_ROOT = os.geteuid() == 0
START = "import sys, pathlib; from horizon.postgres.embedded import EmbeddedPostgres\n"
START += "EmbeddedPostgres(pathlib.Path(sys.argv[1])).start()"


@pytest.fixture(scope="module")
def new_home() -> Iterator[Callable[[], Path]]:
    """Makes homes whose servers are stopped and removed at the end; spaces are meant."""
    homes: list[Path] = []

    def make() -> Path:
        homes.append(Path(tempfile.mkdtemp(prefix="horizon tests é ")))
        homes[-1].chmod(0o755)
        return homes[-1]

    yield make
    for home in homes:
        remove(EmbeddedPostgres(home))


def remove(server: EmbeddedPostgres) -> None:
    if server.running():  # nobody needs its data: no last checkpoint, which takes a second each
        server._pg_ctl("stop", "-m", "immediate", "-w")
    server.stop()
    for folder in (server.data, server.socket_folder, server.home):
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def running(new_home: Callable[[], Path]) -> EmbeddedPostgres:
    server = EmbeddedPostgres(new_home())
    server.start()
    return server


def start_in_another_process(home: Path, **environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", START, str(home)],
        env={**os.environ, **environment},
        stderr=subprocess.PIPE,
    )


def kill(server: EmbeddedPostgres) -> None:
    pid = server.pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


def count_of_postmasters(server: EmbeddedPostgres) -> int:
    found = 0
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found += os.fsencode(server.data) in command.read_bytes().split(b"\0")
    return found


def test_a_second_start_finds_the_first_one_s_server(running: EmbeddedPostgres) -> None:
    pid = running.pid()
    begun = time.monotonic()
    EmbeddedPostgres(running.home).start()
    assert time.monotonic() - begun < 0.5
    assert running.pid() == pid


def test_a_home_by_another_name_is_the_same_home(running: EmbeddedPostgres, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(running.home)
    assert EmbeddedPostgres(link).dsn == running.dsn


def test_the_owner_may_make_databases_and_is_no_superuser(running: EmbeddedPostgres) -> None:
    with psycopg.connect(running.dsn) as connection:
        row = connection.execute(
            "SELECT rolname, rolsuper, rolcreaterole, rolcreatedb FROM pg_roles "
            "WHERE rolname = current_user"
        ).fetchone()
    assert row == ("horizon_owner", False, True, True)


def test_two_first_starts_at_once_make_one_server(new_home: Callable[[], Path]) -> None:
    home = new_home()
    # A port, a locale and a folder of the person's own must not bend the server.
    bent = {"PGPORT": "7777", "LC_ALL": "xx_YY.UTF-8", "TMPDIR": str(home)}
    starts = [start_in_another_process(home), start_in_another_process(home, **bent)]
    assert [start.communicate(timeout=60)[1] for start in starts] == [b"", b""]
    assert [start.returncode for start in starts] == [0, 0]
    server = EmbeddedPostgres(home)
    assert count_of_postmasters(server) == 1
    with psycopg.connect(server.dsn) as connection:
        assert connection.execute("SHOW port").fetchone() == ("5432",)


def test_a_first_start_that_is_killed_is_made_good_by_the_next(
    new_home: Callable[[], Path],
) -> None:
    home = new_home()
    server = EmbeddedPostgres(home)
    cut_off = start_in_another_process(home)
    wait_until(lambda: any(home.glob(".postgres.half-*/PG_VERSION")))
    cut_off.kill()
    cut_off.communicate()
    assert not server.exists()
    server.start()
    with psycopg.connect(server.dsn) as connection:
        assert connection.info.dbname == "horizon"


def test_data_survives_kill_9_even_with_work_under_way(running: EmbeddedPostgres) -> None:
    with psycopg.connect(running.dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    busy = psycopg.connect(running.dsn)
    work = threading.Thread(target=work_on, args=[busy])
    work.start()
    kill(running)
    running.start()
    with psycopg.connect(running.dsn) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
    assert count_of_postmasters(running) == 1
    work.join()
    busy.close()


def work_on(connection: psycopg.Connection) -> None:
    """About a second of work that no dying server interrupts."""
    with contextlib.suppress(psycopg.Error):
        connection.execute("SELECT count(*) FROM generate_series(1, 5000000)")


def test_children_that_go_while_it_starts_do_not_keep_it_from_starting(
    running: EmbeddedPostgres,
) -> None:
    """Their last words stand behind the refusal in the log: it is tried again all the same."""
    sessions = [psycopg.connect(running.dsn) for _ in range(8)]
    children = [session.info.backend_pid for session in sessions]
    for child in children:
        os.kill(child, signal.SIGSTOP)
    kill(running)
    wait_until(lambda: running.pid() is None)
    before = running.log.stat().st_size
    starting = threading.Thread(target=running.start)
    starting.start()
    wait_until(lambda: "is still in use" in running.log.read_text()[before:])
    for child in children:
        os.kill(child, signal.SIGCONT)
    starting.join(60)
    psycopg.connect(running.dsn).close()
    for session in sessions:
        session.close()


def test_a_stale_pid_of_somebody_else_s_is_left_alone(running: EmbeddedPostgres) -> None:
    bystander = subprocess.Popen(["sleep", "60"])
    kill(running)
    wait_until(lambda: running.pid() is None)
    path = running.data / "postmaster.pid"
    path.write_text(f"{bystander.pid}\n{path.read_text().split(chr(10), 1)[1]}")
    assert not running.running()
    assert not running.stop()
    running.start()
    assert running.running()
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


def wait_until(true: Callable[[], bool]) -> None:
    given_up = time.monotonic() + 10
    while not true():
        assert time.monotonic() < given_up
        time.sleep(0.01)


def test_a_socket_that_was_swept_from_tmp_comes_back(running: EmbeddedPostgres) -> None:
    shutil.rmtree(running.socket_folder)
    running.start()
    psycopg.connect(running.dsn).close()


def test_a_stopped_server_leaves_nothing_in_tmp_and_comes_back(running: EmbeddedPostgres) -> None:
    assert running.stop()
    assert not running.socket_folder.exists()
    assert not running.stop()
    running.start()
    psycopg.connect(running.dsn).close()


def test_its_folders_open_for_its_account_alone(running: EmbeddedPostgres) -> None:
    for folder in (running.socket_folder, running.data):
        found = folder.stat()
        assert stat.S_IMODE(found.st_mode) == 0o700
        assert found.st_uid == running.account.uid
    for name in ("pg_hba.conf", "pg_ident.conf", "horizon.conf"):
        assert stat.S_IMODE((running.data / name).stat().st_mode) == 0o600


@pytest.mark.skipif(not AS_ROOT, reason="only root can act as another account")
def test_other_accounts_are_refused(running: EmbeddedPostgres) -> None:
    stranger = 65533  # neither the server's account nor ours
    psql = [str(binaries(running.account) / "psql"), "-X", "-c", "SELECT 1"]
    asked = [*psql, running.dsn_of("horizon", "postgres")]
    done = subprocess.run(
        asked, user=stranger, group=stranger, extra_groups=[], cwd="/", capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "Permission denied" in done.stderr
    # Not the folder alone keeps them out: the server knows its people by name.
    running.socket_folder.chmod(0o755)
    try:
        done = subprocess.run(
            asked, user=1, group=1, extra_groups=[], cwd="/", capture_output=True, text=True,
            check=False,
        )  # fmt: skip
    finally:
        running.socket_folder.chmod(0o700)
    assert done.returncode == 2
    assert "Peer authentication failed" in done.stderr


def test_nothing_listens_on_tcp(running: EmbeddedPostgres) -> None:
    with psycopg.connect(running.dsn) as connection:
        assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
    held = set()
    for link in Path(f"/proc/{running.pid()}/fd").iterdir():
        with contextlib.suppress(OSError):
            held.add(os.readlink(link))  # noqa: PTH115  a Path would lose the form
    sockets = {name[len("socket:[") : -1] for name in held if name.startswith("socket:[")}
    assert sockets
    for table in ("tcp", "tcp6"):
        lines = Path(f"/proc/{running.pid()}/net/{table}").read_text().splitlines()[1:]
        assert not sockets & {line.split()[9] for line in lines}


def test_a_link_in_the_socket_s_place_is_refused_and_its_aim_untouched(
    new_home: Callable[[], Path], tmp_path: Path
) -> None:
    server = EmbeddedPostgres(new_home())
    tmp_path.chmod(0o750)
    before = tmp_path.stat()
    server.socket_folder.symlink_to(tmp_path)
    try:
        with pytest.raises(DatabaseError, match="belongs to somebody else"):
            server.start()
    finally:
        server.socket_folder.unlink()
    after = tmp_path.stat()
    assert (after.st_uid, after.st_mode) == (before.st_uid, before.st_mode)


def test_a_folder_that_is_no_database_is_refused_and_kept(new_home: Callable[[], Path]) -> None:
    home = new_home()
    (home / "postgres").mkdir()
    (home / "postgres" / "letter.txt").write_text("mine")
    with pytest.raises(DatabaseError, match="take it away"):
        EmbeddedPostgres(home).start()
    assert (home / "postgres" / "letter.txt").read_text() == "mine"


def test_a_home_that_cannot_be_written_gets_a_sentence() -> None:
    with pytest.raises(DatabaseError, match="/proc/horizon cannot be written"):
        EmbeddedPostgres(Path("/proc/horizon")).start()


def test_a_server_that_does_not_start_shows_its_log(running: EmbeddedPostgres) -> None:
    running.stop()
    conf = running.data / "horizon.conf"
    kept = conf.read_text()
    conf.write_text("shared_buffers = 'much'\n")
    try:
        with pytest.raises(DatabaseError, match="shared_buffers"):
            running.start()
    finally:
        conf.write_text(kept)
    running.start()


@pytest.mark.skipif(not AS_ROOT, reason="only root's server runs under another account")
def test_root_s_closed_home_gets_a_reachable_place_and_keeps_it(
    monkeypatch: pytest.MonkeyPatch, new_home: Callable[[], Path]
) -> None:
    reachable = new_home()
    monkeypatch.setattr(account, "ROOT_FOLDER", reachable / "lib")
    closed = reachable / "closed"
    closed.mkdir(mode=0o700)
    before = os.umask(0o077)
    try:
        server = EmbeddedPostgres(closed / ".horizon")
        server.start()
        assert reachable / "lib" in server.data.parents
        # Opening the way later on must not lead to another, empty database.
        closed.chmod(0o755)
        assert EmbeddedPostgres(closed / ".horizon").data == server.data
    finally:
        os.umask(before)
        remove(server)


@pytest.mark.skipif(not AS_ROOT, reason="only root's server runs under another account")
def test_binaries_that_only_root_can_reach_are_copied(
    monkeypatch: pytest.MonkeyPatch, new_home: Callable[[], Path]
) -> None:
    reachable = new_home()
    monkeypatch.setattr(account, "ROOT_FOLDER", reachable / "lib")
    monkeypatch.setattr(account, "_reachable", lambda path: False)
    before = os.umask(0o077)
    try:
        folder = binaries(account.Account.current())
    finally:
        os.umask(before)
    assert reachable / "lib" in folder.parents
    assert binaries(account.Account.current()) == folder
    done = subprocess.run(
        [folder / "postgres", "--version"], user=65533, group=65533, extra_groups=[], cwd="/",
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.startswith("postgres (PostgreSQL)")
