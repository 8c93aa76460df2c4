"""Where a value comes from: columns, each with how it got here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """OpenLineage's subtypes: the first three are DIRECT, the value itself; the others INDIRECT,
    what decided which rows there are or which branch was taken."""

    IDENTITY = "IDENTITY"
    TRANSFORMATION = "TRANSFORMATION"
    AGGREGATION = "AGGREGATION"
    JOIN = "JOIN"
    GROUP_BY = "GROUP_BY"
    FILTER = "FILTER"
    SORT = "SORT"
    WINDOW = "WINDOW"
    CONDITIONAL = "CONDITIONAL"

    @property
    def direct(self) -> bool:
        return self in _STRENGTH

    @property
    def type(self) -> str:
        return "DIRECT" if self.direct else "INDIRECT"


_STRENGTH = {Kind.IDENTITY: 0, Kind.TRANSFORMATION: 1, Kind.AGGREGATION: 2}


@dataclass(frozen=True, order=True)
class Column:
    table: str
    name: str

    def __str__(self) -> str:
        return f"{self.table}.{self.name}"


@dataclass(frozen=True, order=True)
class Origin:
    """One column and how it got here. ``masking``: hashed or shortened, so that who has the result
    does not have the column."""

    column: Column
    kind: Kind = Kind.IDENTITY
    masking: bool = False

    def through(self, kind: Kind, masking: bool = False) -> Origin:
        """The same after one more step: INDIRECT stays what it was, DIRECT takes the stronger."""
        if not self.kind.direct:
            return self
        if kind.direct:
            kind = max(self.kind, kind, key=_STRENGTH.__getitem__)
        return Origin(self.column, kind, self.masking or masking)


@dataclass(frozen=True)
class Value:
    """``reasons`` says where else it comes from: a parameter, a constant, a default."""

    origins: frozenset[Origin] = frozenset()
    reasons: frozenset[str] = frozenset()

    def through(self, kind: Kind, masking: bool = False) -> Value:
        origins = frozenset(origin.through(kind, masking) for origin in self.origins)
        # What only decides is no source of the value.
        return Value(origins, self.reasons if kind.direct else frozenset())

    def __or__(self, other: Value) -> Value:
        return Value(self.origins | other.origins, self.reasons | other.reasons)


NOTHING = Value()


def joined(values: Iterable[Value]) -> Value:
    result = NOTHING
    for value in values:
        result |= value
    return result


def given(reason: str) -> Value:
    return Value(reasons=frozenset({reason}))


@dataclass(frozen=True)
class Relation:
    """What a FROM can name. ``whole`` is what decided which rows it has."""

    columns: Mapping[str, Value]
    whole: Value = NOTHING

    def renamed(self, names: Iterable[str]) -> Relation:
        """With these names for its first columns, as ``AS t (a, b)`` gives them."""
        fresh = list(names)
        kept = list(self.columns)[len(fresh) :]
        return Relation(dict(zip([*fresh, *kept], self.columns.values(), strict=True)), self.whole)


@dataclass(frozen=True)
class Write:
    """What a statement does to one table. ``columns`` is empty where it takes rows away."""

    table: str
    columns: Mapping[str, Value]
    whole: Value = NOTHING


@dataclass
class Trace:
    """What a statement was seen to do: the tables that it reads, and its writes."""

    reads: set[str] = field(default_factory=set)
    writes: list[Write] = field(default_factory=list)


def strongest(origins: Iterable[Origin]) -> list[Origin]:
    """Sorted, with one DIRECT way a column: the strongest, and masked only if every way is."""
    found = set(origins)
    direct: dict[Column, list[Origin]] = {}
    for origin in found:
        if origin.kind.direct:
            direct.setdefault(origin.column, []).append(origin)
    best = {
        Origin(
            column, max((way.kind for way in ways), key=_STRENGTH.__getitem__),
            all(way.masking for way in ways),
        )
        for column, ways in direct.items()
    }  # fmt: skip
    return sorted(best | {origin for origin in found if not origin.kind.direct})
