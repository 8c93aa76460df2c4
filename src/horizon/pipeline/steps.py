"""The steps of a stage that has several: a transaction each, in one lane or in more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from threading import Lock
from typing import Any

from psycopg.types.json import Jsonb

from horizon.postgres.database import Connection
from horizon.postgres.queries import Queries
from horizon.stage import StageResult, Window, added

QUERIES = Queries("horizon.pipeline")

OnCommit = Callable[[StageResult], None]


class Steps:
    """A stage's steps, a transaction each. Lanes commit one at a time, so the figures are right."""

    def __init__(self, committed: OnCommit) -> None:
        self.figures: dict[str, Any] | None = None
        self._committed = committed
        self._turn = Lock()
        self._failed = False

    def all_of(
        self, connection: Connection, window: Window, results: Iterator[StageResult]
    ) -> None:
        """Every step that is left, until there is none or another lane has failed."""
        while not self._failed and self.next_of(connection, window, results):
            pass

    def next_of(
        self, connection: Connection, window: Window, results: Iterator[StageResult]
    ) -> bool:
        try:
            with ExitStack() as turn:
                with connection.transaction():
                    step = next(results, None)
                    if step is None:
                        return False
                    turn.enter_context(self._turn)
                    total = replace(step, figures=added(self.figures or {}, step.figures))
                    connection.execute(QUERIES["keep_figures"], figures_of(window, total))
                self.figures = dict(total.figures)
                self._committed(total)
        except BaseException:
            self._failed = True
            raise
        return True


def figures_of(window: Window, result: StageResult) -> dict[str, Any]:
    return {"run_id": window.run_id, "figures": Jsonb(dict(result.figures))}
