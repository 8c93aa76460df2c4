"""Runs a stage: one transaction with its watermark, one line in the log, one row in ``runs``.

A stage whose ``run`` is a generator has a transaction for each result that it yields; the row and
the line are still one, with their figures added up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import reduce
from typing import Any
from uuid import UUID, uuid4

import psycopg

from horizon import clock
from horizon.counters import Counters, NullCounters
from horizon.counters import families as counted
from horizon.errors import DatabaseError, HorizonError
from horizon.log import LineFile, Logger
from horizon.observe.lineage.runs import Lineage, NullLineage
from horizon.pipeline.recording import Span, scrubbed
from horizon.pipeline.steps import OnCommit, Steps, figures_of
from horizon.postgres.database import Connection, Database, Role, closing_connection
from horizon.postgres.era import current_era
from horizon.postgres.queries import Queries
from horizon.stage import StageResult, Window, added

QUERIES = Queries("horizon.pipeline")
STEPS_ALONE = 2  # the second is soon over, and who takes up the first has a processor meanwhile

PlainRun = Callable[[Connection, Window], StageResult]
StepwiseRun = Callable[[Connection, Window], Iterator[StageResult]]


@dataclass(frozen=True)
class Stage:
    """A stage by its log names, and what runs it."""

    name: str
    component: str
    run: PlainRun | StepwiseRun
    fields: dict[str, Any] | None = None  # constant ones of its log lines
    windowed: bool = False  # reads only what came since its last run
    one_snapshot: bool = False  # all that it reads is as of one moment
    lanes: int = 1  # how many of its generators take steps beside each other


@dataclass(frozen=True)
class _Going:
    """A run that is under way; ``parameters`` are its ids and times."""

    connection: Connection
    stage: Stage
    parameters: dict[str, Any]
    committed: OnCommit
    span: Span


@dataclass(frozen=True)
class Runner:
    database: Database
    log: Logger
    lines: LineFile
    lineage: Lineage = field(default_factory=NullLineage)
    counters: Counters = field(default_factory=NullCounters)

    def run(
        self,
        stage: Stage,
        now: datetime | None = None,
        correlation_id: UUID | None = None,
        on_commit: OnCommit = lambda _: None,
    ) -> StageResult:
        """Run one stage to its last commit and log it.

        ``on_commit`` is told after each, one at a time, of the figures up to then.
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
            with self._counted(stage.name):
                result = self._run(stage, now or clock.now(), correlation_id, committed, span)
        except (HorizonError, psycopg.Error) as exc:
            bound.error(stage.name, status="failed", error=scrubbed(exc), **span.fields())
            raise
        bound.info(stage.name, **result.figures, **span.fields())
        return result

    @contextmanager
    def _counted(self, stage: str) -> Iterator[None]:
        began_s, ended = time.monotonic(), "failed"
        try:
            yield
            ended = "done"
        finally:
            self.counters.add(counted.RUNS, 1, (stage, ended))
            self.counters.observe(counted.RUN_SECONDS, time.monotonic() - began_s, (stage,))

    def rehearse(self, stage: Stage, now: datetime | None = None) -> StageResult:
        """What a run would give back, all its decisions; it is rolled back and leaves no trace."""
        parameters = {
            "run_id": uuid4(), "correlation_id": uuid4(), "stage": stage.name,
            "now": now or clock.now(),
        }  # fmt: skip
        with closing_connection(self.database.connect(Role.WORKER)) as connection:
            connection.isolation_level = _isolation(stage)
            try:
                results = list(_results(stage.run(connection, _window(connection, parameters))))
            finally:
                connection.rollback()
        decisions = [one for result in results for one in result.decisions]
        figures = reduce(added, (result.figures for result in results))
        return StageResult(figures, decisions=decisions)

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
            connection.isolation_level = _isolation(stage)
            span.started_at = clock.now()
            started = {**parameters, "clock": span.started_at}
            row = connection.execute(QUERIES["start_run"], started).fetchone()
            span.lag_s = row.lag_s if row else None
            try:
                return self._with_lineage(_Going(connection, stage, parameters, committed, span))
            except (HorizonError, psycopg.Error) as exc:
                self._mark_failed(connection, parameters["run_id"], exc, span)
                raise

    def _with_lineage(self, going: _Going) -> StageResult:
        ids = going.parameters
        run_id, parent = ids["run_id"], ids["correlation_id"]
        with self.lineage.run(going.stage.name, ids["now"], run_id=run_id, parent=parent) as told:

            def noted(result: StageResult) -> None:
                told.figures = result.figures
                going.committed(result)

            return self._in_transactions(replace(going, committed=noted))

    def _in_transactions(self, going: _Going) -> StageResult:
        connection, stage = going.connection, going.stage
        with connection.transaction():
            window = _window(connection, going.parameters)
            result = stage.run(connection, window)
            if isinstance(result, StageResult):
                self._finish(going, window, result)
        if isinstance(result, StageResult):
            going.committed(result)
            return result
        steps = Steps(going.committed)
        try:
            self._in_lanes(going, result, window, steps)
        except psycopg.Error as exc:
            if steps.figures is None:
                raise
            raise DatabaseError(
                f"The database refused ({scrubbed(exc)}) after {_told(steps.figures)}: those are "
                "kept; run it again for the rest, and see `horizon doctor` if it stays so."
            ) from exc
        assert steps.figures is not None, "a stage of steps has one at least"
        total = StageResult(steps.figures)
        with connection.transaction():
            self._finish(going, window, total)
        return total

    def _in_lanes(
        self, going: _Going, results: Iterator[StageResult], window: Window, steps: Steps
    ) -> None:
        """All steps: the first ones alone, so that what they bring goes on soon, then in lanes."""
        connection, stage = going.connection, going.stage

        def lane() -> None:
            try:
                beside = self.database.connect(Role.WORKER, autocommit=True)
            except (HorizonError, psycopg.Error):
                return  # no connection is left for it: the first lane does all
            with closing_connection(beside):
                steps.all_of(beside, window, _results(stage.run(beside, window)))

        for _ in range(STEPS_ALONE):
            if not steps.next_of(connection, window, results):
                return
        with ThreadPoolExecutor(stage.lanes, "lane") as pool:
            lanes = [pool.submit(lane) for _ in range(stage.lanes - 1)]
            steps.all_of(connection, window, results)
        for one in lanes:
            one.result()

    def _finish(self, going: _Going, window: Window, result: StageResult) -> None:
        connection, stage, span = going.connection, going.stage, going.span
        if stage.windowed:
            connection.execute(
                QUERIES["move_watermark"], {**window.parameters(), "stage": stage.name}
            )
        span.finished_at = clock.now()
        connection.execute(
            QUERIES["finish_run"], {**figures_of(window, result), "clock": span.finished_at}
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


def _isolation(stage: Stage) -> psycopg.IsolationLevel | None:
    """Its stage's lock keeps away who would write the same rows: no run fails for what it saw."""
    return psycopg.IsolationLevel.REPEATABLE_READ if stage.one_snapshot else None


def _results(run: StageResult | Iterator[StageResult]) -> Iterator[StageResult]:
    if isinstance(run, StageResult):
        yield run
    else:
        yield from run


def _told(figures: Mapping[str, Any]) -> str:
    counts = [(name, value) for name, value in figures.items() if isinstance(value, int)]
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
        "see `horizon doctor` if it stays so."
    )
