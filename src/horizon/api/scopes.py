"""What a token may read: a scope for each part of a profile."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from horizon.errors import UsageError

ALL = "all"


class Scope(StrEnum):
    PROFILES = "profiles:read"
    TRAITS = "traits:read"
    EVENTS = "events:read"
    IDENTIFIERS = "identifiers:read"
    SEGMENTS = "segments:read"
    SCORES = "scores:read"
    MESSAGES = "messages:read"


def read_scopes(texts: Iterable[str]) -> list[Scope]:
    """Raises UsageError."""
    texts = set(texts)
    if not texts:
        raise UsageError(f"A token without a scope reads nothing: give --scope {Scope.TRAITS}, or "
                         f"--scope {ALL}.")  # fmt: skip
    unknown = texts - {ALL, *Scope}
    if unknown:
        raise UsageError(f"There is no scope {min(unknown)!r}: there are {', '.join(Scope)}, and "
                         f"{ALL} for each of them.")  # fmt: skip
    return [scope for scope in Scope if ALL in texts or scope in texts]
