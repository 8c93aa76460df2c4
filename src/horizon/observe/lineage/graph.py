"""The columns and what lies between them: up to where a value comes from, down to where it goes."""

from __future__ import annotations

import difflib
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from horizon.errors import UsageError
from horizon.observe.lineage.jobs import Jobs, read_jobs
from horizon.observe.lineage.model import Column, Kind, Origin, Write, strongest

Direction = Literal["up", "down"]


@dataclass(frozen=True, order=True)
class Step:
    """One job takes ``source`` into ``target``."""

    source: Column
    target: Column
    kind: Kind
    masking: bool
    job: str

    @property
    def said(self) -> str:
        return f"{self.kind.lower()}, masked" if self.masking else self.kind.lower()


@dataclass
class Branch:
    """A column on the way and how one comes there; ``again``: it is drawn out elsewhere."""

    column: Column
    steps: list[Step] = field(default_factory=list)
    branches: list[Branch] = field(default_factory=list)
    again: bool = False


class Graph:
    def __init__(self, jobs: Jobs | None = None) -> None:
        self._jobs = jobs or read_jobs()
        self._up: dict[Column, set[Step]] = defaultdict(set)
        self._down: dict[Column, set[Step]] = defaultdict(set)
        self._rows: dict[str, set[tuple[str, Origin]]] = defaultdict(set)
        self._reasons: dict[Column, set[tuple[str, str]]] = defaultdict(set)
        self._outside = self._jobs.flows.outside
        for job in self._jobs.all.values():
            for _, write in job.writes:
                self._take(job.name, write)

    def _take(self, job: str, write: Write) -> None:
        self._rows[write.table] |= {(job, origin) for origin in write.whole.origins}
        for name, value in write.columns.items():
            target = Column(write.table, name)
            self._reasons[target] |= {(job, reason) for reason in value.reasons}
            for origin in strongest(value.origins):
                step = Step(origin.column, target, origin.kind, origin.masking, job)
                if step.source != target:
                    self._up[target].add(step)
                    self._down[step.source].add(step)

    @cached_property
    def columns(self) -> list[Column]:
        return sorted(set(self._jobs.columns()))

    def find(self, name: str) -> Column:
        """Raises UsageError, which names those that are written alike."""
        table, _, column = name.rpartition(".")
        if Column(table, column) in self.columns:
            return Column(table, column)
        near = self._near(name)
        hint = f"did you mean {', '.join(near)}?" if near else "`horizon lineage list` names them."
        raise UsageError(f"There is no column {name!r}: {hint}")

    def _near(self, name: str) -> list[str]:
        names = [str(one) for one in self.columns]
        of_table = [one for one in names if one.startswith(f"{name.rstrip('.')}.")]
        alike = difflib.get_close_matches(name, names, n=4, cutoff=0.6)
        table, _, last = name.rpartition(".")
        called_so = [one for one in self.columns if one.name == last]
        called_so.sort(key=lambda one: -_likeness(one.table, table or last))
        return list(dict.fromkeys([*of_table, *map(str, called_so), *alike]))[:8]

    def steps(self, column: Column, direction: Direction) -> list[Step]:
        return sorted((self._up if direction == "up" else self._down)[column])

    def reasons(self, column: Column) -> list[tuple[str, str]]:
        """(job, words): what else it comes from than columns."""
        return sorted(self._reasons[column])

    def writers(self, column: Column) -> list[str]:
        """The jobs that write it, or the word for what comes from outside."""
        jobs = {job for job, _ in self._reasons[column]} | {one.job for one in self._up[column]}
        return sorted(jobs) or [
            "from outside" if column.table in self._outside else "no named query"
        ]

    def rows(self, table: str) -> list[tuple[str, Origin]]:
        """(job, origin): what decides which rows the table has."""
        return sorted(self._rows[table])

    def tree(self, column: Column, direction: Direction, *, wide: bool = False) -> Branch:
        """The way of the value, and of what decides between two; ``wide``: also of what decides
        whether there is a row at all. A column is drawn out where it comes first."""
        root = Branch(column)
        self._grow(root, direction, {column}, wide)
        return root

    def _grow(self, branch: Branch, direction: Direction, seen: set[Column], wide: bool) -> None:
        for column, steps in self.neighbours(branch.column, direction, wide=wide).items():
            twig = Branch(column, steps, again=column in seen)
            branch.branches.append(twig)
            if not twig.again:
                seen.add(column)
                self._grow(twig, direction, seen, wide)

    def neighbours(
        self, column: Column, direction: Direction, *, wide: bool = False
    ) -> dict[Column, list[Step]]:
        found: dict[Column, list[Step]] = {}
        for step in self.steps(column, direction):
            if wide or step.kind.direct or step.kind is Kind.CONDITIONAL:
                there = step.source if direction == "up" else step.target
                found.setdefault(there, []).append(step)
        return found


def _likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()
