"""Runs a stage: one transaction with its watermark, one line in the log, one row in ``runs``.

A stage whose ``run`` is a generator has a transaction for each result that it yields; the row and
the line are still one, with the figures of the last result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg.types.json import Jsonb

from horizon import clock
from horizon.errors import DatabaseError, HorizonError
from horizon.log import LineFile, Logger
from horizon.pipeline.recording import Span, scrubbed
from horizon.postgres.database import Connection, Database, Role, closing_connection
from horizon.postgres.era import current_era
from horizon.postgres.queries import Queries
from horizon.stage import StageResult, Window

QUERIES = Queries("horizon.pipeline")

OnCommit = Callable[[StageResult], None]


@dataclass(frozen=True)
class Stage:
    """A stage by its log names, and what runs it."""

    name: str
    component: str
    run: Callable[[Connection, Window], StageResult | Iterator[StageResult]]
    fields: dict[str, Any] | None = None  # constant ones of its log lines
    windowed: bool = False  # reads only what came since its last run


@dataclass(frozen=True)
class Runner:
    database: Database
    log: Logger
    lines: LineFile

    def run(
        self,
        stage: Stage,
        now: datetime | None = None,
        correlation_id: UUID | None = None,
        on_commit: OnCommit = lambda _: None,
    ) -> StageResult:
        """Run one stage to its last commit and log it; ``on_commit`` is told after each.

        Raises what the stage raises; the run is then marked failed, and kept is what was committed.
        """
        correlation_id = correlation_id or uuid4()
        bound = self.log.bind(
            stage=stage.name, component=stage.component, correlation_id=str(correlation_id),
            **(stage.fields or {}),
        )  # fmt: skip

        def committed(result: StageResult) -> None:
            with self.lines.together():
                for line in result.lines:
                    bound.info(line.message, **line.fields)
            on_commit(result)

        span = Span()
        try:
            result = self._run(stage, now or clock.now(), correlation_id, committed, span)
        except (HorizonError, psycopg.Error) as exc:
            bound.error(stage.name, status="failed", error=scrubbed(exc), **span.fields())
            raise
        bound.info(stage.name, **result.figures, **span.fields())
        return result

    def rehearse(self, stage: Stage, now: datetime | None = None) -> StageResult:
        """What a run would give back, all its decisions; it is rolled back and leaves no trace."""
        parameters = {
            "run_id": uuid4(), "correlation_id": uuid4(), "stage": stage.name,
            "now": now or clock.now(),
        }  # fmt: skip
        with closing_connection(self.database.connect(Role.WORKER)) as connection:
            try:
                results = list(_results(stage.run(connection, _window(connection, parameters))))
            finally:
                connection.rollback()
        decisions = [one for result in results for one in result.decisions]
        return replace(results[-1], decisions=decisions)

    def _run(
        self, stage: Stage, now: datetime, correlation_id: UUID, committed: OnCommit, span: Span
    ) -> StageResult:
        parameters = {
            "run_id": uuid4(), "correlation_id": correlation_id, "stage": stage.name, "now": now,
        }  # fmt: skip
        with (
            closing_connection(self.database.connect(Role.WORKER, autocommit=True)) as connection,
            _stage_lock(connection, stage.name),
        ):
            span.started_at = clock.now()
            started = {**parameters, "clock": span.started_at}
            row = connection.execute(QUERIES["start_run"], started).fetchone()
            span.lag_s = row.lag_s if row else None
            try:
                return self._in_transactions(connection, stage, parameters, committed, span)
            except (HorizonError, psycopg.Error) as exc:
                self._mark_failed(connection, parameters["run_id"], exc, span)
                raise

    def _in_transactions(
        self,
        connection: Connection,
        stage: Stage,
        parameters: dict[str, Any],
        committed: OnCommit,
        span: Span,
    ) -> StageResult:
        with connection.transaction():
            window = _window(connection, parameters)
            result = stage.run(connection, window)
            if isinstance(result, StageResult):
                self._finish(connection, stage, window, result, span)
        if isinstance(result, StageResult):
            committed(result)
            return result
        last = self._step_by_step(connection, result, window, committed)
        with connection.transaction():
            self._finish(connection, stage, window, last, span)
        return last

    def _step_by_step(
        self,
        connection: Connection,
        steps: Iterator[StageResult],
        window: Window,
        committed: OnCommit,
    ) -> StageResult:
        """Commit each step; a database's error says what the steps before it have left."""
        last = None
        try:
            while True:
                with connection.transaction():
                    step = next(steps, None)
                    if step is not None:
                        connection.execute(QUERIES["keep_figures"], _figures(window, step))
                if step is None:
                    break
                last = step
                committed(step)
        except psycopg.Error as exc:
            if last is None:
                raise
            raise DatabaseError(
                f"The database refused ({scrubbed(exc)}) after {_told(last)}: those are kept; run "
                "it again for the rest, and see `horizon status` if it stays so."
            ) from exc
        assert last is not None, "a stage of steps has one at least"
        return last

    def _finish(
        self, connection: Connection, stage: Stage, window: Window, result: StageResult, span: Span
    ) -> None:
        if stage.windowed:
            connection.execute(
                QUERIES["move_watermark"], {**window.parameters(), "stage": stage.name}
            )
        span.finished_at = clock.now()
        connection.execute(
            QUERIES["finish_run"], {**_figures(window, result), "clock": span.finished_at}
        )

    def _mark_failed(
        self, connection: Connection, run_id: object, exc: Exception, span: Span
    ) -> None:
        span.finished_at = None
        if connection.broken:
            return
        finished = clock.now()
        values = {"run_id": run_id, "clock": finished, "error": scrubbed(exc)}
        connection.execute(QUERIES["fail_run"], values)
        span.finished_at = finished


def _results(run: StageResult | Iterator[StageResult]) -> Iterator[StageResult]:
    if isinstance(run, StageResult):
        yield run
    else:
        yield from run


def _figures(window: Window, result: StageResult) -> dict[str, Any]:
    return {"run_id": window.run_id, "figures": Jsonb(dict(result.figures))}


def _told(result: StageResult) -> str:
    counts = [(name, value) for name, value in result.figures.items() if isinstance(value, int)]
    return ", ".join(f"{value:,} {name}" for name, value in counts)


def _window(tx: Connection, parameters: dict[str, Any]) -> Window:
    row = tx.execute(QUERIES["window"], parameters).fetchone()
    assert row is not None
    return Window(
        now=parameters["now"], run_id=parameters["run_id"],
        correlation_id=parameters["correlation_id"], era=current_era(tx),
        until=row.until, seen=row.seen, seen_era=row.seen_era,
    )  # fmt: skip


@contextmanager
def _stage_lock(connection: Connection, stage: str) -> Any:
    """One run of a stage at a time. Taken outside the transaction, so that the run behind sees
    everything of the run before."""
    connection.execute("SELECT pg_advisory_lock(hashtext('horizon.stage'), hashtext(%s))", [stage])
    try:
        yield
    finally:
        if not connection.broken:
            connection.execute(
                "SELECT pg_advisory_unlock(hashtext('horizon.stage'), hashtext(%s))", [stage]
            )


def sentence(exc: psycopg.Error) -> DatabaseError:
    return DatabaseError(
        f"The database refused ({scrubbed(exc)}): nothing of this run was kept; run it again, and "
        "see `horizon status` if it stays so."
    )
