"""Where the value of an expression comes from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from sqlglot import exp

from horizon.observe.lineage.model import NOTHING, Kind, Relation, Value, given, joined
from horizon.observe.lineage.scope import Scope, UnreadableQueryError

# Aggregates that sqlglot has no class for.
AGGREGATES = frozenset({"bool_or", "bool_and", "jsonb_agg", "json_agg", "jsonb_object_agg"})
# Functions of which who has the result does not have the argument.
MASKING = frozenset({"masked_address"})

_QUERIES = (exp.Select, exp.SetOperation, exp.Subquery)
_CONSTANTS = (exp.Literal, exp.Boolean, exp.Null, exp.Interval)
_NO_VALUES = (exp.DataType, exp.Identifier, exp.Var, exp.JSONPath, exp.WindowSpec)


class Reading(Protocol):
    """What expressions need of the one who reads queries."""

    def query(self, node: exp.Expr, scope: Scope) -> Relation: ...

    def call(self, name: str, arguments: list[exp.Expr], scope: Scope) -> Relation | None:
        """What one of our functions gives; None for one that is not ours."""

    def parameter(self, name: str) -> Value: ...


class Expressions:
    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._kinds: Mapping[type[exp.Expr], Callable[..., Value]] = {
            exp.Column: self._column,
            exp.Case: self._case,
            exp.If: self._case,
            exp.Window: self._window,
            exp.Filter: self._filter,
            exp.Exists: self._exists,
            exp.Order: self._order,
            exp.Anonymous: self._function,
            exp.Placeholder: lambda node, _: self._reading.parameter(node.name),
            exp.Star: lambda *_: given("the number of rows"),
            exp.RowNumber: lambda *_: given("the row's number"),
            exp.Cast: lambda node, scope: self.value(node.this, scope),
            exp.Paren: lambda node, scope: self.value(node.this, scope),
            exp.Alias: lambda node, scope: self.value(node.this, scope),
            exp.Ordered: lambda node, scope: self.value(node.this, scope),
        }

    def value(self, node: exp.Expr, scope: Scope) -> Value:
        """Raises UnreadableQueryError."""
        if isinstance(node, _NO_VALUES):
            return NOTHING
        if isinstance(node, _CONSTANTS):
            return given("a constant")
        if isinstance(node, _QUERIES):
            return scalar(self._reading.query(node, scope))
        known = self._kinds.get(type(node))
        if known is not None:
            return known(node, scope)
        kind = Kind.AGGREGATION if isinstance(node, exp.AggFunc) else Kind.TRANSFORMATION
        return self._computed(node, scope, kind)

    def values(self, nodes: Iterable[exp.Expr], scope: Scope) -> Value:
        return joined(self.value(node, scope) for node in nodes)

    def _computed(self, node: exp.Expr, scope: Scope, kind: Kind) -> Value:
        children = list(node.iter_expressions())
        if not children and isinstance(node, exp.Func):
            return given(f"{node.sql_name().lower()}()")
        return self.values(children, scope).through(kind)

    def _column(self, node: exp.Column, scope: Scope) -> Value:
        if isinstance(node.this, exp.Star):
            relation = scope.relation(node.table)
            if relation is None:
                raise UnreadableQueryError(f"there is no table {node.table}")
            return joined(relation.columns.values()).through(Kind.TRANSFORMATION)
        return scope.column(node.name, node.table)

    def _case(self, node: exp.Case | exp.If, scope: Scope) -> Value:
        branches = node.args["ifs"] if isinstance(node, exp.Case) else [node]
        asked = [branch.this for branch in branches]
        taken = [branch.args["true"] for branch in branches]
        if isinstance(node, exp.Case):
            asked += [node.this] if node.this else []
            taken += [node.args["default"]] if node.args.get("default") else []
        conditions = self.values(asked, scope).through(Kind.CONDITIONAL)
        return self.values(taken, scope).through(Kind.TRANSFORMATION) | conditions

    def _window(self, node: exp.Window, scope: Scope) -> Value:
        return self.value(node.this, scope) | self.windowed(node, scope)

    def windowed(self, node: exp.Window, scope: Scope) -> Value:
        order = node.args.get("order")
        over = [*(node.args.get("partition_by") or ()), *(order.expressions if order else ())]
        return self.values(over, scope).through(Kind.WINDOW)

    def _filter(self, node: exp.Filter, scope: Scope) -> Value:
        # As sum(CASE WHEN ...) would have it: it decides the value, not whether there is a row.
        asked = self.value(node.expression.this, scope).through(Kind.CONDITIONAL)
        return self.value(node.this, scope) | asked

    def _exists(self, node: exp.Exists, scope: Scope) -> Value:
        found = self._reading.query(node.this, scope)
        return found.whole.through(Kind.FILTER) | given("whether there are such rows")

    def _order(self, node: exp.Order, scope: Scope) -> Value:
        """Within an aggregate: jsonb_agg(x ORDER BY y)."""
        return self.value(node.this, scope) | self.values(node.expressions, scope).through(
            Kind.SORT
        )

    def _function(self, node: exp.Anonymous, scope: Scope) -> Value:
        name = node.name.lower()
        ours = self._reading.call(name, node.expressions, scope)
        if ours is not None:
            return scalar(ours).through(Kind.TRANSFORMATION, name in MASKING)
        if not node.expressions:
            return given(f"{name}()")
        kind = Kind.AGGREGATION if name in AGGREGATES else Kind.TRANSFORMATION
        return self.values(node.expressions, scope).through(kind)


def scalar(relation: Relation) -> Value:
    """A query in the place of a value: its first column, and what decided which row that is."""
    return next(iter(relation.columns.values()), NOTHING) | relation.whole
