"""Runs a stage: one transaction with its watermark, one line in the log, one row in ``runs``."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg.types.json import Jsonb

from horizon import clock
from horizon.errors import DatabaseError, HorizonError
from horizon.log import LineFile, Logger
from horizon.postgres.database import Connection, Database, Role, closing_connection
from horizon.postgres.era import current_era
from horizon.postgres.queries import Queries
from horizon.stage import StageResult, Window

QUERIES = Queries("horizon.pipeline")


@dataclass(frozen=True)
class Stage:
    """A stage by its log names, and what runs it."""

    name: str
    component: str
    run: Callable[[Connection, Window], StageResult]
    fields: dict[str, Any] | None = None  # constant ones of its log lines
    windowed: bool = False  # reads only what came since its last run


@dataclass(frozen=True)
class Runner:
    database: Database
    log: Logger
    lines: LineFile

    def run(
        self, stage: Stage, now: datetime | None = None, correlation_id: UUID | None = None
    ) -> StageResult:
        """Run one stage to its commit and log it.

        Raises what the stage raises; the run is then marked failed, and nothing else is kept.
        """
        correlation_id = correlation_id or uuid4()
        bound = self.log.bind(
            stage=stage.name, component=stage.component, correlation_id=str(correlation_id),
            **(stage.fields or {}),
        )  # fmt: skip
        try:
            result = self._run(stage, now or clock.now(), correlation_id)
        except (HorizonError, psycopg.Error) as exc:
            bound.error(stage.name, status="failed", error=_scrubbed(exc))
            raise
        with self.lines.together():
            bound.info(stage.name, **result.figures)
            for line in result.lines:
                bound.info(line.message, **line.fields)
        return result

    def rehearse(self, stage: Stage, now: datetime | None = None) -> StageResult:
        """What a run would give back; it is rolled back and leaves no trace."""
        parameters = {
            "run_id": uuid4(), "correlation_id": uuid4(), "stage": stage.name,
            "now": now or clock.now(),
        }  # fmt: skip
        with closing_connection(self.database.connect(Role.WORKER)) as connection:
            try:
                return stage.run(connection, _window(connection, parameters))
            finally:
                connection.rollback()

    def _run(self, stage: Stage, now: datetime, correlation_id: UUID) -> StageResult:
        parameters = {
            "run_id": uuid4(), "correlation_id": correlation_id, "stage": stage.name, "now": now,
        }  # fmt: skip
        with (
            closing_connection(self.database.connect(Role.WORKER, autocommit=True)) as connection,
            _stage_lock(connection, stage.name),
        ):
            connection.execute(QUERIES["start_run"], {**parameters, "clock": clock.now()})
            try:
                return self._in_transaction(connection, stage, parameters)
            except (HorizonError, psycopg.Error) as exc:
                self._mark_failed(connection, parameters["run_id"], exc)
                raise

    def _in_transaction(
        self, connection: Connection, stage: Stage, parameters: dict[str, Any]
    ) -> StageResult:
        with connection.transaction():
            window = _window(connection, parameters)
            result = stage.run(connection, window)
            if stage.windowed:
                connection.execute(
                    QUERIES["move_watermark"], {**window.parameters(), "stage": stage.name}
                )
            connection.execute(QUERIES["finish_run"], {
                "run_id": window.run_id, "clock": clock.now(),
                "figures": Jsonb(dict(result.figures)),
            })  # fmt: skip
        return result

    def _mark_failed(self, connection: Connection, run_id: object, exc: Exception) -> None:
        if connection.broken:
            return
        connection.execute(
            QUERIES["fail_run"], {"run_id": run_id, "clock": clock.now(), "error": _scrubbed(exc)}
        )


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
