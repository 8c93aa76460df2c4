"""A column's lineage as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from horizon.observe.lineage.graph import Branch, Direction, Graph, Step
from horizon.observe.lineage.model import Column

_HEADS: dict[Direction, tuple[str, str]] = {
    "up": ("comes from", "no other column"),
    "down": ("goes to", "no other column"),
}


def as_text(graph: Graph, column: Column, *, wide: bool = False) -> str:
    lines = [str(column), ""]
    for direction, (head, none) in _HEADS.items():
        tree = graph.tree(column, direction, wide=wide)
        lines += [head, *(_lines(tree.branches, "  ") if tree.branches else [f"  {none}"])]
        if direction == "up":
            lines += [f"  {text}" for text in _besides(graph, column)]
        lines.append("")
    return "\n".join([*lines, *_rows(graph, column, wide)]).rstrip()


def _lines(branches: list[Branch], indent: str) -> Iterator[str]:
    for branch in branches:
        last = branch is branches[-1]
        again = "  (see above)" if branch.again else ""
        yield f"{indent}{'└─' if last else '├─'} {branch.column}  {_told(branch.steps)}{again}"
        yield from _lines(branch.branches, indent + ("   " if last else "│  "))


def _told(steps: list[Step]) -> str:
    """``[score: aggregation; alert: identity]``."""
    jobs: dict[str, list[str]] = {}
    for step in steps:
        jobs.setdefault(step.job, []).append(step.said)
    return "[" + "; ".join(f"{job}: {', '.join(said)}" for job, said in jobs.items()) + "]"


def _besides(graph: Graph, column: Column) -> Iterator[str]:
    jobs: dict[str, list[str]] = {}
    for job, reason in graph.reasons(column):
        jobs.setdefault(job, []).append(reason)
    for job, reasons in jobs.items():
        yield f"besides, in {job}: {', '.join(reasons)}"


def _rows(graph: Graph, column: Column, wide: bool) -> Iterator[str]:
    jobs: dict[str, dict[str, list[str]]] = {}
    for job, origin in graph.rows(column.table):
        kinds = jobs.setdefault(job, {})
        kinds.setdefault(origin.kind.lower(), []).append(str(origin.column))
    if jobs:
        hint = "" if wide else "  (--all names the columns)"
        yield f"which rows {column.table} has is decided by{hint}"
    for job, kinds in jobs.items():
        if wide:
            yield from (f"  {job}, {kind}: {', '.join(names)}" for kind, names in kinds.items())
        else:
            tables = {name.rpartition(".")[0] for names in kinds.values() for name in names}
            yield f"  {job}: {', '.join(sorted(tables))}"


def as_json(graph: Graph, column: Column, *, wide: bool = False) -> dict[str, Any]:
    return {
        "column": str(column),
        "up": [_branch(one) for one in graph.tree(column, "up", wide=wide).branches],
        "down": [_branch(one) for one in graph.tree(column, "down", wide=wide).branches],
        "besides": [{"job": job, "from": reason} for job, reason in graph.reasons(column)],
        "rows": [
            {"job": job, "column": str(origin.column), "transformation": str(origin.kind)}
            for job, origin in graph.rows(column.table)
        ],
    }


def _branch(branch: Branch) -> dict[str, Any]:
    return {
        "column": str(branch.column),
        "steps": [
            {
                "job": step.job, "type": step.kind.type, "transformation": str(step.kind),
                "masking": step.masking,
            }
            for step in branch.steps
        ],
        "again": branch.again,
        "columns": [_branch(one) for one in branch.branches],
    }  # fmt: skip
