"""What a check says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from horizon.settings import Settings


class Verdict(StrEnum):
    OK = "ok"
    WARNING = "warning"  # it works, and something is not as it should be
    PROBLEM = "problem"  # something does not work, or soon will not


@dataclass(frozen=True, slots=True)
class Finding:
    """``todo`` is empty where nothing is to be done. No secret stands in either."""

    part: str
    verdict: Verdict
    found: str
    todo: str = ""


@dataclass(frozen=True)
class Case:
    """What is looked over, and when."""

    settings: Settings
    clock: datetime
    environ: Mapping[str, str] = field(default_factory=dict)
    folder: Path = field(default_factory=Path.cwd)  # where horizon.toml may lie


Check = Callable[[Case], Iterable[Finding]]


def ok(part: str, found: str) -> Finding:
    return Finding(part, Verdict.OK, found)


def warning(part: str, found: str, todo: str) -> Finding:
    return Finding(part, Verdict.WARNING, found, todo)


def problem(part: str, found: str, todo: str) -> Finding:
    return Finding(part, Verdict.PROBLEM, found, todo)
