"""[delivery.first]: from typing `campaign run` to the first mail on the wire."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping

from bench.delivery_plan import CAMPAIGN, fill
from bench.delivery_smtp import running_sink
from bench.harness import Figure, scratch_installation, seconds
from horizon import clock
from horizon.pipeline import processes
from horizon.postgres.database import Role, closing_connection

PATIENCE_S = 60


def first_figures(quick: bool) -> Iterator[Figure]:
    people = 50_000 if quick else 500_000
    with running_sink() as (port, sink), scratch_installation({
        "SMTP_HOST": "127.0.0.1", "SMTP_PORT": port,
    }) as horizon:  # fmt: skip
        with horizon.database.transaction(Role.OWNER) as tx:
            fill(tx, people, clock.now())
        with closing_connection(horizon.database.connect(autocommit=True)) as connection:
            connection.execute("VACUUM ANALYZE")
        environment = {**os.environ, **processes.environment_of(horizon.settings)}
        value = _first_mail_s(sink, environment)
        reference = min(
            seconds(lambda: _command(environment, "campaign", "list")) for _ in range(3)
        )
        yield Figure("delivery.first", round(value, 3), "s", round(reference, 3), people)


def _first_mail_s(sink: subprocess.Popen[str], environment: Mapping[str, str]) -> float:
    started = time.time()
    sender = subprocess.Popen(
        [sys.executable, "-m", "horizon.cli", "campaign", "run", CAMPAIGN],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert sink.stdout is not None
        return float(sink.stdout.readline()) - started
    finally:
        sender.terminate()
        sender.wait(PATIENCE_S)


def _command(environment: Mapping[str, str], *words: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "horizon.cli", *words], env=environment, check=True,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
