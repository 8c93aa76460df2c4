"""Runs every check at the same time, each within its limit and whatever the others do."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from horizon import clock
from horizon import settings as setting
from horizon.delivery import channels
from horizon.doctor import (
    configuration,
    database,
    folders,
    lake,
    listeners,
    mail,
    names,
    ports,
    search,
)
from horizon.doctor.finding import Case, Check, Finding, ok, problem
from horizon.errors import SettingsError

LIMIT_S: Final = 20.0

CHECKS: Final[Mapping[str, Check]] = {
    "settings": configuration.check_settings,
    "folders": folders.check_folders,
    "database": database.check_database,
    "lake": lake.check_lake,
    "ports": ports.check_ports,
    "mail server": mail.check_mail_server,
    "DNS": names.check_names,
    "search server": search.check_search_server,
    "lineage": listeners.check_lineage,
}


def examine(
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
    *,
    checks: Mapping[str, Check] = CHECKS,
    limit_s: float = LIMIT_S,
) -> list[Finding]:
    """All findings in the order of the checks. With settings that cannot be read, that alone."""
    environ, folder = os.environ if environ is None else environ, folder or Path.cwd()
    try:
        settings = setting.load(environ, folder)
        channels.check_settings(environ, folder)
    except SettingsError as exc:
        found, _, todo = str(exc).partition(": ")
        return [problem("settings", f"{found}.", f"{todo[:1].upper()}{todo[1:]}")]
    case = Case(settings, clock.now(), environ, folder)
    return run_checks(case, checks, limit_s)


def run_checks(case: Case, checks: Mapping[str, Check], limit_s: float) -> list[Finding]:
    """A thread a check: one that hangs is left behind, since a daemon holds up no exit."""
    results: dict[str, list[Finding]] = {}
    threads = {}
    for part, check in checks.items():
        threads[part] = threading.Thread(
            target=_run, args=(part, check, case, results), daemon=True, name=f"doctor-{part}"
        )
        threads[part].start()
    deadline_s = time.monotonic() + limit_s
    for thread in threads.values():
        thread.join(max(0.0, deadline_s - time.monotonic()))
    return [one for part in checks for one in results.get(part) or [_hung(part, limit_s)]]


def _run(part: str, check: Check, case: Case, results: dict[str, list[Finding]]) -> None:
    try:
        results[part] = list(check(case)) or [ok(part, "nothing to look at")]
    except Exception as exc:  # noqa: BLE001 - one check's mistake must not hide what the others say
        results[part] = [
            problem(
                part, f"the check itself failed ({type(exc).__name__})",
                "Tell Horizon's makers, with what you did before.",
            )
        ]  # fmt: skip


def _hung(part: str, limit_s: float) -> Finding:
    return problem(
        part, f"no answer within {limit_s:g} s", "See whether its server can be reached from here."
    )
