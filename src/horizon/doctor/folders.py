"""The home, the keys, the log: can they be written, and is there room."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from horizon import keys
from horizon.doctor.finding import Case, Finding, ok, problem, warning
from horizon.errors import HorizonError
from horizon.observe.metrics.place import existing, takes_files
from horizon.postgres.room import database_folders, free_share
from horizon.settings import Settings

PROBLEM_BYTES: Final = 500_000_000
WARNING_BYTES: Final = 5_000_000_000


def check_folders(case: Case) -> Iterator[Finding]:
    settings = case.settings
    yield _folder("home", settings.home, "HORIZON_HOME")
    yield from _keys(settings)
    yield _folder("log", settings.log_path.parent, "LOG_PATH")
    if settings.log_path.exists() and not os.access(settings.log_path, os.W_OK):
        yield problem(
            "log", f"{settings.log_path} cannot be written, and its lines are lost",
            f"Type: chown {os.getuid()} {settings.log_path}",
        )  # fmt: skip
    seen = {existing(path).stat().st_dev: path for path in (settings.log_path, settings.home)}
    for path in seen.values():
        yield _room(existing(path))
    for folder in database_folders(settings):
        if free_share(folder) < settings.DISK_LEAST_FREE:
            yield problem(
                "disk",
                f"{folder} has less than {settings.DISK_LEAST_FREE:.0%} of its disk left, and the "
                "collector takes no events",
                "Free some, or set DISK_LEAST_FREE to a smaller share.",
            )  # fmt: skip
            break


def _folder(part: str, folder: Path, name: str) -> Finding:
    there = existing(folder)
    if not there.is_dir():
        return problem(part, f"{there} is no folder", f"Take it away, or set {name}.")
    if not takes_files(there):
        return problem(
            part, f"{there} cannot be written",
            f"Run as the user who owns it, or set {name} to a folder of yours.",
        )  # fmt: skip
    return ok(part, f"{folder} can be {'written' if there == folder else 'made'}")


def _keys(settings: Settings) -> Iterator[Finding]:
    folder = settings.home / "keys"
    if not folder.exists():
        yield warning("keys", f"{folder} is not there yet", "Type `horizon init`, and back it up.")
        return
    try:
        keys.load(settings.home)
    except HorizonError as exc:
        yield problem("keys", str(exc).rstrip("."), "Put them back from your backup's FILE.keys.")
        return
    exposed = [
        path for path in (folder, *(folder / name for name in keys.NAMES))
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    ]  # fmt: skip
    if exposed:
        yield problem(
            "keys", f"other accounts can open {exposed[0]}", f"Type: chmod -R go= {folder}"
        )
    else:
        yield ok("keys", f"{folder} is there, and closed to other accounts")


def _room(folder: Path) -> Finding:
    usage = shutil.disk_usage(folder)
    told = f"{folder} has {usage.free / 1e9:.1f} GB of {usage.total / 1e9:.0f} GB left"
    todo = "Free some, or set HORIZON_HOME and LOG_PATH to a disk with room."
    if usage.free < PROBLEM_BYTES:
        return problem("disk", told, todo)
    return warning("disk", told, todo) if usage.free < WARNING_BYTES else ok("disk", told)
