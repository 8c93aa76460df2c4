"""[ship.bulk], [ship.rsyslog], [ship.syslog-ng]: the log into a real OpenSearch, beside a bare bulk
client with ready bodies and beside what others use."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from bench.harness import Figure
from bench.log_shippers import RSYSLOG, SYSLOG_NG, LogShipper
from bench.search_server import NoSearchServerError, OpenSearch, SearchServer
from horizon.errors import HorizonError
from horizon.observe.shipper import schema
from horizon.pipeline.processes import free_port

INDEX = "cdp_events"
ROUNDS = 3
WARM_UP = 100_000  # a cold JVM does a third

Way = Callable[[Path, Path], AbstractContextManager[None]]


def figures(quick: bool) -> Iterator[Figure]:
    size = 150_000 if quick else 1_000_000
    folder = Path(tempfile.mkdtemp(prefix="horizon-ship-"))
    try:
        server = OpenSearch(lambda: free_port(0))
    except NoSearchServerError as exc:
        raise HorizonError(str(exc)) from exc
    try:
        server.start()
        yield from _compared(server, folder, size)
    finally:
        server.remove()
        shutil.rmtree(folder, ignore_errors=True)


def _compared(server: SearchServer, folder: Path, size: int) -> Iterator[Figure]:
    warm, log = folder / "warm" / "cdp_events.log", folder / "log" / "cdp_events.log"
    _write_log(warm, WARM_UP)
    _write_log(log, size)
    ways: dict[str, Way] = {"horizon": _horizon(server), "bare": _bare(server)}
    for other in (RSYSLOG, SYSLOG_NG):
        if sentence := other.missing():
            print(f"bench: {sentence}", file=sys.stderr)
        else:
            ways[other.name] = _other(server, other)
    for way in ways.values():
        _lines_a_second(server, way, warm, WARM_UP)
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):  # in turn, since the machine's speed drifts
        for name, way in ways.items():
            rates[name].append(_lines_a_second(server, way, log, size))
    middle = {name: round(statistics.median(rate)) for name, rate in rates.items()}
    yield Figure("ship.bulk", middle["horizon"], "lines/s", middle["bare"], size)
    for name in list(middle)[2:]:
        yield Figure(f"ship.{name}", middle["horizon"], "lines/s", middle[name], size)


def _lines_a_second(server: SearchServer, way: Way, log: Path, size: int) -> float:
    """From the first documents to the last, by the server's count: no process's start counts."""
    server.empty()
    server.ask("PUT", f"/_index_template/{INDEX}", schema.template(INDEX, data_stream=False))
    server.ask("PUT", f"/{INDEX}")
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=log.parent.parent))
    with way(log, folder):
        deadline = time.perf_counter() + 600
        first = started = 0.0
        while (there := _indexed(server)) < size:
            if not first and there:
                first, started = there, time.perf_counter()
            if time.perf_counter() > deadline:
                raise HorizonError(f"only {there} of {size} lines arrived.")
            time.sleep(0.02)
        return (size - first) / (time.perf_counter() - started)


def _indexed(server: SearchServer) -> int:
    stats: Any = server.ask("GET", f"/{INDEX}/_stats/indexing?filter_path=_all.primaries")
    return int(stats["_all"]["primaries"]["indexing"]["index_total"])


def _horizon(server: SearchServer) -> Way:
    @contextmanager
    def way(log: Path, folder: Path) -> Iterator[None]:
        settings = {"ES_URL": server.url, "LOG_PATH": str(log), "HORIZON_HOME": str(folder)}
        process = subprocess.Popen(
            [sys.executable, "-m", "horizon.cli", "ship", "--once"],
            env={**os.environ, **settings}, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        yield from _until_done(process)

    return way


def _bare(server: SearchServer) -> Way:
    @contextmanager
    def way(log: Path, folder: Path) -> Iterator[None]:  # noqa: ARG001 - it keeps nothing
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.ship_bare", str(log), server.url, INDEX],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        with process.stdin, process.stdout:
            process.stdout.readline()
            process.stdin.write(b"\n")
            process.stdin.flush()
            yield from _until_done(process)

    return way


def _until_done(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
        process.wait(60)
    finally:
        process.kill()
        process.wait()


def _other(server: SearchServer, shipper: LogShipper) -> Way:
    return lambda log, folder: shipper.running(folder, log, server.port, INDEX)


def _write_log(path: Path, size: int) -> None:
    """Lines as a campaign's messages have them."""
    path.parent.mkdir(parents=True)
    with path.open("w") as file:
        for n in range(size):
            file.write(
                f'{{"ts":"2026-05-05T{n // 3600 % 24:02d}:{n // 60 % 60:02d}:{n % 60:02d}Z",'
                '"level":"INFO","message":"message","stage":"email","component":"mailer",'
                '"correlation_id":"1778e24e-a0e7-48b4-8d33-937a72ab6e7d",'
                f'"campaign_id":"churn-offer-1","message_id":{n},"user_id":'
                f'"user-{n * 7919 % 100_000}@example.com","segment":"{_TIERS[n % 3]}",'
                '"status":"sent"}\n'
            )


_TIERS = ("high", "medium", "low")
