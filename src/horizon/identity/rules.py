"""Which evidence makes two identifiers one person: the rules, as data."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from typing import Any, Final, Literal

from horizon.errors import UsageError

Window = Literal["ever", "year", "month", "week"]
WINDOWS: Final = ("ever", "year", "month", "week")

_KIND = re.compile(r"[a-z][a-z0-9_.]{0,62}")
_PATTERNS = 100
_PATTERN_LENGTH = 200


@dataclass(frozen=True)
class Kind:
    """What holds for identifiers of a kind."""

    priority: int = 50  # 1 is the strongest
    limit: int = 0  # on one profile; 0: any number
    window: Window = "ever"  # within which the limit counts, by first event, in UTC
    owners: int = 10  # neighbours of one stronger kind; 0: any number
    blocked: tuple[str, ...] = ()

    def blocks(self, value: str) -> bool:
        return any(_pattern(text).fullmatch(value) for text in self.blocked)


@dataclass(frozen=True)
class Rules:
    default: Kind = field(default_factory=Kind)
    kinds: dict[str, Kind] = field(default_factory=dict)
    neighbours: int = 10_000  # of any kind

    def of(self, kind: str) -> Kind:
        return self.kinds.get(kind, self.default)


@cache
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


def shipped_text() -> str:
    return (resources.files("horizon.identity") / "rules.toml").read_text()


def read(text: str) -> Rules:
    """Raises UsageError, which names the place and says what to write there."""
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise UsageError(f"The rules are not TOML ({exc}): mend that place.") from exc
    _only(found, {"neighbours", "default", "kinds"}, "the rules")
    default = _kind(Kind(), found.get("default", {}), "default")
    kinds = {}
    for name, section in _table(found.get("kinds", {}), "kinds").items():
        if not _KIND.fullmatch(name):
            raise UsageError(
                f"kinds.{name} is no kind: use small letters, digits, dots and underscores, a "
                "letter first."
            )
        kinds[name] = _kind(default, section, f"kinds.{name}")
    neighbours = _number(found.get("neighbours", 10_000), "neighbours", 2)
    return Rules(default, kinds, neighbours)


def read_whole(text: str, in_force: Rules) -> Rules:
    """Rules that shall take the place of those in force: what they leave out is not guessed."""
    rules = read(text)
    found = tomllib.loads(text)
    for name, wanted in (("neighbours", "neighbours = 10_000"), ("default", "[default]")):
        if name not in found:
            raise UsageError(f"The rules have no {name}, and a file takes the place of all that "
                             f"hold: write {wanted}.")  # fmt: skip
    for name in sorted(in_force.kinds.keys() - rules.kinds.keys()):
        raise UsageError(
            f"The rules that hold name kinds.{name}, these do not: write [kinds.{name}], with "
            "nothing below where it shall be as [default] says."
        )
    return rules


def _kind(base: Kind, section: Any, place: str) -> Kind:
    found = _table(section, place)
    _only(found, {"priority", "limit", "window", "owners", "blocked"}, place)
    least = {"priority": 1, "limit": 0, "owners": 0}
    changed: dict[str, Any] = {
        name: _number(found[name], f"{place}.{name}", low)
        for name, low in least.items()
        if name in found
    }
    if "window" in found:
        changed["window"] = _window(found["window"], f"{place}.window")
    if "blocked" in found:
        changed["blocked"] = _blocked(found["blocked"], f"{place}.blocked")
    return replace(base, **changed)


def _table(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(f"{place} is no section: write [{place}] and its keys below.")
    return value


def _only(found: dict[str, Any], known: set[str], place: str) -> None:
    for name in found:
        if name not in known:
            raise UsageError(f"{place} has no {name}: there are {', '.join(sorted(known))}.")


def _number(value: Any, place: str, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= 1_000_000_000:
        raise UsageError(f"{place} must be a whole number from {least} on, not {value!r}.")
    return value


def _window(value: Any, place: str) -> Window:
    if value not in WINDOWS:
        raise UsageError(f"{place} must be one of {', '.join(WINDOWS)}, not {value!r}.")
    return value  # type: ignore[no-any-return]


def _blocked(value: Any, place: str) -> tuple[str, ...]:
    if (
        not isinstance(value, list)
        or len(value) > _PATTERNS
        or not all(isinstance(one, str) and len(one) <= _PATTERN_LENGTH for one in value)
    ):
        raise UsageError(
            f"{place} must be a list of at most {_PATTERNS} patterns, each in quotes and of at "
            f"most {_PATTERN_LENGTH} characters."
        )
    for one in value:
        try:
            _pattern(one)
        except re.error as exc:
            raise UsageError(f"{place} holds {one!r}, which is no pattern: {exc}.") from exc
    return tuple(value)
