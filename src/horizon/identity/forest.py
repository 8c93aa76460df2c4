"""Joins nodes edge by edge, as Kruskal's algorithm does, unless a limit or a cut forbids it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

JOINS = 0
CUT = -2


@dataclass(frozen=True)
class Evidence:
    """The nodes of the components in question, in their order; what is beside each stands apart."""

    nodes: list[int]
    kinds: list[int]
    seen: list[int]
    buckets: list[int]
    limits: list[int]  # of each kind; 0: none
    order: list[int]  # the kinds, strongest first: which one is told of where several refuse
    cuts: list[list[int]]  # pairs


class Forest:
    """First all edges that contract, then the others: ``join`` has to be asked in that order."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._parent = {node: node for node in evidence.nodes}
        self._enemies: dict[int, set[int]] = {}  # by root: nodes that may not be with it
        self._cut: dict[int, set[int]] = {}  # by root: its nodes that a cut names
        for a, b in evidence.cuts:
            if a in self._parent and b in self._parent:
                self._enemies.setdefault(a, set()).add(b)
                self._enemies.setdefault(b, set()).add(a)
                self._cut[a], self._cut[b] = {a}, {b}
        self._counts: dict[int, Counter[tuple[int, int]]] | None = None

    def join(self, a: int, b: int, contract: bool) -> int:
        """What keeps these two apart: JOINS for nothing, CUT, or 1 + the kind that is too many."""
        if not contract and self._counts is None:
            self._counts = self._counted()
        a, b = self._root(a), self._root(b)
        if a == b:
            return JOINS
        if self._is_cut(a, b):
            return CUT
        if self._counts is not None and (kind := self._too_many(a, b)) is not None:
            return 1 + kind
        self._union(a, b)
        return JOINS

    def groups(self) -> list[int]:
        """The first node of each node's group."""
        first: dict[int, int] = {}
        return [first.setdefault(self._root(node), node) for node in self._evidence.nodes]

    def _root(self, node: int) -> int:
        parent = self._parent
        while (above := parent[node]) != node:
            parent[node] = parent[above]
            node = above
        return node

    def _is_cut(self, a: int, b: int) -> bool:
        if not self._enemies:
            return False
        return not self._enemies.get(a, set()).isdisjoint(self._cut.get(b, ()))

    def _too_many(self, a: int, b: int) -> int | None:
        assert self._counts is not None
        mine, other = self._counts.get(a), self._counts.get(b)
        if not mine or not other:
            return None
        limits = self._evidence.limits
        over = {
            kind for (kind, bucket), count in mine.items()
            if count + other.get((kind, bucket), 0) > limits[kind] and (kind, bucket) in other
        }  # fmt: skip
        return next((kind for kind in self._evidence.order if kind in over), None)

    def _union(self, a: int, b: int) -> None:
        """The second into the first."""
        self._parent[b] = a
        for kept in (self._enemies, self._cut):
            if b in kept:
                kept.setdefault(a, set()).update(kept.pop(b))
        if self._counts is not None and b in self._counts:
            self._counts.setdefault(a, Counter()).update(self._counts.pop(b))

    def _counted(self) -> dict[int, Counter[tuple[int, int]]]:
        """By root, how many identifiers it has of each limited kind and bucket.

        What was contracted is one of each kind, of the first time.
        """
        evidence = self._evidence
        earliest: dict[tuple[int, int], tuple[int, int]] = {}
        nodes = zip(evidence.nodes, evidence.kinds, evidence.seen, evidence.buckets, strict=True)
        for node, kind, seen, bucket in nodes:
            if evidence.limits[kind]:
                place = (self._root(node), kind)
                earliest[place] = min(earliest.get(place, (seen, bucket)), (seen, bucket))
        counts: dict[int, Counter[tuple[int, int]]] = {}
        for (root, kind), (_, bucket) in earliest.items():
            counts.setdefault(root, Counter())[kind, bucket] += 1
        return counts
