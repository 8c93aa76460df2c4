"""Segment's Kotlin SDK, unmodified, on a JVM: each call is read back."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from horizon.events.sources import add_source
from horizon.keys import Keys
from horizon.postgres.database import Database, Role
from tests.e2e.horizon_command import wait_until
from tests.sdks.calls import CALLS, check, events
from tests.sdks.parts import HOW, SDKS
from tests.servers.collector import Collector

pytestmark = pytest.mark.slow

CALLS_OF_IT = Path(__file__).parents[1] / "sdks" / "KotlinCalls.java"


def test_kotlin_sdk_calls_are_read_back(
    collector: Collector, database: Database, keys: Keys, tmp_path: Path
) -> None:
    if not shutil.which("javac") or not (SDKS / "kotlin").is_dir():
        pytest.skip(f"The Kotlin SDK is not installed: {HOW}")
    with database.transaction(Role.WORKER) as tx:
        key = add_source(tx, "app", "public")
    place = collector.url.removeprefix("http://")
    words = [
        "java",
        "-Xmx128m",
        "-Dfile.encoding=UTF-8",
        "-cp",
        f"{SDKS}/kotlin/*",
        str(CALLS_OF_IT),
        place,
        key,
    ]
    with subprocess.Popen(words, cwd=tmp_path, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        wait_until(lambda: process.poll() is not None or len(events(database)) == 5, 60)
        found = events(database)
        process.stdin.close()
    shutil.rmtree(Path("/tmp/analytics-kotlin") / key)  # where it keeps what waits
    visitor = found[0]["anonymous_id"]
    wanted = [
        replace(row, anonymous_id=visitor, email=None)
        for row in CALLS if row.type != "page" and row.name != "Seen"
    ]  # fmt: skip
    wanted[-1] = replace(wanted[-1], user_id="u2", previous_id="u1")  # it names who it was itself
    library = {"library": {"name": "analytics-kotlin", "version": "1.27.0"}}
    check(found, tuple(wanted), node_key=keys.node, context=library, trusted=False)
