"""Runs a stage: one transaction with its watermark, one line in the log, one row in ``runs``.

A stage whose ``run`` is a generator has a transaction for each result that it yields; the row and
the line are still one, with the figures of the last result.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg.types.json import Jsonb

from horizon import clock
from horizon.counters import Counters, NullCounters
from horizon.counters import families as counted
from horizon.errors import DatabaseError, HorizonError
from horizon.log import LineFile, Logger
from horizon.observe.lineage.runs import Lineage, NullLineage
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
    lineage: Lineage = field(default_factory=NullLineage)
    counters: Counters = field(default_factory=NullCounters)

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

        try:
            with self._counted(stage.name):
                result = self._run(stage, now or clock.now(), correlation_id, committed)
        except (HorizonError, psycopg.Error) as exc:
            bound.error(stage.name, status="failed", error=_scrubbed(exc))
            raise
        bound.info(stage.name, **result.figures)
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
            try:
                results = list(_results(stage.run(connection, _window(connection, parameters))))
            finally:
                connection.rollback()
        decisions = [one for result in results for one in result.decisions]
        return replace(results[-1], decisions=decisions)

    def _run(
        self, stage: Stage, now: datetime, correlation_id: UUID, committed: OnCommit
    ) -> StageResult:
        parameters = {
            "run_id": uuid4(), "correlation_id": correlation_id, "stage": stage.name, "now": now,
        }  # fmt: skip
        with (
            closing_connection(self.database.connect(Role.WORKER, autocommit=True)) as connection,
            _stage_lock(connection, stage.name),
        ):
            connection.execute(QUERIES["start_run"], {**parameters, "clock": clock.now()})
            try:
                return self._told(connection, stage, parameters, committed)
            except (HorizonError, psycopg.Error) as exc:
                self._mark_failed(connection, parameters["run_id"], exc)
                raise

    def _told(
        self,
        connection: Connection,
        stage: Stage,
        parameters: dict[str, Any],
        committed: OnCommit,
    ) -> StageResult:
        run_id, parent = parameters["run_id"], parameters["correlation_id"]
        with self.lineage.run(stage.name, parameters["now"], run_id=run_id, parent=parent) as told:

            def noted(result: StageResult) -> None:
                told.figures = result.figures
                committed(result)

            return self._in_transactions(connection, stage, parameters, noted)

    def _in_transactions(
        self,
        connection: Connection,
        stage: Stage,
        parameters: dict[str, Any],
        committed: OnCommit,
    ) -> StageResult:
        with connection.transaction():
            window = _window(connection, parameters)
            result = stage.run(connection, window)
            if isinstance(result, StageResult):
                self._finish(connection, stage, window, result)
        if isinstance(result, StageResult):
            committed(result)
            return result
        last = self._step_by_step(connection, result, window, committed)
        with connection.transaction():
            self._finish(connection, stage, window, last)
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
                f"The database refused ({_scrubbed(exc)}) after {_told(last)}: those are kept; run "
                "it again for the rest, and see `horizon status` if it stays so."
            ) from exc
        assert last is not None, "a stage of steps has one at least"
        return last

    def _finish(
        self, connection: Connection, stage: Stage, window: Window, result: StageResult
    ) -> None:
        if stage.windowed:
            connection.execute(
                QUERIES["move_watermark"], {**window.parameters(), "stage": stage.name}
            )
        connection.execute(
            QUERIES["finish_run"], {**_figures(window, result), "clock": clock.now()}
        )

    def _mark_failed(self, connection: Connection, run_id: object, exc: Exception) -> None:
        if connection.broken:
            return
        connection.execute(
            QUERIES["fail_run"], {"run_id": run_id, "clock": clock.now(), "error": _scrubbed(exc)}
        )


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


def _scrubbed(exc: Exception) -> str:
    """The error without the rows that a database's DETAIL shows."""
    if isinstance(exc, psycopg.Error):
        return exc.diag.message_primary or type(exc).__name__
    return str(exc)


def sentence(exc: psycopg.Error) -> DatabaseError:
    return DatabaseError(
        f"The database refused ({_scrubbed(exc)}): nothing of this run was kept; run it again, and "
        "see `horizon status` if it stays so."
    )
