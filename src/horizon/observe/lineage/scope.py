"""What a name means at one place of a query."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from horizon.observe.lineage.model import Kind, Relation, Value, given, joined

SYSTEM_COLUMNS = frozenset({"ctid", "tableoid", "xmin", "xmax"})


class UnreadableQueryError(Exception):
    """Lineage cannot follow it. A test reads every query, so that nobody else meets this."""


class OthersTableError(UnreadableQueryError):
    """A table that is not Horizon's: the server's catalog, the job queue's, the ledger."""


@dataclass
class Scope:
    """The relations of one FROM, inside those of the queries around it."""

    parent: Scope | None = None
    relations: dict[str, Relation] = field(default_factory=dict)
    ctes: dict[str, Relation] = field(default_factory=dict)
    named: dict[str, Value] = field(default_factory=dict)  # a function's arguments, output names
    using: set[str] = field(default_factory=set)  # columns that two relations share as one

    def outside(self) -> Scope:
        """For a subquery in FROM that is not LATERAL: it does not see its neighbours."""
        return Scope(self.parent, {}, self.ctes, self.named)

    def with_outputs(self, columns: Mapping[str, Value]) -> Scope:
        """For ORDER BY and GROUP BY, which also know what the columns of the result are called."""
        return Scope(self, named=dict(columns))

    def column(self, name: str, table: str) -> Value:
        for scope in self._outward():
            found = scope._own(name, table)
            if found is not None:
                return found
        if name in SYSTEM_COLUMNS:
            return given("the row's version")
        raise UnreadableQueryError(f"there is no column {table + '.' if table else ''}{name}")

    def relation(self, name: str) -> Relation | None:
        for scope in self._outward():
            if name in scope.relations:
                return scope.relations[name]
        return None

    def cte(self, name: str) -> Relation | None:
        for scope in self._outward():
            if name in scope.ctes:
                return scope.ctes[name]
        return None

    def _outward(self) -> Iterator[Scope]:
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent

    def _own(self, name: str, table: str) -> Value | None:
        if table:
            relation = self.relations.get(table)
            return None if relation is None else relation.columns.get(name)
        found = [one.columns[name] for one in self.relations.values() if name in one.columns]
        if len(found) > 1 and name not in self.using:
            raise UnreadableQueryError(f"the column {name} may be one of {len(found)}")
        if found:
            return found[0]
        if name in self.relations:  # the whole row, as open_alert(a) has it
            return joined(self.relations[name].columns.values()).through(Kind.TRANSFORMATION)
        return self.named.get(name)
