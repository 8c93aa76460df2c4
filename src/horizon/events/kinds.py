"""Kinds of identifiers: which is stronger, where their values stand, and who may say them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from horizon.events.blocked import is_blocked

# The order of an event's nodes, 1 the strongest; frozen, since events keep it. How kinds weigh
# against each other in matching is in identity/rules.toml.
RANKS: Final[Mapping[str, int]] = {
    "user_id": 1, "email": 2, "phone": 3, "anonymous_id": 80, "device_id": 85, "advertising_id": 90,
}  # fmt: skip
OTHER_RANK: Final = 50  # external ids, and kinds of the operator's own
VALUE_LENGTH: Final = 512
PLACES: Final = ("traits", "properties", "context")  # of an event

# What a person is written to at: whoever asserts one for somebody reads that one's mail.
_ADDRESSES: Final = frozenset({"email", "phone"})
_KIND: Final = re.compile(r"[a-z][a-z0-9_.]{0,62}")
EMAIL: Final = re.compile(r"[^\s@\0-\x1f]{1,64}@[^\s@\0-\x1f]{1,255}")
_PHONE: Final = re.compile(r"(?=[^1-9]*[1-9])(?:[^0-9]*[0-9]){5}.*", re.DOTALL)  # 5 digits or more


Identifier = tuple[str, str]  # its kind and its value; a tuple, since each event makes some


@dataclass(frozen=True, eq=False)  # compared and hashed by identity: it is in the key of a cache
class Kinds:
    """What this installation reads besides the built-in kinds, and whom it believes."""

    # Kinds of its own: where their values stand, and by which names one gets there.
    declared: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    verified_only: frozenset[str] = frozenset()
    unproven: frozenset[str] = field(init=False)  # kinds that an untrusted source only claims
    in_properties: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "unproven", _ADDRESSES | self.verified_only)
        places = {place for _, place, _ in self.declared}
        object.__setattr__(self, "in_properties", "properties" in places)

    def declared_in(self, place: str, found: object) -> list[Identifier]:
        """The identifiers of declared kinds in an event's traits, properties or context."""
        return [
            identifier
            for kind, there, path in self.declared
            if there == place and (identifier := identifier_of(kind, _at(found, path)))
        ]


BUILT_IN: Final = Kinds()


def kinds_of(identifiers: str, verified_only: str) -> Kinds:
    """From the texts of the settings IDENTIFIERS and VERIFIED_ONLY, whose form is checked."""
    declared = []
    for item in identifiers.split(","):
        kind, _, path = item.strip().partition("=")
        place, *names = path.split(".")
        if names:
            declared.append((kind, place, tuple(names)))
    named = frozenset(name.strip() for name in verified_only.split(","))
    return Kinds(tuple(declared), named - {""})


def rank_of(kind: str) -> int:
    return RANKS.get(kind, OTHER_RANK)


def kind_named(name: object) -> str | None:
    """The kind of this name; None for what can be none."""
    if not isinstance(name, str):
        return None
    kind = name.strip().lower()
    return kind if _KIND.fullmatch(kind) else None


def identifier_of(kind: str, value: object) -> Identifier | None:
    """None where the value is not a text or number that can belong to one person."""
    text = _text(value)
    if not text or len(text) > VALUE_LENGTH or "\0" in text or is_blocked(text):
        return None
    if kind == "email" and not EMAIL.fullmatch(text):
        return None
    if kind == "phone" and not _PHONE.fullmatch(text):
        return None
    return kind, text


def _text(value: object) -> str | None:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, float) and value.is_integer():  # 12.0 and 12 are one; NaN is none
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if abs(value) < 10**VALUE_LENGTH else None
    return None


def _at(found: Any, path: tuple[str, ...]) -> object:
    for name in path:
        if not isinstance(found, dict):
            return None
        found = found.get(name)
    return found
