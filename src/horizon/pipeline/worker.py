"""The worker: runs the pipeline on a schedule, through procrastinate.

Runs never overlap, and those that were missed are not made up for: the next one sees all.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from dataclasses import replace
from threading import Event

import procrastinate
import psycopg
from procrastinate.jobs import Status

from horizon import settings as setting
from horizon.errors import HorizonError
from horizon.pipeline.installation import Installation, open_installation
from horizon.pipeline.stages import run_all
from horizon.postgres.database import Role

STOP_TIMEOUT_S = 30


def make_app(horizon: Installation, stop: Event) -> procrastinate.App:
    """The job application: one periodic task, the pipeline."""
    connector = procrastinate.PsycopgConnector(
        conninfo=horizon.database.conninfo(Role.WORKER), min_size=1, max_size=4
    )
    app = procrastinate.App(connector=connector)

    @app.periodic(cron=horizon.settings.PIPELINE_CRON)
    # No lock of the job's own: a worker that is killed would hold it for good. The stages have
    # theirs, which end with their connection.
    @app.task(name="pipeline", queueing_lock="pipeline", pass_context=False)
    def pipeline(timestamp: int) -> None:  # noqa: ARG001
        try:
            run_all(horizon, stop=stop)
        except (HorizonError, psycopg.Error) as exc:
            # The failed run stands in the log and in `runs`; the next one is a minute away.
            print(f"horizon worker: {exc}", file=sys.stderr)

    return app


async def serve(horizon: Installation) -> None:
    """Work until SIGTERM: the run under way ends after its message, and gives its claims back."""
    stop = Event()
    app = make_app(horizon, stop)
    async with app.open_async():
        for job in await app.job_manager.get_stalled_jobs():
            # Its worker was killed; what it left half done, the next run does.
            await app.job_manager.finish_job(job, Status.FAILED, delete_job=True)
        working = asyncio.ensure_future(
            app.run_worker_async(
                concurrency=1, install_signal_handlers=False, delete_jobs="always",
                shutdown_graceful_timeout=STOP_TIMEOUT_S,
            )
        )  # fmt: skip

        def end() -> None:
            stop.set()
            working.cancel()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, end)
        print("ready", flush=True)
        with contextlib.suppress(asyncio.CancelledError):
            await working


def main() -> int:
    try:
        horizon = replace(open_installation(setting.load()), role="worker")
        _ = horizon.counters  # opened: from now on it counts as alive
        asyncio.run(serve(horizon))
    except HorizonError as exc:
        print(f"horizon: {exc}", file=sys.stderr)
        return exc.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
