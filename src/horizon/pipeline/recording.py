"""When a run began and ended: the same in its row of ``runs`` and in its line of the log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg.types.json import Jsonb

from horizon import clock
from horizon.errors import HorizonError, UsageError
from horizon.log import Logger
from horizon.postgres.database import Database, Role
from horizon.postgres.queries import Queries

QUERIES = Queries("horizon.pipeline")


@dataclass
class Span:
    """Without ``finished_at`` the row does not say that the run is over: then the line has no
    duration, so that what is counted in the log is what the table has."""

    started_at: datetime | None = None
    finished_at: datetime | None = None
    lag_s: float | None = None

    def fields(self) -> dict[str, Any]:
        """For the run's line; whole milliseconds, cut as the panels' SQL cuts them."""
        if self.started_at is None or self.finished_at is None:
            return {}
        took = self.finished_at - self.started_at
        lag = {} if self.lag_s is None else {"lag_s": self.lag_s}
        milliseconds = (took.days * 86_400 + took.seconds) * 1000 + took.microseconds // 1000
        return {
            "ts": clock.utc_text(self.finished_at), "duration_s": milliseconds / 1000, **lag,
        }  # fmt: skip


@dataclass(frozen=True)
class Recorder:
    """Gives what runs outside the runner a row and a line when it is over."""

    database: Database
    log: Logger
    stage: str
    component: str
    correlation_id: UUID
    message: str
    scheduled: bool = False  # the pipeline runs it, so that things wait for it
    figures: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def recording(self) -> Iterator[dict[str, Any]]:
        """What the block puts into the mapping are its figures. Wrong use leaves no trace."""
        span = Span(clock.now())
        bound = self.log.bind(
            stage=self.stage, component=self.component, correlation_id=str(self.correlation_id)
        )
        try:
            yield self.figures
        except UsageError:
            raise
        except (HorizonError, psycopg.Error) as exc:
            self._write(span, {"status": "failed", "error": scrubbed(exc)})
            bound.error(self.message, status="failed", error=scrubbed(exc), **span.fields())
            raise
        self._write(span, {"status": "done", "error": None})
        bound.info(self.message, **self.figures, **span.fields())

    def _write(self, span: Span, outcome: Mapping[str, Any]) -> None:
        finished = clock.now()
        values = {
            **outcome, "run_id": uuid4(), "correlation_id": self.correlation_id,
            "stage": self.stage, "scheduled": self.scheduled, "started_at": span.started_at,
            "clock": finished, "figures": Jsonb({"component": self.component, **self.figures}),
        }  # fmt: skip
        try:
            with self.database.transaction(Role.WORKER) as tx:
                row = tx.execute(QUERIES["record_run"], values).fetchone()
        except (HorizonError, psycopg.Error):
            return  # what was done is done; the line says it without a duration
        span.finished_at = finished
        span.lag_s = row.lag_s if row else None


def scrubbed(exc: Exception) -> str:
    """The error without the rows that a database's DETAIL shows."""
    if isinstance(exc, psycopg.Error):
        return exc.diag.message_primary or type(exc).__name__
    return str(exc)
