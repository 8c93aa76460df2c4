"""Which events may travel beside each other: never two of one person. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence

from horizon.forward.message import Row


def in_lanes(rows: Sequence[Row], lanes: int) -> list[list[int]]:
    """The rows' numbers, each in one lane and there in their order; at most ``lanes`` of them.

    Events that share an identifier are in one lane, also through others between them: what an
    anonymous visitor did, the call that says who it was, and what the known person did then.
    """
    people = _Groups()
    for row in rows:
        people.join(list(_identifiers(row)))
    groups: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        who = people.of(next(_identifiers(row), ""))
        groups.setdefault(who, []).append(number)
    load = [(0, lane) for lane in range(lanes)]
    filled: list[list[int]] = [[] for _ in range(lanes)]
    for numbers in sorted(groups.values(), key=len, reverse=True):
        count, lane = load[0]
        filled[lane] += numbers
        heapq.heapreplace(load, (count + len(numbers), lane))
    return [sorted(lane) for lane in filled if lane]


def _identifiers(row: Row) -> Iterator[str]:
    if row.user_id is not None:
        yield f"u{row.user_id}"
    if row.anonymous_id is not None:
        yield f"a{row.anonymous_id}"
    if row.previous_id is not None:  # an alias does not say of which kind it is
        yield f"u{row.previous_id}"
        yield f"a{row.previous_id}"


class _Groups:
    """Union-find over identifiers."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def of(self, one: str) -> str:
        parent = self._parent
        root = one
        while (above := parent.get(root, root)) != root:
            root = above
        while (above := parent.get(one, one)) != root:
            parent[one], one = root, above
        return root

    def join(self, identifiers: Sequence[str]) -> None:
        first = ""
        for number, one in enumerate(identifiers):
            self._parent.setdefault(one, one)
            root = self.of(one)
            if number and root != first:
                self._parent[root] = first
            elif not number:
                first = root


def in_batches(sizes: Sequence[int], most: int, most_bytes: int) -> Iterator[range]:
    """Which of the messages of these sizes go together; one that is too large goes alone."""
    first, total = 0, 0
    for number, size in enumerate(sizes):
        if number > first and (number - first >= most or total + size + 1 > most_bytes):
            yield range(first, number)
            first, total = number, 0
        total += size + 1
    if first < len(sizes):
        yield range(first, len(sizes))
