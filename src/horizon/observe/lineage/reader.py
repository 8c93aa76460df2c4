"""Follows a statement from its tables to its columns and to what it writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import sqlglot
from sqlglot import exp

from horizon.observe.lineage import sources
from horizon.observe.lineage.dictionary import DIALECT, Dictionary, Function, statements
from horizon.observe.lineage.expressions import Expressions
from horizon.observe.lineage.model import NOTHING, Kind, Relation, Trace, Value, given, joined
from horizon.observe.lineage.scope import Scope, UnreadableQueryError
from horizon.observe.lineage.writing import Writing


class Reader:
    """One statement's reader. ``parameters`` says where values come from that code passes from one
    query to another, ``filled`` what temporary tables were filled with; ``expand``: through views
    down to their tables."""

    def __init__(
        self,
        known: Dictionary,
        parameters: Mapping[str, Value] | None = None,
        *,
        expand: bool = False,
        filled: Mapping[str, Relation] | None = None,
    ) -> None:
        self.known = known
        self.filled = filled or {}
        self.expand = expand
        self.trace = Trace()
        self.expressions = Expressions(self)
        self._parameters = parameters or {}
        self._writing = Writing(self)

    def parameter(self, name: str) -> Value:
        return self._parameters.get(name) or given(f"parameter {name}")

    def query(self, node: exp.Expr, scope: Scope | None = None) -> Relation:
        """Raises UnreadableQueryError."""
        inner = Scope(scope)
        self._ctes(node.args.get("with_"), inner)
        if isinstance(node, exp.Subquery):
            return self.query(node.this, inner)
        if isinstance(node, exp.SetOperation):
            return self._set_operation(node, inner)
        if isinstance(node, exp.Values):
            return self.rows(node, inner)
        if isinstance(node, exp.Insert):
            return self._writing.insert(node, inner)
        if isinstance(node, exp.Update):
            return self._writing.update(node, inner)
        if isinstance(node, exp.Delete):
            return self._writing.delete(node, inner)
        if isinstance(node, exp.Select):
            return self._select(node, inner)
        raise UnreadableQueryError(f"nothing is known of {type(node).__name__.upper()}")

    def _ctes(self, node: exp.With | None, scope: Scope) -> None:
        for cte in node.expressions if node else ():
            parts = [cte.this]
            if node and node.recursive and isinstance(cte.this, exp.SetOperation):
                # What it begins with, then what one more round makes of it, and one more of that.
                parts = [cte.this.this, cte.this, cte.this]
            for part in parts:
                scope.ctes[cte.alias] = self.query(part, scope).renamed(cte.alias_column_names)

    def rows(self, node: exp.Values, scope: Scope) -> Relation:
        """VALUES: each column is what stands at its place in any of the rows."""
        places = zip(*(row.expressions for row in node.expressions), strict=True)
        columns = {
            f"column{number}": self.expressions.values(place, scope)
            for number, place in enumerate(places, 1)
        }
        return Relation(columns).renamed(node.alias_column_names)

    def joins(self, nodes: Iterable[exp.Join], scope: Scope) -> Value:
        """Takes each into the scope; what decided which rows remain."""
        whole = NOTHING
        for join in nodes:
            whole |= sources.add(self, join.this, scope)
            if join.args.get("on"):
                whole |= self.expressions.value(join.args["on"], scope).through(Kind.JOIN)
            for name in (one.name for one in join.args.get("using") or ()):
                scope.using.add(name)
                shared = [one.columns[name] for one in scope.relations.values()
                          if name in one.columns]  # fmt: skip
                whole |= joined(shared).through(Kind.JOIN)
        return whole

    def projected(self, nodes: Iterable[exp.Expr], scope: Scope) -> dict[str, Value]:
        columns: dict[str, Value] = {}
        for node in nodes:
            if isinstance(node, exp.Star) or (
                isinstance(node, exp.Column) and isinstance(node.this, exp.Star)
            ):
                table = node.table if isinstance(node, exp.Column) else None
                self._all(columns, scope, table)
            else:
                _place(columns, _named(node), self.expressions.value(node, scope))
        return columns

    def _all(self, columns: dict[str, Value], scope: Scope, table: str | None) -> None:
        for alias, relation in scope.relations.items():
            if table in (None, alias):
                for name, value in relation.columns.items():
                    if not (name in columns and name in scope.using):
                        _place(columns, name, value)

    def _select(self, node: exp.Select, scope: Scope) -> Relation:
        whole = NOTHING
        if node.args.get("from_"):
            whole |= sources.add(self, node.args["from_"].this, scope)
        whole |= self.joins(node.args.get("joins", ()), scope)
        if node.args.get("where"):
            whole |= self.expressions.value(node.args["where"].this, scope).through(Kind.FILTER)
        columns = self.projected(node.expressions, scope)
        return Relation(columns, whole | self._arranged(node, scope, columns))

    def _arranged(self, node: exp.Select, scope: Scope, columns: dict[str, Value]) -> Value:
        """What groups and sorts the rows."""
        outer = scope.with_outputs(columns)
        whole = NOTHING
        group, distinct = node.args.get("group"), node.args.get("distinct")
        if group:
            sets = [group.args.get(name) or () for name in ("grouping_sets", "rollup", "cube")]
            keys = [*group.expressions, *(key for one in sets for key in one)]
            whole |= self._keys(keys, outer, columns).through(Kind.GROUP_BY)
        if distinct:
            on = distinct.args.get("on")
            keyed = self._keys(on.expressions, outer, columns) if on else joined(columns.values())
            whole |= keyed.through(Kind.GROUP_BY)
        if node.args.get("having"):
            asked = self.expressions.value(node.args["having"].this, outer)
            whole |= asked.through(Kind.FILTER)
        for window in node.args.get("windows") or ():  # WINDOW w AS (...)
            whole |= self.expressions.windowed(window, outer)
        return whole | self._sorted(node, outer, columns)

    def _sorted(self, node: exp.Expr, scope: Scope, columns: dict[str, Value]) -> Value:
        order = node.args.get("order")
        keys = [one.this for one in order.expressions] if order else []
        return self._keys(keys, scope, columns).through(Kind.SORT)

    def _keys(self, nodes: Iterable[exp.Expr], scope: Scope, columns: dict[str, Value]) -> Value:
        """A number is a column of the result by its place."""
        places = list(columns.values())
        return joined(
            places[int(node.name) - 1]
            if isinstance(node, exp.Literal) and not node.is_string
            else self.expressions.value(node, scope)
            for node in nodes
        )

    def _set_operation(self, node: exp.SetOperation, scope: Scope) -> Relation:
        left, right = (self.query(side, scope) for side in (node.this, node.expression))
        columns = {
            name: one | other
            for (name, one), other in zip(left.columns.items(), right.columns.values(), strict=True)
        }
        outer = scope.with_outputs(columns)
        return Relation(columns, left.whole | right.whole | self._sorted(node, outer, columns))

    def call(self, name: str, arguments: list[exp.Expr], scope: Scope) -> Relation | None:
        function = self.known.functions.get(name)
        if function is None:
            return None
        body = Scope()
        for (argument, kind), node in zip(function.arguments, arguments, strict=True):
            relation = scope.relation(node.name) if isinstance(node, exp.Column) else None
            if kind in self.known.tables and relation is not None:  # a row, whole
                body.relations[argument] = relation
            else:
                body.named[argument] = self.expressions.value(node, scope)
        if function.language == "sql":
            found = self.query(_parsed(function.body), body)
            return found.renamed(function.returns) if function.returns else found
        self._procedure(function, body)
        return Relation(dict.fromkeys(function.returns or (name,), given(f"what {name}() did")))

    def _procedure(self, function: Function, scope: Scope) -> None:
        """PL/pgSQL: its declarations, then each statement that writes. EXECUTE makes partitions."""
        declared, _, body = function.body.partition("BEGIN")
        for name, kind, value in sources.declarations(declared):
            if kind in self.known.tables:
                scope.relations[name] = sources.stored(self.known.tables[kind])
            elif value:
                node = _parsed(f"SELECT {value}")
                scope.named[name] = self.expressions.value(node.expressions[0], scope)
        for text in statements(body):
            found = sources.WRITES.search(text)
            if found and "EXECUTE" not in text:
                self.query(_parsed(sources.INTO.sub("", text[found.start() :])), scope)


def _parsed(text: str) -> exp.Expr:
    return sqlglot.parse_one(text, dialect=DIALECT)


def _place(columns: dict[str, Value], name: str, value: Value) -> None:
    """Two columns of a result may share a name; each keeps its place."""
    columns[name if name not in columns else f"{name}#{len(columns)}"] = value


def _named(node: exp.Expr) -> str:
    """What PostgreSQL calls this column of a result."""
    if isinstance(node, exp.Alias):
        return str(node.alias)
    if isinstance(node, exp.Column | exp.Anonymous):
        return str(node.name)
    if isinstance(node, exp.Cast | exp.Bracket | exp.Paren):
        return _named(node.this)
    if isinstance(node, exp.Subquery) and isinstance(node.this, exp.Select):
        return _named(node.this.expressions[0])
    return str(node.sql_name()).lower() if isinstance(node, exp.Func) else "?column?"
