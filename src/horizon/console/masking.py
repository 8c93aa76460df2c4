"""Personal data as somebody may see it. Every value about a person goes through ``shown``."""

from __future__ import annotations

import tomllib
from collections.abc import Collection
from functools import cache
from importlib import resources
from typing import Any

from horizon.console.rules import Permission
from horizon.personal import masked

HIDDEN = "•••"

# What an audit's details call by these names is Horizon's, never a person's.
PLAIN = frozenset({"roles", "active", "factor", "scopes", "kind", "expires_at", "filter"})


@cache
def _catalogue() -> dict[str, dict[str, dict[str, str]]]:
    text = (resources.files("horizon.privacy") / "catalogue.toml").read_text()
    return tomllib.loads(text)


def class_of(table: str, column: str) -> str:
    """none, pseudonym, personal or secret. Raises KeyError for a column that nobody declared."""
    catalogue = _catalogue()
    for kind in ("table", "view"):
        if table in catalogue[kind]:
            return catalogue[kind][table][column].partition(":")[0]
    raise KeyError(table)


def shown(table: str, column: str, value: Any, permissions: Collection[Permission]) -> Any:
    """The value of privacy/catalogue.toml's column, masked where ``permissions`` do not do."""
    declared = class_of(table, column)
    if declared == "secret":
        return None if value is None else HIDDEN
    if declared != "personal" or Permission.PII_READ in permissions:
        return value
    return hidden(value)


def hidden(value: Any) -> Any:
    """An address and a number as ``personal.masked`` has them, other words not at all; what holds
    values keeps its form, and only its PLAIN ones."""
    if isinstance(value, dict):
        return {name: one if name in PLAIN else hidden(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [hidden(one) for one in value]
    if value is None or isinstance(value, bool):
        return value
    if not isinstance(value, str):
        return HIDDEN
    less = masked(value)
    return less if less != value else HIDDEN
