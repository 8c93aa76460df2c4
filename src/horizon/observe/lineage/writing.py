"""INSERT, UPDATE and DELETE: which columns get which values, and what RETURNING gives."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from sqlglot import exp

from horizon.observe.lineage import sources
from horizon.observe.lineage.dictionary import Table
from horizon.observe.lineage.model import NOTHING, Kind, Relation, Value, Write, given
from horizon.observe.lineage.scope import Scope, UnreadableQueryError

if TYPE_CHECKING:
    from horizon.observe.lineage.reader import Reader


class Writing:
    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def insert(self, node: exp.Insert, scope: Scope) -> Relation:
        schema = node.this
        named = schema.expressions if isinstance(schema, exp.Schema) else []
        target = schema.this if isinstance(schema, exp.Schema) else schema
        table = self._table(target)
        found = self._reader.query(node.expression, scope)
        names = [one.name for one in named] or list(table.columns)
        columns = dict(zip(names, found.columns.values(), strict=True))
        given_columns = Relation(columns)
        for name in table.columns.keys() - columns.keys():
            columns[name] = given(table.filled.get(name, "left empty"))
        whole = found.whole | self._conflict(node, target, table, given_columns, columns, scope)
        self._reader.trace.writes.append(Write(table.name, columns, whole))
        return self._returned(node, scope, {target.alias_or_name: sources.stored(table)})

    def _conflict(
        self, node: exp.Insert, target: exp.Expr, table: Table, inserted: Relation,
        columns: dict[str, Value], outer: Scope,
    ) -> Value:  # fmt: skip
        """ON CONFLICT DO UPDATE: a column is what was inserted or what it is set to."""
        conflict = node.args.get("conflict")
        if conflict is None or not conflict.expressions:
            return NOTHING
        both = {target.alias_or_name: sources.stored(table), "excluded": inserted}
        scope = Scope(outer, both)
        for name, value in self._set(conflict.expressions, scope):
            columns[name] |= value
        return self._filter(conflict, scope)

    def update(self, node: exp.Update, scope: Scope) -> Relation:
        table = self._table(node.this)
        scope.relations[node.this.alias_or_name] = sources.stored(table)
        whole = NOTHING
        if node.args.get("from_"):
            whole |= sources.add(self._reader, node.args["from_"].this, scope)
        whole |= self._filter(node, scope)
        columns = dict(self._set(node.expressions, scope))
        self._reader.trace.writes.append(Write(table.name, columns, whole))
        return self._returned(node, scope, scope.relations)

    def delete(self, node: exp.Delete, scope: Scope) -> Relation:
        table = self._table(node.this)
        scope.relations[node.this.alias_or_name] = sources.stored(table)
        whole = NOTHING
        for using in node.args.get("using") or ():
            whole |= sources.add(self._reader, using, scope)
        whole |= self._filter(node, scope)
        self._reader.trace.writes.append(Write(table.name, {}, whole))
        return self._returned(node, scope, scope.relations)

    def _table(self, node: exp.Expr) -> Table:
        table = self._reader.known.tables.get(node.name)
        if table is None:
            raise UnreadableQueryError(f"there is no table {node.name} to write to")
        return table

    def _set(self, nodes: Iterable[exp.Expr], scope: Scope) -> Iterable[tuple[str, Value]]:
        for one in nodes:
            if not isinstance(one, exp.EQ) or not isinstance(one.this, exp.Column):
                raise UnreadableQueryError(f"SET {one.sql()} is no column and a value")
            yield one.this.name, self._reader.expressions.value(one.expression, scope)

    def _filter(self, node: exp.Expr, scope: Scope) -> Value:
        where = node.args.get("where")
        if where is None:
            return NOTHING
        return self._reader.expressions.value(where.this, scope).through(Kind.FILTER)

    def _returned(self, node: exp.Expr, outer: Scope, relations: dict[str, Relation]) -> Relation:
        """Rows as they were written, so their columns are the table's."""
        returning = node.args.get("returning")
        scope = Scope(outer.parent, dict(relations), outer.ctes)
        return Relation(self._reader.projected(returning.expressions if returning else (), scope))
