"""What a mistyped command line is told: what there is instead, in our words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any


def explained(exc: Any) -> Any:
    """The framework's error, with what the person needs to type it right."""
    kind = type(exc).__name__
    if kind == "MissingParameter" and exc.param is not None:
        _name_missing(exc)
    elif kind == "BadParameter":
        _name_choices(exc)
    elif kind == "UsageError" and exc.message.startswith("No such command"):
        _name_commands(exc)
    return exc


def _name_missing(exc: Any) -> None:
    """With what it is for, and with both words of a yes or no."""
    missing = exc.param
    exc.message = exc.message or missing.help or ""
    exc.param_hint = " or ".join(
        f"'{word}'" for word in (*missing.opts, *missing.secondary_opts)
    ) if missing.secondary_opts else None  # fmt: skip


def _name_choices(exc: Any) -> None:
    exc.message = exc.message.removeprefix("Value error, ")
    value, said, names = exc.message.partition(" is not one of ")
    if said:
        *first, last = re.findall(r"'([^']*)'", names)
        exc.message = f"{value} is none of them: choose {', '.join(first)} or {last}."


def _name_commands(exc: Any) -> None:
    """Near names of the group stand there already, where it has some."""
    if "Did you mean" in exc.message or exc.ctx is None:
        return
    commands, told = exc.ctx.command.commands, exc.message.rstrip(".")
    if exc.ctx.parent is not None:
        exc.message = f"{told}: choose {', '.join(commands)}."
    elif near := _verbs_like(exc.message.split("'")[1], commands):
        exc.message = f"{told}. Did you mean {' or '.join(near)}?"
    else:
        exc.message = f"{told}: `horizon --help` lists them."


def _verbs_like(wrong: str, groups: Mapping[str, Any]) -> list[str]:
    """As they are typed: ``horizon source add`` for ``add``."""
    typed: dict[str, list[str]] = {}
    for noun, group in groups.items():
        for verb in getattr(group, "commands", {}):
            typed.setdefault(verb, []).append(f"`horizon {noun} {verb}`")
    return [one for verb in get_close_matches(wrong, typed, 1) for one in typed[verb]]
