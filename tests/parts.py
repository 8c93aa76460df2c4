"""Parts that only the system's packages bring: a browser, another PostgreSQL."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from horizon.postgres.account import Account


def system_program(names: Iterable[str], package: str) -> Path:
    """The first of these programs (names or paths) that the machine has.

    Where all are missing the test is skipped and says so; in CI nothing may be missing.
    """
    for name in names:
        if path := shutil.which(name):
            return Path(path)
    sentence = f"Debian's package {package} is missing: apt-get install {package}"
    if os.environ.get("CI") == "true":
        pytest.fail(sentence)
    pytest.skip(sentence)


@contextmanager
def debian_postgres(folder: Path) -> Iterator[str]:
    """Debian's PostgreSQL 15 in ``folder``, over TCP with a password; gives its DSN."""
    initdb = system_program(["/usr/lib/postgresql/15/bin/initdb"], "postgresql-15")
    data, password = folder / "pg15", folder / "password"
    password.write_text("only-here")
    data.mkdir()
    account = Account.current()
    if os.geteuid() == 0:
        os.chown(data, account.uid, account.gid)
    identity: dict[str, Any] = (
        {"user": account.uid, "group": account.gid, "extra_groups": []} if os.geteuid() == 0 else {}
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    control = [initdb.with_name("pg_ctl"), "-D", data, "-w"]

    def run(*words: object) -> None:
        done = subprocess.run(
            list(map(str, words)), cwd="/", check=False, stdout=subprocess.DEVNULL, **identity
        )
        assert done.returncode == 0, words

    run(initdb, "-D", data, "-U", "horizon", "-A", "scram-sha-256", f"--pwfile={password}", "-N")
    listen = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
    run(*control, "start", "-l", data / "server.log", "-o", listen)
    try:
        yield f"postgresql://horizon:only-here@127.0.0.1:{port}/postgres"
    finally:
        run(*control, "stop", "-m", "fast")


def certificate(stem: Path, name: str = "IP:127.0.0.1", days: int = 2) -> tuple[Path, Path]:
    """A certificate that vouches for itself, and its key; fewer days than none: it is expired."""
    openssl = system_program(["openssl"], "openssl")
    cert, key = stem.with_suffix(".pem"), stem.with_suffix(".key")
    request = stem.with_suffix(".csr")
    extensions = stem.with_suffix(".ext")
    extensions.write_text(f"subjectAltName={name}\nbasicConstraints=CA:TRUE\n")

    def run(*words: object) -> None:
        subprocess.run([openssl, *map(str, words)], check=True, capture_output=True)

    run("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
        "-keyout", key, "-out", request, "-subj", f"/CN={stem.name}")  # fmt: skip
    run("x509", "-req", "-in", request, "-signkey", key, "-days", days, "-out", cert,
        "-extfile", extensions)  # fmt: skip
    return cert, key
