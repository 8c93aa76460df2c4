"""`horizon ingest` as a person types it: shown first, ended by Ctrl-C, killed, of any size."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from horizon.settings import Settings
from tests.e2e.horizon_command import Command, wait_until
from tests.world import World

MAPPING = """
format = "{kind}"
user_id_column = "who"
time_column = "at"
event = "Order Completed"
properties = {{ note = {{ column = "note" }} }}
"""
AT = datetime(2025, 6, 1, tzinfo=UTC)


@pytest.fixture
def command(tmp_path: Path, settings: Settings) -> Command:
    return Command(tmp_path, settings)


def messages(count: int, bad: int = 0) -> bytes:
    """Every third has no id of its own; each of ``bad`` is none."""
    lines = []
    for number in range(count):
        message: dict[str, Any] = {
            "type": "track", "event": "Opened", "userId": f"user {number}", "properties": {"n": number},
            "timestamp": (AT + timedelta(seconds=number)).isoformat(),
        }  # fmt: skip
        if number % 3:
            message["messageId"] = f"m{number}"
        lines.append(json.dumps(message) if not bad or (number + 1) % bad else "no message")
    return "\n".join(lines).encode()


def test_dry_run_shows_the_first_rows_and_writes_nothing(command: Command, world: World) -> None:
    (command.folder / "events").write_bytes(gzip.compress(messages(2_000, bad=7)))
    done = command("ingest", "events", "--dry-run", "--rows", "3")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["line", "type", "name", "user_id", "anonymous_id", "time", "more"]
    assert lines[2].split()[:5] == ["2", "track", "Opened", "user", "1"]
    assert lines[4] == "rejected: line 7, invalid_json: it is no JSON object in UTF-8"
    assert lines[7] == (
        "events: of the first 1,000 lines 858 are events and 142 would be rejected. Nothing was written."
    )
    found = json.loads(command("ingest", "events", "--dry-run", "--rows", "2", "--json").stdout)
    assert [row["line"] for row in found] == [1, 2, 7, 14]
    assert found[1]["event"] == {
        "message_id": "m1", "type": "track", "name": "Opened", "user_id": "user 1",
        "original_timestamp": "2025-06-01T00:00:01Z", "time": "2025-06-01T00:00:01Z",
        "properties": {"n": 1},
    }  # fmt: skip
    assert found[3] == {
        "line": 14,
        "code": "invalid_json",
        "reason": "it is no JSON object in UTF-8",
    }
    done = command("ingest", "events", "--dry-run", "--source", "horizon")
    assert (done.returncode, done.stdout) == (2, "")
    assert "'horizon' is not a file source" in done.stderr
    for table in ("events", "rejected_events", "file_progress", "runs"):
        assert world.rows(f"SELECT FROM {table}") == []
    assert world.rows("SELECT FROM sources WHERE kind = 'file'") == []


def test_rejected_lines_are_reported_with_number_and_reason(command: Command) -> None:
    (command.folder / "events").write_bytes(messages(30, bad=10))
    done = command("ingest", "events", "--rejects", "report")
    assert done.stdout.splitlines() == [
        "30 lines read: 27 new events, 0 known already, 3 rejected. `horizon rejected list` tells why.",
        "report holds 3 rejected lines.",
    ]
    report = [json.loads(line) for line in (command.folder / "report").read_text().splitlines()]
    assert [(row["line"], row["code"]) for row in report] == [
        (10, "invalid_json"), (20, "invalid_json"), (30, "invalid_json"),
    ]  # fmt: skip
    assert re.fullmatch(
        r"file \w{12} \(events\), line 10: it is no JSON object in UTF-8", report[0]["reason"]
    )
    (command.folder / "report").unlink()
    done = command(
        "ingest", "events", "--rejects", "report"
    )  # whole before: the report comes again
    assert "nothing was added" in done.stdout
    assert len((command.folder / "report").read_text().splitlines()) == 3
    done = command("ingest", "events", "--rejects", "nowhere/report")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_a_file_without_an_event_fails(command: Command, world: World) -> None:
    mapping = MAPPING.format(kind="csv")
    (command.folder / "m.toml").write_text(mapping)
    (command.folder / "sad.csv").write_text("who,at,note\nann,never,x\nben,never,y\n")
    for _ in range(2):
        done = command("ingest", "sad.csv", "--mapping", "m.toml")
        assert done.returncode == 1, done.stdout
        assert "sad.csv: none of its 2 lines is an event" in done.stderr
    (command.folder / "half.csv").write_text(
        "who,at,note\nann,never,x\nben,2026-01-01T00:00:00Z,y\n"
    )
    assert command("ingest", "half.csv", "--mapping", "m.toml").returncode == 0
    assert len(world.rows("SELECT FROM rejected_events")) == 3


def test_several_files_and_a_line_of_json_each(command: Command) -> None:
    (command.folder / "a").write_bytes(messages(3))
    (command.folder / "b").write_bytes(messages(5))
    done = command("ingest", "a", "b")
    assert [line.partition(" lines")[0] for line in done.stdout.splitlines()] == ["a: 3", "b: 5"]
    done = command("ingest", "a", "b", "--json")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(row["file"], row["read"], row["inserted"]) for row in found] == [
        ("a", 3, 0),
        ("b", 5, 0),
    ]
    done = command("ingest", "a", "missing", "b")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ended_by_a_signal_it_says_where_and_goes_on_there(
    number: signal.Signals, command: Command, world: World
) -> None:
    (command.folder / "events").write_bytes(messages(60_000))
    process = subprocess.Popen(
        [sys.executable, "-m", "horizon.cli", "ingest", "events"], cwd=command.folder,
        env=command.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    wait_until(lambda: world.rows("SELECT FROM file_progress WHERE number > 0"))
    process.send_signal(number)
    said, complained = process.communicate(timeout=60)
    assert (process.returncode, complained) == (1, "")
    found = re.search(r"Stopped after line ([\d,]+): the same command goes on", said)
    assert found
    line = int(found[1].replace(",", ""))
    assert 0 < line < 60_000
    done = command("ingest", "events")
    assert f"went on after line {line:,}: {60_000 - line:,} lines read" in done.stdout
    assert world.rows("SELECT count(*), count(DISTINCT message_id) AS ids FROM events") == [
        (60_000, 60_000)
    ]


KINDS = ("jsonl", "csv", "parquet")
ROWS = 60_000


def _written(folder: Path, kind: str) -> tuple[str, ...]:
    """A file of this kind, and the arguments that ingest it."""
    table = {
        "who": [f"user {number}" for number in range(ROWS)],
        "at": [(AT + timedelta(seconds=number)).isoformat() for number in range(ROWS)],
        "note": [f"note {number}" for number in range(ROWS)],
    }
    path = folder / kind
    if kind == "jsonl":
        path.write_bytes(gzip.compress(messages(ROWS, bad=100), 1))
        return (str(path),)
    if kind == "csv":
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(table)
        writer.writerows(zip(*table.values(), strict=True))
        path.write_text(text.getvalue())
    else:
        pq.write_table(pa.table(table), path, row_group_size=17_000)
    mapping = folder / f"{kind}.toml"
    mapping.write_text(MAPPING.format(kind=kind))
    return (str(path), "--mapping", str(mapping))


@pytest.mark.slow
def test_killed_at_random_moments_nothing_is_lost_and_nothing_twice(
    command: Command, world: World, tmp_path: Path
) -> None:
    chance = random.Random(7)
    arguments = {kind: _written(tmp_path, kind) for kind in KINDS}
    killed, after_rows = 0, 0
    for number in itertools.count():
        kind = KINDS[number % len(KINDS)]
        words = ["ingest", *arguments[kind], "--source", f"source {number}"]
        while True:
            process = subprocess.Popen(
                [sys.executable, "-m", "horizon.cli", *words], cwd=tmp_path,
                env=command.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            )  # fmt: skip
            try:
                _, complained = process.communicate(timeout=chance.uniform(0.3, 3.5))
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                killed += 1
                after_rows += bool(
                    world.rows("SELECT FROM file_progress WHERE finished_at IS NULL AND number > 0")
                )
            else:
                assert process.returncode == 0, complained
                break
        _check(world, f"source {number}", kind)
        if killed >= 25 and number + 1 >= len(KINDS):
            break
    assert after_rows >= 5  # of the kills so many had rows behind them
    print(f"{killed} kills, {after_rows} of them in the middle of a file, {number + 1} files")


def _check(world: World, source: str, kind: str) -> None:
    [row] = world.rows(
        "SELECT count(*) AS events, count(DISTINCT user_id) AS users, count(DISTINCT message_id) AS ids,"
        " (SELECT count(*) FROM rejected_events r WHERE r.source_id = s.source_id) AS rejected,"
        " (SELECT array[inserted, duplicates, rejected, number] FROM file_progress f"
        "  WHERE f.source_id = s.source_id) AS told"
        " FROM events JOIN sources s USING (source_id) WHERE s.name = %s GROUP BY s.source_id",
        source,
    )
    bad = ROWS // 100 if kind == "jsonl" else 0
    assert (row.events, row.users, row.ids, row.rejected) == (
        ROWS - bad,
        ROWS - bad,
        ROWS - bad,
        bad,
    )
    assert row.told == [ROWS - bad, 0, bad, ROWS + (kind == "csv")]


# Not getrusage: its figure counts what the process was before exec, and that was this one.
PEAK = """
import sys
from pathlib import Path
from horizon.cli.main import run
assert run(sys.argv[1:]) == 0
[peak] = [line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line]
print(int(peak.split()[1]) // 1024, file=sys.stderr)
"""


def _peak_mb(command: Command, *words: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", PEAK, "ingest", *words], cwd=command.folder, check=False, text=True,
        env={**command.environment, "PYTHONPATH": os.pathsep.join(sys.path)}, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return int(done.stderr)


@pytest.mark.slow
def test_text_of_any_size_takes_the_same_memory(command: Command, world: World) -> None:
    few, much = command.folder / "few", command.folder / "much"
    few.write_bytes(gzip.compress(messages(12_000)))
    with gzip.open(much, "wb", 1) as file:
        for _ in range(120):
            file.write(messages(300) + b'\n{"note": "' + b"x" * 7_000_000 + b'"}\n')
    small = _peak_mb(command, "few")
    grown = _peak_mb(command, "much") - small
    print(f"2 MB of text took {small} MB, 800 MB took {grown} MB more")
    assert grown < 60
    [row] = world.rows("SELECT count(*) FROM rejected_events WHERE code = 'too_long'")
    assert row.count == 120


@pytest.mark.slow
def test_row_group_of_any_size_takes_the_same_memory(command: Command, tmp_path: Path) -> None:
    random_text = random.Random(1)
    for name, count in (("few", 4_000), ("much", 40_000)):
        table = pa.table({
            "who": [f"user {number}" for number in range(count)],
            "at": [AT + timedelta(seconds=number) for number in range(count)],
            "note": [random_text.randbytes(2_500).hex() for _ in range(count)],
        })  # fmt: skip
        pq.write_table(table, tmp_path / name, row_group_size=count, use_dictionary=False)
    (tmp_path / "m.toml").write_text(MAPPING.format(kind="parquet"))
    small = _peak_mb(command, "few", "--mapping", "m.toml")
    grown = _peak_mb(command, "much", "--mapping", "m.toml") - small
    print(f"a row group of 20 MB took {small} MB, one of 200 MB took {grown} MB more")
    assert grown < 80


@pytest.mark.slow
def test_progress_elsewhere_than_on_a_terminal_is_a_line_a_step(
    command: Command, tmp_path: Path
) -> None:
    (tmp_path / "events").write_bytes(messages(15_000))
    code = (
        "import sys; from horizon.cli import ingest; from horizon.cli.main import run;"
        "ingest._STEP_S = 0; sys.exit(run(sys.argv[1:]))"
    )
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code, "ingest", "events"], cwd=tmp_path, text=True, check=True,
        env={**command.environment, "PYTHONPATH": os.pathsep.join(sys.path)}, capture_output=True,
    )  # fmt: skip
    assert time.monotonic() - began < 120
    size = (tmp_path / "events").stat().st_size
    lines = done.stdout.splitlines()
    assert lines[0].startswith("checking events: ")
    assert lines[-2] == f"reading events: {size:,} of {size:,} bytes"
